"""Ids are promises, splits are coins, and typed lines become paragraphs."""

import random

from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.records import (
    HELDOUT,
    Document,
    is_heldout,
    slug,
    unwrap,
)


def test_the_split_never_changes():
    ids = [f"tales/{number:03}" for number in range(60)]
    held = [id for id in ids if is_heldout(id)]
    assert held == ["tales/005", "tales/012"]


def test_the_coin_is_fair():
    rng = random.Random(0)
    n = 20_000
    held = sum(is_heldout(f"x/{rng.random()}") for _ in range(n))
    spread = (n * HELDOUT * (1 - HELDOUT)) ** 0.5
    assert abs(held - n * HELDOUT) < 4 * spread


@given(st.text(), st.text(), st.text())
def test_parts_of_a_work_stay_together(work, one, other):
    assert is_heldout(f"{work}#{one}") == is_heldout(f"{work}#{other}")
    assert is_heldout(f"{work}#{one}") == is_heldout(work.partition("#")[0])


def test_slugs_by_hand():
    assert slug("The Emperor's New Suit") == "the-emperors-new-suit"
    assert slug("Crème brûlée (II)") == "creme-brulee-ii"
    assert slug("安徒生") == "untitled"
    assert len(slug("word " * 50)) <= 60
    assert not slug("x" * 59 + " tail").endswith("-")


def test_typed_lines_become_paragraphs():
    typed = "A line that\r\nwas broken.  Two spaces.\r\n\r\n\r\nNext one.\r\n"
    assert unwrap(typed) == "A line that was broken. Two spaces.\n\nNext one."


def test_verse_keeps_its_lines():
    typed = "He sang:\n\n  One line,\n    and another.\n\nThe end."
    assert unwrap(typed) == "He sang:\n\nOne line,\nand another.\n\nThe end."


def test_an_indented_first_line_is_not_verse():
    assert unwrap("   A paragraph\nof prose.") == "A paragraph of prose."


def test_crlf_and_lf_read_alike():
    text = "one\ntwo\n\n  a\n  b\n\nthree"
    assert unwrap(text.replace("\n", "\r\n")) == unwrap(text)
    assert unwrap(text.replace("\n", "\r")) == unwrap(text)


@given(st.text(alphabet="ab \n\r\t"))
def test_unwrap_keeps_every_letter_and_settles_at_once(text):
    once = unwrap(text)
    assert sorted(once.replace(" ", "").replace("\n", "")) == sorted(
        c for c in text if c in "ab"
    )
    assert "\n\n\n" not in once
    assert "  " not in once


def test_documents_are_values():
    assert Document("a", "b") == Document("a", "b")
    assert len({Document("a", "b"), Document("a", "b")}) == 1

"""Held-out questions are found wherever they hide, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.records import Document
from llm_from_scratch.data.decontaminate import (
    Decontaminator,
    Report,
    words_of,
)

QUESTION = "Which river runs through the small town of Dunmore today?"
WORD = st.text("abc", min_size=1, max_size=3)


def found(text, protected=(QUESTION,), n=8, **options):
    return [
        gram
        for gram, _ in Decontaminator(protected, n, **options).matches(text)
    ]


def test_words_have_no_case_and_no_marks():
    assert words_of("Don't STOP, 1 é_x") == ["don", "t", "stop", "1", "é", "x"]


def test_a_question_is_found_by_hand():
    assert found("which river runs through the small town of") == [
        "which river runs through the small town of"
    ]
    assert found("river runs through the small town of") == []
    assert len(found(QUESTION)) == 3  # ten words hold three runs of eight


@pytest.mark.parametrize(
    "text",
    [
        QUESTION.upper(),
        f"Q: {QUESTION} A: the Wend",
        QUESTION.replace(" ", "\n\n"),
        QUESTION.replace(" ", " - "),
        "Some say: which river runs through the small town of Ford?",
    ],
)
def test_it_is_found_in_disguise(text):
    assert found(text)


def test_a_short_question_must_occur_whole():
    short = "Where does Ada live?"
    assert found("and where does Ada live now", [short]) == [
        "where does ada live"
    ]
    assert found("where does Ada work", [short]) == []


def test_questions_of_many_lengths_are_found_together():
    protected = ["a b c d", "a b c d e f", "q r s t u"]
    text = "x a b c d e f y q r s t u"
    assert found(text, protected) == ["a b c d", "a b c d e f", "q r s t u"]


def test_what_is_too_short_is_left_out_and_counted():
    kept = Decontaminator(["Who is Ada?", QUESTION])
    assert kept.left_out == 1
    assert list(kept.matches("Who is Ada?")) == []
    with pytest.raises(ValueError, match="no protected text that is long"):
        Decontaminator(["Who is Ada?"])


@given(
    st.lists(st.lists(WORD, min_size=2, max_size=7), min_size=1, max_size=4),
    st.lists(WORD, max_size=30),
)
def test_matches_are_those_of_the_definition(protected, words):
    checker = Decontaminator(map(" ".join, protected), n=4, shortest=2)
    grams = {
        tuple(p[i : i + min(4, len(p))])
        for p in protected
        for i in range(len(p) - min(4, len(p)) + 1)
    }
    expected = {
        g
        for g in grams
        for i in range(len(words))
        if tuple(words[i : i + len(g)]) == g
    }
    got = {tuple(g.split()) for g, _ in checker.matches(" ".join(words))}
    assert got == expected


def test_cleaning_counts_and_shows_examples():
    documents = [
        Document("a", "Nothing of interest."),
        Document("b", f"{QUESTION} {QUESTION}"),
        Document("c", QUESTION.lower()),
    ]
    report = Report()
    kept = Decontaminator([QUESTION], 8).clean(documents, report, keep=1)
    assert [d.id for d in kept] == ["a"]
    assert (report.documents, report.dropped) == (3, 2)
    assert report.hits == {QUESTION: 2}
    assert report.examples == [
        ("b", "which river runs through the small town of")
    ]


@pytest.mark.parametrize(("n", "shortest"), [(3, 4), (8, 0)])
def test_impossible_lengths_are_refused(n, shortest):
    with pytest.raises(ValueError, match="need 1 <= shortest <= n"):
        Decontaminator([QUESTION], n, shortest)

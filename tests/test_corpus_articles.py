"""Pages are true, reproducible, and silent about what is derived."""

import hashlib
import os
import re
import subprocess
import sys
import tracemalloc
from collections import Counter

import pytest

from llm_from_scratch.corpus.articles import KINDS, clean_page, clean_pages
from llm_from_scratch.corpus.claims import claims
from llm_from_scratch.corpus.entries import subjects
from llm_from_scratch.corpus.grammar import number_word
from llm_from_scratch.corpus.questions import derive, questions
from llm_from_scratch.corpus.world import make_world

WORLD = make_world()


@pytest.fixture(scope="module")
def pages():
    return list(clean_pages(WORLD, 2000))


def test_shares_of_the_kinds(pages):
    counts = Counter(page.kind for page in pages)
    assert tuple(counts[k] for k in KINDS) == (900, 500, 200, 200, 200)


def test_a_page_depends_on_its_number_alone(pages):
    for i in (1999, 0, 17, 1018, 17):
        assert clean_page(WORLD, i) == pages[i]


def test_same_bytes_in_another_process_with_another_hash_seed(pages):
    program = (
        "import hashlib\n"
        "from llm_from_scratch.corpus.articles import clean_pages\n"
        "from llm_from_scratch.corpus.world import make_world\n"
        "text = ''.join(p.text for p in clean_pages(make_world(), 300))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True
    )
    text = "".join(p.text for p in pages[:300])
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert run.stdout.strip() == digest, run.stderr


def test_seeds_change_the_pages_but_not_the_facts(pages):
    other = list(clean_pages(WORLD, 40, seed=1))
    assert all(a.text != b.text for a, b in zip(other, pages, strict=False))
    for fact in {f for page in other for f in page.facts}:
        assert WORLD.facts[fact.subject, fact.relation] == fact.value


def test_no_two_pages_are_equal(pages):
    assert len({page.text for page in pages}) > 0.999 * len(pages)


def test_lengths(pages):
    words = [len(page.text.split()) for page in pages]
    assert min(words) >= 40
    assert max(words) <= 420
    assert 2e6 < sum(len(page.text) for page in pages) < 3e6


def test_noted_facts_are_true(pages):
    for page in pages:
        for fact in page.facts:
            assert WORLD.facts[fact.subject, fact.relation] == fact.value


def test_no_page_claims_anything_false(pages):
    for page in pages[::8]:
        for claim in claims(page.text, WORLD):
            assert claim.verdict is not False, claim


def test_every_askable_fact_is_stated_somewhere(pages):
    stated = {fact for page in pages for fact in page.facts}
    for relation_facts in (q.premises for q in questions(WORLD, "all")):
        for fact in relation_facts:
            if fact.relation.startswith("road"):
                a, b = fact.subject, fact.relation.removeprefix("road to ")
                back = type(fact)(b, f"road to {a}", fact.value)
                assert fact in stated or back in stated, fact
            else:
                assert fact in stated, fact


def test_entries_take_turns(pages):
    entries = [p for p in pages if p.kind == "entry"]
    seen = {p.title for p in entries[: len(subjects(WORLD))]}
    assert len(seen) == len(subjects(WORLD))


def test_derived_facts_are_stated_on_no_page(pages):
    ends = {
        (subject[0], value)
        for relation, subject, value, _ in derive(WORLD)
        if relation in ("grandmother", "grandfather", "home river")
        or relation == "home festival"
    }
    by_start: dict[str, set[str]] = {}
    for start, end in ends:
        by_start.setdefault(start, set()).add(end)
    for page in pages:
        for line in re.split(r"(?<=[.!?])\s", page.text):
            words = set(re.findall(r"[A-Z]\w+(?: [A-Z]\w+)?|[A-Z]\w+", line))
            words |= set(re.findall(r"[A-Z]\w+", line))
            for name in words & by_start.keys():
                assert not words & by_start[name], line


def test_words_for_derived_relations_never_occur(pages):
    for page in pages:
        assert not re.search(
            r"(?i)grandm|grandf|grandp|\baunt|\buncle|\bolder than|\bboss\b"
            r"|employer|works for|same town|by way of",
            page.text,
        ), page.text


@pytest.mark.parametrize(
    "wrong",
    [
        r"[{}\[\]|~^@]",
        r"  | [,;]|\.\.(?!\.)",
        r"\b[Aa] [aeiou](?!n[ei]|seful)",
        r"\b[Aa]n [^aeiouAEIOUh8]",
        r"\b(?:to|with|of|from|beside|gave|told) (?:he|she|they)\b[ .,]",
        r"(?<!if )(?<!of )\b(?:he|she|it) (?:were|are|have)\b",
        r"\b(\w+) \1\b",
        r"[.!?] [a-z]",
    ],
)
def test_slips_of_the_generator_do_not_occur(pages, wrong):
    for page in pages:
        slip = re.search(wrong, page.text)
        assert not slip, page.text[max(0, slip.start() - 60) :][:120]


def test_sums_in_dialogues_are_right(pages):
    numbers = {number_word(n): n for n in range(100)}
    rules = {
        r"([\w-]+) times ([\w-]+) is ([\w-]+)": lambda a, b: a * b,
        r"([\w-]+) minus ([\w-]+) is ([\w-]+)": lambda a, b: a - b,
        r"were ([\w-]+), and we have done ([\w-]+)\. so ([\w-]+) are left": (
            lambda a, b: a - b
        ),
    }
    text = "\n".join(p.text for p in pages if p.kind == "dialogue").lower()
    for pattern, rule in rules.items():
        found = re.findall(pattern, text)
        assert len(found) > 5
        for a, b, c in found:
            assert rule(numbers[a], numbers[b]) == numbers[c]


def test_memory_does_not_grow_with_the_number_of_pages():
    def peak(count):
        tracemalloc.start()
        for page in clean_pages(WORLD, count):
            del page
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(20)  # fill the caches
    assert peak(100) < 1e6 > peak(20)


def test_held_out_questions_are_asked_on_no_page(pages):
    text = "\n".join(page.text for page in pages)
    asked = set(re.findall(r"[A-Z][^.!?\n]*\?", text))
    assert not asked & {q.text for q in questions(WORLD)}
    assert not asked & {q.text for q in questions(WORLD, "all") if q.derived}
    assert asked & {q.text for q in questions(WORLD, "train")}


def test_no_qa_page_rests_on_a_held_out_fact(pages):
    held = {q.premises[0] for q in questions(WORLD) if not q.derived}
    for page in pages:
        assert page.kind != "qa" or not held & set(page.facts)


def test_negative_pages_are_refused():
    with pytest.raises(ValueError, match="got -1"):
        clean_page(WORLD, -1)

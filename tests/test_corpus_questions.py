"""Answers are right, splits are disjoint, and held-out stays held out."""

from collections import Counter

import pytest

from llm_from_scratch.corpus.questions import (
    accuracy,
    fill,
    is_heldout_question,
    is_right,
    questions,
)
from llm_from_scratch.corpus.truth import Fact
from llm_from_scratch.corpus.world import make_world

WORLD = make_world()
ALL = questions(WORLD, "all")


def test_splits_are_disjoint_and_complete():
    train, held = questions(WORLD, "train"), questions(WORLD)
    assert len(train) + len(held) == len(ALL)
    assert not {q.about for q in train} & {q.about for q in held}
    assert 0.15 < len(held) / len(ALL) < 0.25


def test_every_relation_is_in_both_splits():
    for split in ("train", "heldout"):
        kinds = Counter(q.about[0] for q in questions(WORLD, split))
        assert len(kinds) >= 25


def test_premises_are_true():
    for q in ALL:
        for fact in q.premises:
            assert WORLD.facts[fact.subject, fact.relation] == fact.value


def test_stated_answers_are_the_fact():
    for q in ALL:
        if not q.derived:
            assert q.answer == q.premises[0].value


def by_relation(relation):
    return [q for q in ALL if q.about[0] == relation]


def test_grandmothers_by_hand():
    assert len(by_relation("grandmother")) == 72
    for q in by_relation("grandmother"):
        mother = WORLD.people[WORLD.people[q.about[1]].mother]
        assert q.answer == mother.mother


def test_older_one_was_born_first():
    for q in by_relation("older"):
        a, b = (WORLD.people[name] for name in q.about[1:])
        assert q.answer == (a if a.born < b.born else b).name


def test_same_town_is_balanced():
    answers = Counter(q.answer for q in by_relation("same town"))
    assert set(answers) == {"yes", "no"}
    assert min(answers.values()) > 0.25 * sum(answers.values())


def test_detours_add_up_and_have_no_road_of_their_own():
    for q in by_relation("detour"):
        _, a, b, via = q.about
        assert (a, b) not in WORLD.roads
        total = WORLD.roads[a, via] + WORLD.roads[via, b]
        assert q.answer == str(total)


def test_employers_are_never_the_worker():
    for q in by_relation("employer"):
        assert q.answer != q.about[1]


def test_options_hold_the_answer_once_and_are_of_its_kind():
    for q in ALL:
        assert q.options.count(q.answer) == 1
        assert len(q.options) == len(set(q.options)) >= 2
        assert q.options["ABCD".index(q.letter)] == q.answer


def test_letters_are_balanced():
    letters = Counter(q.letter for q in ALL if len(q.options) == 4)
    assert max(letters.values()) < 1.2 * min(letters.values())


def test_replies_are_judged():
    q = next(q for q in ALL if q.about[0] == "lives_in")
    wrong = next(o for o in q.options if o != q.answer)
    assert is_right(q, f" {q.answer}.\nQuestion: next")
    assert is_right(q, f"{q.about[1]} lives in {q.answer.upper()}.")
    assert not is_right(q, wrong)
    assert not is_right(q, f"{q.answer} or {wrong}")
    assert not is_right(q, f"I do not know.\n{q.answer}")
    assert not is_right(q, f"{q.answer}ville")
    assert is_right(q, f"({q.letter})", choice=True)
    assert not is_right(q, "", choice=True)


def test_accuracy_of_perfect_and_empty_replies():
    assert accuracy(ALL, [q.answer for q in ALL]) == 1.0
    assert accuracy(ALL, [q.letter for q in ALL], choice=True) == 1.0
    assert accuracy(ALL, [""] * len(ALL)) == 0.0
    assert accuracy([], []) == 0.0


def test_prompts():
    q = ALL[0]
    assert q.prompt() == f"Question: {q.text}\nAnswer:"
    assert f"\n{q.letter}. {q.answer}\n" in q.prompt(choice=True)


def test_split_depends_on_the_fact_alone():
    assert is_heldout_question(("lives_in", "Mina")) == is_heldout_question(
        ("lives_in", "Mina")
    )
    assert fill("is {s_pos} {s2}?", "Bo", "Al") == "Is Bo's Al?"


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="got 'test'"):
        questions(WORLD, "test")


def test_facts_are_plain_tuples():
    assert Fact("a", "b", "c") == ("a", "b", "c")

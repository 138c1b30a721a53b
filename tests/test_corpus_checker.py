"""The checker passes good stories, and says what is wrong with bad ones."""

from random import Random

import pytest

from llm_from_scratch.corpus.articles import clean_pages
from llm_from_scratch.corpus.checker import ASPECTS, check_story, ending_of
from llm_from_scratch.corpus.claims import (
    People,
    claims,
    resolve,
    sentences,
    unquoted,
)
from llm_from_scratch.corpus.scribe import Cast
from llm_from_scratch.corpus.spoil import SPOILS, spoil
from llm_from_scratch.corpus.world import make_world

WORLD = make_world()
GIRL = next(p for p in WORLD.children if p.female)
BOY = next(p for p in WORLD.children if not p.female and p.town != GIRL.town)
TOWN = GIRL.town
GOOD = f"""The Kite

{GIRL.name} lived in {TOWN}. {GIRL.name} had a friend named {BOY.name}.

One day {GIRL.name} bought a red kite. She ran up the hill with the kite.

{GIRL.name} gave the kite to {BOY.name}. He held the kite and was happy.

It rained. Then the sun came out. {GIRL.name} went home, and she smiled."""
CAST = Cast(GIRL.name, BOY.name, "kite", "happy", "test")


@pytest.fixture(scope="module")
def stories():
    return [p for p in clean_pages(WORLD, 300) if p.cast]


def verdicts(text, cast=CAST):
    report = check_story(text, WORLD, cast)
    return {a for a in ASPECTS if getattr(report, a) is False}


def test_a_good_story_by_hand():
    report = check_story(GOOD, WORLD, CAST)
    assert report.score == 1.0, report.notes
    assert [getattr(report, a) for a in ASPECTS] == [True] * 5


def test_all_generated_stories_are_good(stories):
    for page in stories:
        report = check_story(page.text, WORLD, page.cast)
        assert report.score == 1.0, (report.notes, page.text)


def test_generated_stories_are_good_without_a_cast(stories):
    for page in stories[:100]:
        report = check_story(page.text, WORLD)
        assert report.hero is not False, report.notes


def test_a_hero_who_changes_name():
    other = next(p.name for p in WORLD.children if p.name not in GOOD)
    first, second = GOOD.split("One day")
    spoiled = first + "One day" + second.replace(GIRL.name, other)
    assert "hero" in verdicts(spoiled)


def test_an_object_from_nowhere():
    assert "thing" in verdicts(GOOD.replace("held the kite", "held the drum"))


def test_a_giver_who_has_nothing():
    spoiled = GOOD.replace("home, and", f"home. {GIRL.name} held the kite, and")
    assert "thing" in verdicts(spoiled)


def test_a_pronoun_that_fits_nobody():
    assert verdicts(GOOD.replace("and she", "and he")) == {"pronouns"}


def test_quotes_are_not_searched_for_pronouns():
    text = GOOD.replace("and she", 'said, "He is there," and she')
    assert "pronouns" not in verdicts(text)


def test_a_false_fact():
    wrong = next(t for t in WORLD.towns if t != TOWN)
    assert verdicts(GOOD.replace(TOWN, wrong)) == {"facts"}


def test_an_invented_person_is_unknown_not_false():
    (claim,) = claims("Zzyx lives in Nowhere.", WORLD)
    assert claim.verdict is None


def test_endings():
    assert ending_of("And so she smiled.") == "happy"
    assert ending_of("It was a sad day. He went home.") == "sad"
    assert ending_of("From that day on, she asked.") == "lesson"
    assert ending_of("She went to the") is None
    assert ending_of("The sun set. It was evening. Cows slept.") is None
    assert ending_of("She smiled. It rained. Cows slept.") is None
    assert ending_of("") is None
    assert verdicts(GOOD.replace("she smiled", "she cried")) == {"ending"}


@pytest.mark.parametrize("text", ["", "\n\n", "Hello", "!!!", "a\nb\nc", "..."])
def test_any_text_can_be_graded(text):
    report = check_story(text, WORLD)
    assert 0.0 <= report.score <= 1.0
    assert report.ending is False


def test_stated_facts_are_read_from_pages():
    for page in clean_pages(WORLD, 200):
        found = {c.fact for c in claims(page.text, WORLD)}
        assert set(page.facts) <= found, page.text


HAND = [
    ("{g} lived in {t}.", "lives_in"),
    ("A girl named {g} who lived in {t} came.", "lives_in"),
    ("{m} is the mother of {g}.", "mother"),
    ("{g} was born in the year {y}.", "born"),
]


@pytest.mark.parametrize(("sentence", "relation"), HAND)
def test_facts_in_sentences_that_no_template_makes(sentence, relation):
    text = sentence.format(g=GIRL.name, t=GIRL.town, m=GIRL.mother, y=GIRL.born)
    found = [c for c in claims(text, WORLD) if c.fact.relation == relation]
    assert [c.verdict for c in found] == [True]


def test_pronouns_are_resolved_by_gender():
    last: dict[str, str] = {}
    people = People(WORLD, {})
    resolve(f"{GIRL.name} met {BOY.name}.", last, people)
    text = resolve("She saw him and his dog.", last, people)
    assert text == f"{GIRL.name} saw {BOY.name} and {BOY.name}'s dog."


def test_sentences_and_quotes():
    text = '"Stop!" called Bo. He ran. "Why?" he asked. Then it rained.'
    assert len(sentences(text)) == 4
    assert unquoted('He said, "She is here," and left.') == (
        'He said, "" and left.'
    )


DETECTED = {
    "name": (0.99, "hero"),
    "pronoun": (0.6, "pronouns"),
    "thing": (0.99, "thing"),
    "holder": (0.5, "thing"),
    "fact": (0.99, "facts"),
    "cut": (0.95, "ending"),
    "mood": (0.99, "ending"),
}


@pytest.mark.parametrize("how", SPOILS)
def test_spoiled_stories_are_caught(stories, how):
    rate, aspect = DETECTED[how]
    found = []
    for i, page in enumerate(stories[:70]):
        text = spoil(page, WORLD, Random(f"{how}/{i}"), how)
        if text is not None:
            found.append(aspect in verdicts(text, page.cast))
    assert len(found) >= 10
    assert sum(found) >= rate * len(found)


def test_only_stories_can_be_spoiled(stories):
    with pytest.raises(ValueError, match="'salt'"):
        spoil(stories[0], WORLD, Random(0), "salt")

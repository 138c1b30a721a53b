"""Stories keep their cast, their object and their grammar."""

import re
from random import Random

import pytest

from llm_from_scratch.corpus import stories
from llm_from_scratch.corpus.scribe import Scribe, title_case
from llm_from_scratch.corpus.stories import read_plots, tell_story
from llm_from_scratch.corpus.world import make_world

WORLD = make_world()


@pytest.fixture(scope="module")
def told():
    return [tell_story(WORLD, Random(f"story/{i}")) for i in range(400)]


def test_thirty_plots_with_paraphrases():
    plots = read_plots()
    assert len(plots) == 30
    for plot in plots:
        assert len(plot.events) >= 3, plot.title
        for event in (*plot.events, *plot.endings.values()):
            assert event.lines or event.label == "way"


def test_every_plot_and_ending_is_told(told):
    assert {s.cast.plot for s in told} == {p.title for p in read_plots()}
    assert {s.cast.ending for s in told} == {"happy", "sad", "lesson"}


def test_hero_and_thing_are_there_from_beginning_to_end(told):
    for story in told:
        text = " ".join(story.paragraphs)
        half = len(text) // 2
        assert story.cast.hero in text[:half]
        assert story.cast.hero in text[half:]
        assert re.search(rf"\b{story.cast.thing}\b", text[half:]), story


def test_somebody_known_holds_the_thing(told):
    names = set(WORLD.people) | {p.pet for p in WORLD.children}
    for story in told:
        for holder in story.holders:
            known = holder in names or holder == "stranger"
            assert known or holder.startswith("at ")


def test_companions_are_no_close_family(told):
    for story in told:
        hero = WORLD.people[story.cast.hero]
        friend = WORLD.people.get(story.cast.companion)
        assert not friend or friend.mother != hero.mother


def test_grandparents_never_meet_their_grandchildren_in_stories(told):
    for story in told:
        text = " ".join(story.paragraphs)
        for name in WORLD.grandparents(story.cast.hero):
            assert not re.search(rf"\b{name}\b", text)


def test_stated_facts_are_true(told):
    for fact in {f for story in told for f in story.facts}:
        assert WORLD.facts[fact.subject, fact.relation] == fact.value


def test_template_marks_are_gone(told):
    for story in told:
        text = " ".join((story.title, *story.paragraphs))
        assert not re.search(r"[{}\[\]|~^@]|  | ,| \.", text), text


@pytest.mark.parametrize(
    "wrong",
    [
        r"\b(?:to|with|of|from|beside|gave|told) (?:he|she|they)\b[ .,]",
        r"\b[Aa] [aeiou]",
        r"\b[Aa]n [^aeiouAEIOUh8]",
        r"\b(?:he|she|it) (?:were|are|have)\b",
        r"\" (?:said|asked|answered) (?:he|she|him|her)\b",
        r"\b(\w+) \1\b",
        r"[.!?] [a-z]",
    ],
)
def test_grammar_slips_do_not_occur(told, wrong):
    for story in told:
        for paragraph in story.paragraphs:
            slip = re.search(wrong, paragraph)
            assert not slip, paragraph[max(0, slip.start() - 40) :][:90]


def test_random_choices_belong_to_the_story_alone():
    first = tell_story(WORLD, Random("a"))
    tell_story(WORLD, Random("b"))
    assert tell_story(WORLD, Random("a")) == first


def test_objects_of_every_class_exist():
    for plot in read_plots():
        assert stories._objects(plot.needs)
    with pytest.raises(ValueError, match="class 'nonsense'"):
        stories._objects("nonsense")


def test_scribe_notes_the_facts_that_it_states():
    roles = {"p": "Tala", "t": "Fenby"}
    scribe = Scribe(Random(0), "entries", roles)
    template = scribe.read("{p} lives in {t}. ~ p lives_in t")
    assert scribe.tell(template) == "Tala lives in Fenby."
    assert scribe.facts == [("Tala", "lives_in", "Fenby")]


def test_titles():
    assert title_case("a day in the life") == "A Day in the Life"

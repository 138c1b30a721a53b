# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Clean pages about the world, one at a time, in five kinds of prose."""

from collections.abc import Iterator
from functools import cache
from random import Random

from llm_from_scratch.corpus.entries import make_entry
from llm_from_scratch.corpus.grammar import read_lists
from llm_from_scratch.corpus.questions import Question, fill, questions
from llm_from_scratch.corpus.scribe import CleanPage as CleanPage
from llm_from_scratch.corpus.scribe import Scribe
from llm_from_scratch.corpus.stories import tell_story
from llm_from_scratch.corpus.talks import make_dialogue, make_howto
from llm_from_scratch.corpus.truth import Fact, World

__all__ = [
    "KINDS",
    "clean_page",
    "clean_pages",
    "make_qa",
]


@cache
def _askable(world: World) -> dict[str, tuple[Question, ...]]:
    """Stated questions of the train split by subject."""
    found: dict[str, list[Question]] = {}
    for question in questions(world, "train"):
        if not question.derived:
            found.setdefault(question.about[1], []).append(question)
    return {s: tuple(qs) for s, qs in found.items() if len(qs) > 2}


def make_qa(world: World, rng: Random) -> CleanPage:
    """Questions with answers about one subject, and some about others."""
    lists, askable = read_lists("questions"), _askable(world)
    people = [s for s in askable if s in world.people]
    towns = [s for s in askable if s in world.towns]
    about = rng.choice(people if rng.random() < 0.7 else towns)
    kind = "person" if about in world.people else "town"
    town = world.people[about].town if kind == "person" else about
    asked = list(askable[about])
    for other in _around(world, about, town, rng):
        asked += askable.get(other, ())[:4]
    rng.shuffle(asked)
    scribe = Scribe(rng, "questions", {"s": about, "t": town})
    parts = [scribe.tell_one(f"opening {kind}")]
    style = rng.choice(("Question: {}|Answer: {}", "Q: {}|A: {}", "{}|{}"))
    facts = list[Fact]()
    for question in asked[: rng.randrange(8, 14)]:
        relation, *named = question.about
        ask = fill(rng.choice(lists[f"ask {relation}"]), *named)
        reply = fill(rng.choice(lists[f"answer {relation}"]), *named)
        reply = reply.replace("{v}", question.answer)
        parts += style.format(ask, reply).split("|")
        facts += question.premises
    if rng.random() < 0.6:
        parts.append(scribe.tell_one("closing"))
    return CleanPage(
        "qa", f"Questions about {about}", tuple(parts), tuple(facts)
    )


def _around(world: World, about: str, town: str, rng: Random) -> list[str]:
    """Other subjects that a visitor would ask about as well."""
    person = world.people.get(about)
    near = [town, world.towns[town].festival]
    if person:
        near += [person.shop, person.spouse]
    else:
        near += [s.name for s in world.shops.values() if s.town == town]
    rng.shuffle(near)
    return near[:3]


KINDS = ("story", "entry", "dialogue", "qa", "howto")
_SHARES = (9, 5, 2, 2, 2)  # of every 20 pages
_MAKERS = {"dialogue": make_dialogue, "qa": make_qa, "howto": make_howto}


def clean_page(world: World, index: int, seed: int = 0) -> CleanPage:
    """Page `index` of a world: it depends on nothing but the arguments.

    Of every 20 pages in a row, 9 are stories, 5 entries, and 2 each dialogues,
    questions with answers, and instructions, in random order.
    """
    if index < 0:
        raise ValueError(f"pages are numbered from 0, got {index}")
    block, place = divmod(index, sum(_SHARES))
    order = [k for k, n in zip(KINDS, _SHARES, strict=True) for _ in range(n)]
    Random(f"kinds/{seed}/{block}").shuffle(order)
    kind = order[place]
    number = block * order.count(kind) + order[:place].count(kind)
    rng = Random(f"page/{world.seed}/{seed}/{index}")
    if kind == "story":
        story = tell_story(world, rng)
        return CleanPage(
            kind, story.title, story.paragraphs, story.facts, story.cast
        )
    if kind == "entry":
        return make_entry(world, rng, number)
    return _MAKERS[kind](world, rng)


def clean_pages(world: World, count: int, seed: int = 0) -> Iterator[CleanPage]:
    """Pages 0 to `count` - 1, made one by one."""
    for index in range(count):
        yield clean_page(world, index, seed)

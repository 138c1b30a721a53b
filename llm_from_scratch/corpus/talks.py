# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Dialogues, and instructions in steps."""

from functools import cache
from random import Random

from llm_from_scratch.corpus.grammar import number_word, read_lists, words
from llm_from_scratch.corpus.questions import is_heldout_question
from llm_from_scratch.corpus.scribe import (
    CleanPage,
    Scribe,
    person_thing,
    title_case,
)
from llm_from_scratch.corpus.teller import Role, Thing
from llm_from_scratch.corpus.truth import Person, World

__all__ = [
    "make_dialogue",
    "make_howto",
]


def make_dialogue(world: World, rng: Random) -> CleanPage:
    """A conversation between two people of one town, not close kin."""
    form = rng.choice(list(read_lists("dialogues")))
    title, one, other = form.split(" | ")
    x, y, near = _pick_speakers(world, rng, one, other)
    roles = _dialogue_roles(world, rng, x, y, near)
    scribe = Scribe(rng, "dialogues", roles)
    parts = scribe.script(
        (
            *_small_talk(rng, "greet"),
            *scribe.lists[form],
            *_small_talk(rng, "small"),
            *_small_talk(rng, "part"),
        ),
        0.8,
        lines_apart=True,
    )
    head = title_case(f"{title}: {x.name} and {y.name}")
    return CleanPage("dialogue", head, tuple(parts), tuple(scribe.facts))


def _dialogue_roles(
    world: World, rng: Random, x: Person, y: Person, near: str
) -> dict[str, Role]:
    """Roles of a dialogue between x and y, who may speak of a town near."""
    town, noun = world.towns[x.town], rng.choice(words("fragile things"))
    return _numbers(rng) | {
        "x": person_thing(x),
        "y": person_thing(y),
        "t": x.town,
        "near": near,
        "miles": str(world.roads[x.town, near]),
        "goods": rng.choice(words("goods")),
        "birthday": x.birthday,
        "likes": x.likes,
        "ytrade": y.trade,
        "shop": y.shop,
        "shopkind": world.shops[y.shop].kind if y.shop else "",
        "pet": x.pet,
        "species": x.species,
        "festival": town.festival,
        "date": town.date,
        "founded": str(town.founded),
        "day": rng.choice(("on Friday", "tomorrow", "in three days")),
        "o": Thing(noun, "n", False, rng.choice(("broken", "little", "old"))),
    }


def _small_talk(rng: Random, kind: str) -> tuple[str, ...]:
    """Lines of one of the lists "`kind` 1", "`kind` 2", ..."""
    lists = read_lists("smalltalk")
    return lists[rng.choice([t for t in lists if t.startswith(kind)])]


def _pick_speakers(
    world: World, rng: Random, one: str, other: str
) -> tuple[Person, Person, str]:
    """Two people who can have the roles, and a town they can talk about."""
    while True:
        x = rng.choice(_people(world, one))
        near = [p for p in world.residents[x.town] if _is(p, other)]
        roads = [
            end
            for end in world.neighbors[x.town]
            if not is_heldout_question(("road", x.town, end))
        ]
        if near and roads:
            y = rng.choice(near)
            if x.family != y.family and not _kin(world, x, y):
                return x, y, rng.choice(roads)


def _numbers(rng: Random) -> dict[str, Role]:
    """Numbers in words whose sums are right."""
    price, count, years = (rng.randrange(2, 10) for _ in range(3))
    done, rest = rng.randrange(5, 40), rng.randrange(3, 20)
    product = price * count
    paid = 10 * (product // 10 + 1)
    return {
        name: number_word(n)
        for name, n in {
            "price": price,
            "count": count,
            "times": product,
            "paid": paid,
            "change": paid - product,
            "years": years,
            "double": 2 * years,
            "many": rng.randrange(21, 99),
            "done": done,
            "rest": rest,
            "total": done + rest,
        }.items()
    }


def _is(person: Person, role: str) -> bool:
    """Whether a person can have a role of a dialogue."""
    return {
        "any": True,
        "child": person.generation == 2,
        "grown": bool(person.trade),
        "old": person.generation == 0,
        "owner": bool(person.pet),
    }[role]


@cache
def _people(world: World, role: str) -> tuple[Person, ...]:
    return tuple(p for p in world.people.values() if _is(p, role))


def _kin(world: World, x: Person, y: Person) -> bool:
    """Whether one is a parent or grandparent of the other."""
    up = {
        n: (p.mother, p.father, *world.grandparents(n))
        for n, p in ((x.name, x), (y.name, y))
    }
    return x.name in up[y.name] or y.name in up[x.name]


def make_howto(world: World, rng: Random) -> CleanPage:
    """Instructions in steps."""
    titles = [t for t, ls in read_lists("howtos").items() if "---" in ls]
    title = rng.choice(titles)
    helper = rng.choice(_people(world, "grown"))
    start, end = rng.choice(list(world.roads))
    n = rng.randrange(2, 7)
    roles: dict[str, Role] = {
        "a": person_thing(helper),
        "atrade": helper.trade,
        "at": helper.town,
        "t": start,
        "near": end,
        "miles": str(world.roads[start, end]),
        "n": number_word(n),
        "n2": number_word(rng.randrange(3, 9)),
        "n3": number_word(rng.randrange(12, 31)),
        "minutes": rng.choice(("ten", "fifteen", "twenty", "thirty")),
        "halfway": rng.choice(("old inn", "stone cross", "three oaks")),
    }
    walk = f"walk from {start} to {end}"
    named = walk if title.startswith("walk") else title
    scribe = Scribe(rng, "howtos", roles)
    parts = scribe.script(scribe.lists[title], 0.85)
    head = title_case(f"how to {named}")
    return CleanPage("howto", head, tuple(parts), tuple(scribe.facts))

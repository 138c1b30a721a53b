# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Stories from plots: a cast from the world, events that change its state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from llm_from_scratch.corpus.grammar import read_lists, words
from llm_from_scratch.corpus.scribe import (
    Cast,
    Scribe,
    person_thing,
    title_case,
)
from llm_from_scratch.corpus.teller import Role, Thing
from llm_from_scratch.corpus.truth import Fact, Person, World

__all__ = [
    "Event",
    "Plot",
    "Story",
    "cast_roles",
    "read_plots",
    "tell_story",
]


@dataclass(frozen=True)
class Event:
    """Something that happens, what it changes, and words for it."""

    label: str
    changes: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Plot:
    """A chain of events that ends in one of several ways.

    `needs` is the class of the object; `company` is child, animal, alone,
    stranger (a child nobody knows yet) or stray (an animal nobody owns).
    """

    title: str
    needs: str
    company: str
    events: tuple[Event, ...]
    endings: dict[str, Event]


@cache
def read_plots() -> tuple[Plot, ...]:
    """All plots of plots.txt; ValueError if one lacks a way to end."""
    found = []
    for head, lines in read_lists("plots").items():
        title, needs, company = head.split(" | ")
        events = list[Event]()
        for line in lines:
            if line.startswith("- "):
                label, _, changes = line[2:].partition(" | ")
                events.append(Event(label, tuple(changes.split(", ")), ()))
            else:
                last = events.pop()
                told = (*last.lines, line)
                events.append(Event(last.label, last.changes, told))
        ends = {e.label[4:]: e for e in events if e.label.startswith("end ")}
        if len(ends) < 2:
            raise ValueError(f"plot {title!r} has fewer than two endings")
        chain = tuple(e for e in events if not e.label.startswith("end "))
        found.append(Plot(title, needs, company, chain, ends))
    return tuple(found)


@cache
def _objects(needs: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Objects of a class, each with its adjectives."""
    rows = [line.split(" | ") for line in words("objects")]
    found = [(n, tuple(a.split())) for n, c, a in rows if needs in c.split()]
    if not found:
        raise ValueError(f"no object in words.txt is of class {needs!r}")
    return tuple(found)


def _pick_company(
    world: World, rng: Random, hero: Person, company: str
) -> tuple[Person | None, bool]:
    """A companion from the same town, and whether it is an animal."""
    if company == "alone":
        return None, False
    if company in ("child", "stranger"):
        names = world.playmates[hero.name]
        return world.people[rng.choice(names)], False
    if hero.pet and company == "animal":
        return hero, True
    owners = [p for p in world.children if p.pet and p.name != hero.name]
    near = [p for p in owners if p.town == hero.town]
    return rng.choice(near or owners), True


def cast_roles(
    world: World, rng: Random, hero: Person, plot: Plot
) -> tuple[dict[str, Role], Person | None]:
    """Who and what a plot is about: roles for a Teller; the companion."""
    friend, animal = _pick_company(world, rng, hero, plot.company)
    mother, father = world.people[hero.mother], world.people[hero.father]
    helper = world.people[rng.choice(world.helpers[hero.name])]
    noun, adjectives = rng.choice(_objects(plot.needs))
    roles: dict[str, Role] = {
        "h": person_thing(hero),
        "m": person_thing(rng.choice((mother, father))),
        "mom": person_thing(mother),
        "dad": person_thing(father),
        "momtrade": mother.trade,
        "dadtrade": father.trade,
        "a": person_thing(helper),
        "atrade": helper.trade,
        "o": Thing(noun, "n", False, rng.choice(adjectives)),
        "t": hero.town,
        "product": world.towns[hero.town].product,
        "hkind": "girl" if hero.female else "boy",
        "likes": hero.likes,
    }
    if friend and animal:
        roles |= {"f": Thing(friend.pet, "n"), "species": friend.species}
    elif friend:
        kind = "girl" if friend.female else "boy"
        roles |= {"f": person_thing(friend), "fkind": kind}
    return roles, friend


@dataclass(frozen=True)
class Story:
    """A told story: text, facts that it states, and where the object went."""

    cast: Cast
    title: str
    paragraphs: tuple[str, ...]
    facts: tuple[Fact, ...]
    holders: tuple[str, ...]  # of the object: names, or "at PLACE"


def tell_story(world: World, rng: Random) -> Story:
    """A story about a child of the world."""
    plot = rng.choice(read_plots())
    hero = world.people[rng.choice(world.heroes)]
    roles, friend = cast_roles(world, rng, hero, plot)
    scribe = Scribe(rng, "stories", roles)
    ending = rng.choice(sorted(plot.endings))
    opening = _opening(scribe, plot, hero, friend)
    events = (*plot.events, plot.endings[ending])
    paragraphs = [opening, *_middle(scribe, plot, events[:-1])]
    paragraphs += _finish(scribe, events[-1], ending)
    changes = (change for event in events for change in event.changes)
    thing, companion = roles["o"], roles.get("f")
    assert isinstance(thing, Thing)
    name = companion.name if isinstance(companion, Thing) else ""
    return Story(
        Cast(hero.name, name, thing.name, ending, plot.title),
        title_case(scribe.tell_one("titles")),
        tuple(paragraphs),
        tuple(scribe.facts),
        tuple(h for change in changes for h in _holder(change, roles)),
    )


def _middle(scribe: Scribe, plot: Plot, events: Sequence[Event]) -> list[str]:
    """Events in paragraphs of one or two, with talk and detail between."""
    rng, paragraphs, part = scribe.rng, list[str](), list[str]()
    talks = rng.sample(range(2, len(events) + 1), 2)
    if rng.random() < 0.8:
        part.append(scribe.tell_one("morning"))
    for i, event in enumerate(events):
        if i and len(part) >= rng.choice((1, 2, 2)):
            paragraphs.append(" ".join(part))
            part = []
            scribe.paragraph()
        if i in talks and f"talk {plot.company}" in scribe.lists:
            part.append(scribe.tell_one(f"talk {plot.company}"))
        lines = event.lines or scribe.lists[f"way {plot.company}"]
        part.append(scribe.tell(scribe.pick(lines)))
        if event.lines and rng.random() < 0.4:
            part.append(scribe.tell_one("detail"))
    scribe.paragraph()
    return [*paragraphs, " ".join(part)]


def _finish(scribe: Scribe, event: Event, ending: str) -> list[str]:
    """The last event, the evening, and a sentence that says how it ended."""
    rng, part = scribe.rng, list[str]()
    if rng.random() < 0.35:
        part.append(scribe.tell_one("thought"))
    part.append(scribe.tell(scribe.pick(event.lines)))
    paragraphs = [part]
    if rng.random() < 0.6:
        paragraphs.append([])
        scribe.paragraph()
    if rng.random() < 0.7:
        paragraphs[-1].append(scribe.tell_one("evening"))
    paragraphs[-1].append(scribe.tell_one(f"coda {ending}"))
    return [" ".join(p) for p in paragraphs]


def _opening(
    scribe: Scribe, plot: Plot, hero: Person, friend: Person | None
) -> str:
    """Who the hero is: where, whose child, and with whom."""
    rng = scribe.rng
    parent = "mother" if scribe.roles["m"] == scribe.roles["mom"] else "father"
    more = [f"open {parent}"]
    if rng.random() < 0.5:
        more.append("open likes")
    company = plot.company
    if company == "animal" and friend is not hero:
        company = "stray"
    if company in ("child", "animal", "stray"):
        more.append(f"friend {company}")
    rng.shuffle(more)
    setting = ["setting"] if rng.random() < 0.6 else []
    return " ".join(map(scribe.tell_one, ["open lives", *setting, *more]))


def _holder(change: str, roles: dict[str, Role]) -> list[str]:
    """Where a change such as "h gets o" or "o at roof" puts the object."""
    if not change:
        return []
    if change.startswith("o at "):
        return [change[2:]]
    who = roles.get(change.split()[0], "stranger")
    return [who if isinstance(who, str) else who.name]

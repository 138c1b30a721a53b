# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""What is true: people, towns, shops and roads of an invented region.

Names are the keys; a fact is a subject, a relation and a value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

__all__ = [
    "FIELDS",
    "NOW",
    "PERSON_RELATIONS",
    "TOWN_RELATIONS",
    "Fact",
    "Person",
    "Shop",
    "Town",
    "World",
    "list_facts",
]


NOW = 400  # the year in which the pages are written


class Fact(NamedTuple):
    """What a sentence can state: a subject, a relation and a value."""

    subject: str
    relation: str
    value: str


@dataclass(frozen=True)
class Person:
    """Someone who lives in the region; "" or () where nothing applies."""

    name: str
    family: str
    female: bool
    born: int
    birthday: str
    town: str
    generation: int  # 0 old, 1 grown up, 2 child
    mother: str = ""
    father: str = ""
    spouse: str = ""
    trade: str = ""
    shop: str = ""
    likes: str = ""
    pet: str = ""
    species: str = ""


@dataclass(frozen=True)
class Town:
    """A town, its neighborhood and what it is known for; miles, years."""

    name: str
    x: float
    y: float
    river: str
    hill: str
    founded: int
    product: str
    festival: str
    date: str
    custom: str


@dataclass(frozen=True)
class Shop:
    """A place of work: its sign, its kind, where it is and whose it is."""

    name: str
    kind: str
    trade: str
    town: str
    keeper: str


PERSON_RELATIONS = (
    "lives_in",
    "family",
    "born",
    "birthday",
    "mother",
    "father",
    "spouse",
    "trade",
    "works_at",
    "likes",
    "pet",
)
TOWN_RELATIONS = ("river", "hill", "founded", "product", "festival")
FIELDS = {"lives_in": "town", "works_at": "shop"}


@dataclass(frozen=True, eq=False)
class World:
    """Everything that is true. Mappings keep the order of creation."""

    seed: int
    region: str
    towns: dict[str, Town]
    shops: dict[str, Shop]
    people: dict[str, Person]
    rivers: dict[str, tuple[str, int]]  # the hill it rises on, its miles
    hills: dict[str, int]  # height in feet
    roads: dict[tuple[str, str], int] = field(default_factory=dict)

    @cached_property
    def children(self) -> tuple[Person, ...]:
        """People young enough to be the hero of a story."""
        return tuple(p for p in self.people.values() if p.generation == 2)

    @cached_property
    def neighbors(self) -> dict[str, tuple[str, ...]]:
        """Towns that a road leads to, by town."""
        near: dict[str, list[str]] = {name: [] for name in self.towns}
        for a, b in self.roads:
            near[a].append(b)
        return {name: tuple(found) for name, found in near.items()}

    @cached_property
    def residents(self) -> dict[str, tuple[Person, ...]]:
        """People by town."""
        homes: dict[str, list[Person]] = {name: [] for name in self.towns}
        for person in self.people.values():
            homes[person.town].append(person)
        return {name: tuple(found) for name, found in homes.items()}

    @cached_property
    def offspring(self) -> dict[str, tuple[str, ...]]:
        """Names of children by parent, oldest first."""
        found: dict[str, list[str]] = {name: [] for name in self.people}
        for child in sorted(self.people.values(), key=lambda p: p.born):
            if child.mother:
                found[child.mother].append(child.name)
                found[child.father].append(child.name)
        return {name: tuple(names) for name, names in found.items()}

    @cached_property
    def playmates(self) -> dict[str, tuple[str, ...]]:
        """By child: children of other families in the same town."""
        return {c.name: _playmates(self, c) for c in self.children}

    @cached_property
    def helpers(self) -> dict[str, tuple[str, ...]]:
        """By child: grown people of the town who are no close family."""
        return {c.name: _helpers(self, c) for c in self.children}

    @cached_property
    def heroes(self) -> tuple[str, ...]:
        """Children who have both playmates and helpers."""
        near = self.playmates
        return tuple(n for n in near if near[n] and self.helpers[n])

    @cached_property
    def facts(self) -> dict[tuple[str, str], str]:
        """What pages may state: {(subject, relation): value}."""
        return dict(list_facts(self))

    def grandparents(self, name: str) -> tuple[str, ...]:
        """Parents of the parents."""
        person = self.people[name]
        parents = [self.people[p] for p in (person.mother, person.father) if p]
        return tuple(g for p in parents for g in (p.mother, p.father) if g)


def list_facts(world: World) -> Iterator[tuple[tuple[str, str], str]]:
    """Every fact as ((subject, relation), value), in the order of creation."""
    for p in world.people.values():
        for relation in PERSON_RELATIONS:
            value = str(getattr(p, FIELDS.get(relation, relation)))
            if value:
                yield (p.name, relation), value
    for t in world.towns.values():
        for relation in TOWN_RELATIONS:
            yield (t.name, relation), str(getattr(t, relation))
        yield (t.festival, "held_on"), t.date
    for s in world.shops.values():
        yield (s.name, "shop_in"), s.town
        yield (s.name, "run_by"), s.keeper
        yield (s.name, "kind"), s.kind
    for river, (hill, miles) in world.rivers.items():
        yield (river, "rises_on"), hill
        yield (river, "length"), str(miles)
    for hill, feet in world.hills.items():
        yield (hill, "height"), str(feet)
    for (a, b), miles in world.roads.items():
        yield (a, f"road to {b}"), str(miles)


def _playmates(world: World, child: Person) -> tuple[str, ...]:
    near = world.residents[child.town]
    return tuple(
        p.name for p in near if p.generation == 2 and p.mother != child.mother
    )


def _helpers(world: World, child: Person) -> tuple[str, ...]:
    kin = {child.mother, child.father, *world.grandparents(child.name)}
    near = world.residents[child.town]
    return tuple(p.name for p in near if p.trade and p.name not in kin)

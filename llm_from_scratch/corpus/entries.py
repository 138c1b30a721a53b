# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Entries of an encyclopedia about what the world contains."""

from functools import cache
from random import Random

from llm_from_scratch.corpus.grammar import read_lists
from llm_from_scratch.corpus.scribe import (
    CleanPage,
    Scribe,
    person_thing,
    title_case,
)
from llm_from_scratch.corpus.teller import Role
from llm_from_scratch.corpus.truth import Person, Shop, Town, World

__all__ = [
    "make_entry",
    "subjects",
]


@cache
def subjects(world: World) -> tuple[tuple[str, str], ...]:
    """What entries are about, as (kind, name), in a shuffled order."""
    concepts = [
        t for t, lines in read_lists("concepts").items() if "---" in lines
    ]
    found = [
        *(("person", name) for name in world.people),
        *(("town", name) for name in world.towns),
        *(("festival", town.name) for town in world.towns.values()),
        *(("river", name) for name in world.rivers),
        *(("hill", name) for name in world.hills),
        *(("shop", name) for name in world.shops),
        *(("concept", name) for name in concepts),
    ]
    Random(f"subjects/{world.seed}").shuffle(found)
    return tuple(found)


def make_entry(world: World, rng: Random, number: int) -> CleanPage:
    """Entry `number`: the subjects take turns."""
    about = subjects(world)
    kind, name = about[number % len(about)]
    if kind == "person":
        return _person_entry(world, rng, world.people[name])
    if kind == "concept":
        scribe = Scribe(rng, "concepts", {})
        parts = scribe.script(scribe.lists[name], 0.85)
        return CleanPage("entry", title_case(name), tuple(parts))
    roles, title = _place_roles(world, rng, kind, name)
    scribe = Scribe(rng, "entries", roles)
    forms = _forms(scribe, kind)
    parts = scribe.script(scribe.lists[rng.choice(forms)], 0.85)
    return CleanPage("entry", title, tuple(parts), tuple(scribe.facts))


def _forms(scribe: Scribe, kind: str) -> list[str]:
    """The lists that are named "`kind` 1", "`kind` 2", ..."""
    found = (t.partition(" ") for t in scribe.lists)
    return [a + b + c for a, b, c in found if a == kind and c.isdigit()]


def _person_entry(world: World, rng: Random, p: Person) -> CleanPage:
    """An entry about a person: family upward, work, habits."""
    roles: dict[str, Role] = {
        "p": person_thing(p),
        "family": p.family,
        "t": p.town,
        "region": world.region,
        "birthday": p.birthday,
        "born": str(p.born),
        "trade": p.trade,
        "shop": p.shop,
        "shopkind": world.shops[p.shop].kind if p.shop else "",
        "likes": p.likes,
        "pet": p.pet,
        "species": p.species,
        "kind": "girl" if p.female else "boy",
        "offspring": "daughter" if p.female else "son",
        "partner": "husband" if p.female else "wife",
    }
    for role in ("mother", "father", "spouse"):
        if name := str(getattr(p, role)):
            roles[role] = person_thing(world.people[name])
    scribe = Scribe(
        rng,
        "entries",
        roles,
        parents="parents known" if p.mother else "parents unknown",
        animal="animal some" if p.pet else "animal none",
    )
    age = "child" if p.generation == 2 else "grown"
    forms = _forms(scribe, age)
    parts = scribe.script(scribe.lists[rng.choice(forms)], 0.85)
    title = f"{p.name} {p.family}"
    return CleanPage("entry", title, tuple(parts), tuple(scribe.facts))


@cache
def _shops(world: World) -> dict[str, list[Shop]]:
    """Shops by town."""
    found: dict[str, list[Shop]] = {town: [] for town in world.towns}
    for shop in world.shops.values():
        found[shop.town].append(shop)
    return found


def _town_roles(world: World, rng: Random, town: Town) -> dict[str, Role]:
    """Roles of an entry about a town or its festival."""
    near = rng.choice(world.neighbors[town.name])
    return {
        "t": town.name,
        "river": town.river,
        "hill": town.hill,
        "founded": str(town.founded),
        "product": town.product,
        "festival": town.festival,
        "date": town.date,
        "custom": town.custom,
        "near": near,
        "miles": str(world.roads[town.name, near]),
        "shop": rng.choice(_shops(world)[town.name]).name,
    }


def _place_roles(
    world: World, rng: Random, kind: str, name: str
) -> tuple[dict[str, Role], str]:
    """Roles and title of an entry about something on the map."""
    roles: dict[str, Role] = {"region": world.region}
    if kind in ("town", "festival"):
        town = world.towns[name]
        roles |= _town_roles(world, rng, town)
        return roles, name if kind == "town" else town.festival
    if kind == "shop":
        shop = world.shops[name]
        days = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays")
        roles |= {
            "shop": name,
            "kind": shop.kind,
            "trade": shop.trade,
            "t": shop.town,
            "keeper": shop.keeper,
            "closing": rng.choice(days),
        }
        return roles, title_case(name)
    if kind == "river":
        hill, length = world.rivers[name]
        roles |= {"river": name, "hill": hill, "length": str(length)}
        return roles, f"The River {name}"
    return roles | {"hill": name, "height": str(world.hills[name])}, name

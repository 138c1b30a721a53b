# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Draw an invented region from one seed: names, map, families, trades."""

import math
from dataclasses import replace
from random import Random
from typing import Any

from llm_from_scratch.corpus.grammar import words
from llm_from_scratch.corpus.truth import NOW, Person, Shop, Town
from llm_from_scratch.corpus.truth import Fact as Fact
from llm_from_scratch.corpus.truth import World as World

__all__ = [
    "NameMaker",
    "make_world",
]


class NameMaker:
    """Invents names of which no two are one typing error apart."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.taken: set[str] = set(words("not names"))

    def make(self, kind: str, count: int) -> list[str]:
        """`count` new names from the syllables "`kind` start/middle/end".

        Two syllables where they suffice, then three and four. ValueError
        if the syllables cannot give that many names.
        """
        starts, ends = list(words(f"{kind} start")), words(f"{kind} end")
        middles, found = words(f"{kind} middle"), list[str]()
        for _ in range(4):
            pool = [a + b for a in starts for b in ends]
            self.rng.shuffle(pool)
            for name in pool:
                if len(found) < count and self.claim(name):
                    found.append(name)
            if len(found) == count:
                return found
            starts = [a + m for a in starts for m in middles]
        raise ValueError(f"{count} names of kind {kind!r} are too many")

    def claim(self, name: str) -> bool:
        """Take a name unless it is too close to one that is taken."""
        low = name.lower()
        near = {low} | {low[:i] + low[i + 1 :] for i in range(1, len(low))}
        if near & self.taken:
            return False
        self.taken |= near
        return True


def make_world(seed: int = 0, towns: int = 12) -> World:
    """Draw a world of so many towns, with about 18 people to a town.

    The same seed and size give the same world on every machine.
    ValueError for fewer than 3 or more than 400 towns.
    """
    if not 3 <= towns <= 400:
        raise ValueError(f"a world has 3 to 400 towns, got {towns}")
    rng = Random(f"world/{seed}/{towns}")
    names = NameMaker(rng)
    hills = _make_hills(rng, max(3, towns // 3))
    rivers = {
        name: (hill, rng.randrange(12, 90))
        for name, hill in zip(
            names.make("river", max(3, towns // 4)), hills, strict=False
        )
    }
    places = _make_towns(rng, names, towns, list(rivers), list(hills))
    people = _make_people(rng, names, list(places))
    shops = _make_shops(rng, places, people)
    return World(
        seed=seed,
        region=names.make("region", 1)[0],
        towns=places,
        shops=shops,
        people=people,
        rivers=rivers,
        hills=hills,
        roads=_make_roads(places),
    )


def _make_hills(rng: Random, count: int) -> dict[str, int]:
    """Hills with two-word names and their heights in feet."""
    pool = [f"{a} {b}" for a in words("hill first") for b in words("hill last")]
    return {
        name: 10 * rng.randrange(40, 190) for name in rng.sample(pool, count)
    }


def _make_towns(
    rng: Random,
    names: NameMaker,
    count: int,
    rivers: list[str],
    hills: list[str],
) -> dict[str, Town]:
    """Towns on a map on which no two are closer than 4 miles."""
    side, spots = 6.0 * math.sqrt(count) + 6.0, list[tuple[float, float]]()
    while len(spots) < count:
        spot = (round(rng.uniform(0, side), 1), round(rng.uniform(0, side), 1))
        if all(math.dist(spot, other) >= 4 for other in spots):
            spots.append(spot)
    feasts = [
        f"{a} {b}" for a in words("feast first") for b in words("feast last")
    ]
    rng.shuffle(feasts)
    found, customs = {}, words("customs")
    for i, name in enumerate(names.make("town", count)):
        found[name] = Town(
            name,
            *spots[i],
            river=rivers[i % len(rivers)],
            hill=hills[rng.randrange(len(hills))],
            founded=rng.randrange(60, 300),
            product=rng.choice(words("products")),
            festival=feasts[i],
            date=_make_date(rng),
            custom=rng.choice(customs),
        )
    return found


def _make_date(rng: Random) -> str:
    """A day of the year that every year has."""
    return f"{rng.choice(words('months'))} {rng.randrange(1, 29)}"


def _make_roads(towns: dict[str, Town]) -> dict[tuple[str, str], int]:
    """Roads to the three nearest towns and between all regions of the map.

    A length is a straight line rounded up, so that a detour is never
    shorter than the direct road. Both directions are stored.
    """

    def miles(a: Town, b: Town) -> int:
        return math.ceil(math.dist((a.x, a.y), (b.x, b.y)))

    places = list(towns.values())
    pairs = []
    for i, a in enumerate(places):
        others = sorted(places, key=lambda b: (miles(a, b), b.name))
        pairs += [(a, b) for b in others[1:4]]
        if i:  # one road to an older town keeps the whole map connected
            pairs.append(
                (a, min(places[:i], key=lambda b: (miles(a, b), b.name)))
            )
    roads = {}
    for a, b in pairs:
        roads[a.name, b.name] = roads[b.name, a.name] = miles(a, b)
    return roads


class _Register:
    """The people who have been drawn so far, as keyword arguments."""

    def __init__(self, rng: Random, names: NameMaker, couples: int) -> None:
        self.rng = rng
        self.women = names.make("woman", 4 * couples)
        self.men = names.make("man", 4 * couples)
        self.about: dict[str, dict[str, Any]] = {}

    def add(self, female: bool, **about: Any) -> str:
        """Enter a person and return the name."""
        name: str = (self.women if female else self.men).pop()
        self.about[name] = {
            "name": name,
            "female": female,
            "birthday": _make_date(self.rng),
            "likes": self.rng.choice(words("likes")),
            **about,
        }
        return name

    def wed(self, wife: str, husband: str, home: str) -> dict[str, Any]:
        """Marry two people; what their children will have in common."""
        family = self.about[husband]["family"]
        for one, other in ((wife, husband), (husband, wife)):
            self.about[one] |= {"spouse": other, "town": home}
        self.about[wife]["family"] = family
        return {
            "mother": wife,
            "father": husband,
            "family": family,
            "town": home,
            "generation": self.about[husband]["generation"] + 1,
        }


def _make_people(
    rng: Random, names: NameMaker, towns: list[str]
) -> dict[str, Person]:
    """Three generations: each old couple's son weds another's daughter."""
    couples = 3 * len(towns)
    book = _Register(rng, names, couples)
    sons, daughters = list[str](), list[str]()
    for i, family in enumerate(names.make("family", couples)):
        born = NOW - rng.randrange(60, 73)
        about = {"family": family, "generation": 0, "born": born}
        wife = book.add(True, **about)
        about["born"] = born - rng.randrange(5)
        husband = book.add(False, **about)
        about = book.wed(wife, husband, towns[i % len(towns)])
        for found, female in ((sons, False), (daughters, True)):
            age = rng.randrange(20, 29)  # of the mother
            found.append(book.add(female, born=born + age, **about))
    order, pets = list(range(couples)), names.make("pet", couples)
    rng.shuffle(order)
    for k, i in enumerate(order):
        wife = daughters[order[(k + 1) % couples]]
        about = book.wed(wife, sons[i], rng.choice(towns))
        _add_children(rng, book, about, pets[k])
    return {name: Person(**about) for name, about in book.about.items()}


def _add_children(
    rng: Random, book: _Register, about: dict[str, Any], pet: str
) -> None:
    """Two children of 6 to 14 years; the older one has an animal."""
    first = NOW - rng.randrange(9, 15)
    book.add(
        rng.random() < 0.5,
        born=first,
        pet=pet,
        species=rng.choice(words("pets")),
        **about,
    )
    second = min(first + rng.randrange(1, 5), NOW - 6)
    book.add(rng.random() < 0.5, born=second, **about)


def _make_shops(
    rng: Random, towns: dict[str, Town], people: dict[str, Person]
) -> dict[str, Shop]:
    """Give every grown person a trade and a place of work in town."""
    signs = [
        f"the {a} {b}" for a in words("sign first") for b in words("sign last")
    ]
    rng.shuffle(signs)
    kinds = [line.split(" | ") for line in words("trades")]
    shops = {}
    for town in towns:
        staff = [
            p for p in people.values() if p.town == town and p.generation < 2
        ]
        rng.shuffle(staff)
        count = max(1, len(staff) // 3)
        for i, (trade, kind) in enumerate(rng.sample(kinds, count)):
            crew = staff[i::count]
            shop = Shop(signs.pop(), kind, trade, town, crew[0].name)
            shops[shop.name] = shop
            for person in crew:
                people[person.name] = replace(
                    person, trade=trade, shop=shop.name
                )
    return shops

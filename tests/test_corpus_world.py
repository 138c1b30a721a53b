"""The invented world is consistent, and the same on every machine."""

import hashlib
from itertools import combinations

import pytest

from llm_from_scratch.corpus.truth import NOW
from llm_from_scratch.corpus.world import NameMaker, make_world

SIZES = [(0, 12), (1, 3), (2, 40)]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def world(request):
    return make_world(*request.param)


def test_children_are_younger_than_their_parents(world):
    for person in world.people.values():
        for parent in filter(None, (person.mother, person.father)):
            age = person.born - world.people[parent].born
            assert 18 <= age <= 50, person


def test_mothers_are_women_and_fathers_are_men(world):
    for p in world.people.values():
        assert not p.mother or world.people[p.mother].female
        assert not p.father or not world.people[p.father].female


def test_marriage_is_mutual_and_between_strangers(world):
    for p in filter(lambda p: p.spouse, world.people.values()):
        other = world.people[p.spouse]
        assert other.spouse == p.name
        assert other.female != p.female
        assert not p.mother or p.mother != other.mother


def test_couples_share_a_home_and_children_live_with_them(world):
    for p in world.people.values():
        if p.spouse:
            assert world.people[p.spouse].town == p.town
        if p.generation == 2:
            assert p.town == world.people[p.mother].town


def test_only_grown_people_work_and_in_their_own_town(world):
    for p in world.people.values():
        assert bool(p.shop) == bool(p.trade) == (p.generation < 2)
        if p.shop:
            assert world.shops[p.shop].town == p.town
            assert world.shops[p.shop].trade == p.trade


def test_keepers_work_in_their_own_shop(world):
    for shop in world.shops.values():
        assert world.people[shop.keeper].shop == shop.name


def test_roads_are_symmetric_and_obey_the_triangle(world):
    for (a, b), miles in world.roads.items():
        assert miles == world.roads[b, a] > 0
        for c in set(world.neighbors[a]) & set(world.neighbors[b]):
            assert miles <= world.roads[a, c] + world.roads[c, b]


def test_every_town_can_be_reached(world):
    reached, edge = set(), [next(iter(world.towns))]
    while edge:
        town = edge.pop()
        reached.add(town)
        edge += [t for t in world.neighbors[town] if t not in reached]
    assert reached == set(world.towns)


def test_dates_exist_and_years_are_past(world):
    for p in world.people.values():
        month, day = p.birthday.split()
        assert month.istitle()
        assert 1 <= int(day) <= 28
        assert p.born <= NOW - 6
    assert all(t.founded < NOW for t in world.towns.values())


def test_names_are_unique_across_kinds(world):
    pets = [p.pet for p in world.people.values() if p.pet]
    names = [*world.people, *world.towns, *world.rivers, *pets]
    assert len(names) == len({n.lower() for n in names})


def test_names_with_one_initial_differ_by_two_letters():
    def one_off(a, b):
        if len(a) == len(b):
            return sum(x != y for x, y in zip(a, b, strict=True)) < 2
        short, long = sorted((a, b), key=len)
        cuts = (long[:i] + long[i + 1 :] for i in range(len(long)))
        return len(long) - len(short) == 1 and short in cuts

    for a, b in combinations(make_world().people, 2):
        assert a[0] != b[0] or not one_off(a, b), (a, b)


def test_world_grows_with_its_size():
    small, large = make_world(towns=3), make_world(towns=240)
    assert len(small.people) == 3 * 18
    assert len(large.people) == 240 * 18


def test_world_is_the_same_on_every_machine():
    text = repr(sorted(make_world().facts.items())).encode()
    assert hashlib.sha256(text).hexdigest()[:16] == "88be14a0637d47eb"


def test_seeds_give_different_worlds():
    assert set(make_world(0).people) != set(make_world(1).people)


@pytest.mark.parametrize("towns", [2, 401])
def test_impossible_sizes_are_named(towns):
    with pytest.raises(ValueError, match=f"got {towns}"):
        make_world(towns=towns)


def test_too_many_names_are_refused():
    from random import Random

    with pytest.raises(ValueError, match="'region' are too many"):
        NameMaker(Random(0)).make("region", 10_000)

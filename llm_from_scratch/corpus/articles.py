# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Clean pages about the world, one at a time, in five kinds of prose."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from llm_from_scratch.corpus.world import Fact, World

__all__ = [
    "KINDS",
    "CleanPage",
    "clean_page",
    "clean_pages",
]


KINDS = ("story", "entry", "dialogue", "qa", "howto")


@dataclass(frozen=True)
class CleanPage:
    """A page of clean prose and the facts that it states."""

    kind: str
    title: str
    paragraphs: tuple[str, ...]
    facts: tuple[Fact, ...] = ()

    @property
    def text(self) -> str:
        """Title and paragraphs, with a blank line between."""
        return "\n\n".join((self.title, *self.paragraphs))


def clean_page(world: World, index: int, seed: int = 0) -> CleanPage:
    """Page `index` of a world: it depends on nothing but the arguments."""
    rng = Random(f"page/{world.seed}/{seed}/{index}")
    people = list(world.people.values())
    person = people[index % len(people)]
    line = f"{person.name} lives in {person.town}."
    fact = Fact(person.name, "lives_in", person.town)
    return CleanPage(rng.choice(KINDS), person.name, (line,), (fact,))


def clean_pages(world: World, count: int, seed: int = 0) -> Iterator[CleanPage]:
    """Pages 0 to `count` - 1, made one by one."""
    for index in range(count):
        yield clean_page(world, index, seed)

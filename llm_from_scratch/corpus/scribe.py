# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""A teller that notes the facts it states, and the page that it fills."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from llm_from_scratch.corpus.grammar import read_lists, words
from llm_from_scratch.corpus.teller import Role, Teller, Thing
from llm_from_scratch.corpus.truth import Fact, Person

__all__ = [
    "Cast",
    "CleanPage",
    "Scribe",
    "person_thing",
    "title_case",
]


@dataclass(frozen=True)
class Cast:
    """What a story is about, as a reader could be asked to tell it."""

    hero: str
    companion: str  # "" if the hero is alone
    thing: str
    ending: str  # happy, sad or lesson
    plot: str


@dataclass(frozen=True)
class CleanPage:
    """A page of clean prose, the facts that it states, a story's cast."""

    kind: str
    title: str
    paragraphs: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    cast: Cast | None = None

    @property
    def text(self) -> str:
        """Title and paragraphs, with a blank line between."""
        return "\n\n".join((self.title, *self.paragraphs))


class Scribe(Teller):
    """A teller of a data file that writes down the facts which it states.

    Facts are noted after " ~ " in a line, as "subject relation value; ...".
    """

    def __init__(
        self, rng: Random, name: str, roles: Mapping[str, Role], **also: str
    ) -> None:
        lists = read_lists(name)
        chosen = {title: lists[other] for title, other in also.items()}
        super().__init__(rng, ChainMap(chosen, lists), roles)  # type: ignore
        self.facts: list[Fact] = []

    def read(self, line: str) -> str:
        """The template in a line; its notes become facts."""
        template, _, notes = line.partition(" ~ ")
        for note in filter(None, notes.split("; ")):
            subject, relation, value = note.split()
            named = self._name(value)
            if relation == "miles":
                relation, named = f"road to {named}", self._name("miles")
            self.facts.append(Fact(self._name(subject), relation, named))
        return template

    def script(
        self,
        lines: Sequence[str],
        chance: float = 0.5,
        lines_apart: bool = False,
    ) -> list[str]:
        """Paragraphs from lines: "---" between them, "? " before a maybe.

        With `lines_apart` every line is a paragraph.
        """
        paragraphs: list[list[str]] = [[]]
        for line in lines:
            if line == "---":
                paragraphs.append([])
                self.paragraph()
            elif line[:2] != "? " or self.rng.random() < chance:
                for part in line.removeprefix("? ").split(" // "):
                    paragraphs[-1].append(self.tell(self.read(part)))
                    if lines_apart:
                        paragraphs.append([])
        return [" ".join(p) for p in paragraphs if p]

    def _name(self, role: str) -> str:
        thing = self.roles[role]
        return thing if isinstance(thing, str) else thing.name


def person_thing(person: Person) -> Thing:
    """A person as someone to refer to."""
    return Thing(person.name, "f" if person.female else "m")


def title_case(title: str) -> str:
    """A title with capitals, except for small words inside."""
    small = words("small title words")
    return " ".join(
        w if i and w in small else w[:1].upper() + w[1:]
        for i, w in enumerate(title.split())
    )

# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""A text taken apart: who is named where, and whether they fit."""

import re
from dataclasses import dataclass
from functools import cache

from llm_from_scratch.corpus.claims import (
    EITHER,
    FEMALE,
    MALE,
    People,
    sentences,
    unquoted,
)
from llm_from_scratch.corpus.truth import World

__all__ = [
    "Reading",
    "check_hero",
    "check_pronouns",
    "read",
]


@dataclass
class Reading:
    """A text taken apart: its paragraphs as sentences, and who is who."""

    world: World
    paragraphs: list[list[str]]
    people: People

    @property
    def sentences(self) -> list[str]:
        """All sentences in order."""
        return [s for paragraph in self.paragraphs for s in paragraph]

    def names(self, sentence: str) -> list[str]:
        """People and animals named in a sentence, known or not."""
        words_ = re.findall(r"\b[A-Z][a-z]+\b", sentence)
        return [w for w in words_ if self.people.gender(w) or w in self.pets]

    @property
    def pets(self) -> frozenset[str]:
        """Names of animals."""
        return _pets(self.world)


@cache
def _pets(world: World) -> frozenset[str]:
    return frozenset(p.pet for p in world.people.values() if p.pet)


def read(text: str, world: World) -> Reading:
    """Take a text apart; a first line without a full stop is its title."""
    blocks = [b for b in text.split("\n") if b.strip()]
    if len(blocks) > 1 and not re.search(r"[.!?\"]$", blocks[0].strip()):
        blocks = blocks[1:]
    reading = Reading(world, [sentences(b) for b in blocks], People(world, {}))
    for sentence in reading.sentences:
        reading.people.listen(sentence)
    return reading


_KNOWN = r"(?:named|called|friend|mother,|father,) {0}\b|\b{0} the [a-z]+"
_KNOWN += r"|\b{0}, [\w ']*(?:mother|father)|\"{0},\" said the|{0}, for that"


def check_hero(reading: Reading, hero: str) -> list[str]:
    """Problems with who acts: the hero vanishes, or a stranger walks in.

    Whoever is named for the first time after the first paragraph must be
    introduced in that sentence ("Tala the miller", "a boy named Bo").
    """
    told, notes = reading.sentences, list[str]()
    named = [i for i, s in enumerate(told) if hero in reading.names(s)]
    if not named or named[0] > len(told) / 3:
        notes.append(f"{hero} is not there at the beginning")
    elif named[-1] < len(told) * 2 / 3 - 1:
        notes.append(f"{hero} is not there at the end")
    first = max(len(reading.paragraphs[0]), 3) if told else 0
    met = {n for s in told[:first] for n in reading.names(s)}
    for sentence in told[first:]:
        for name in reading.names(sentence):
            if name not in met:
                pattern = _KNOWN.format(re.escape(name))
                if not re.search(pattern, sentence):
                    notes.append(f"{name} was never introduced")
                met.add(name)
    return notes


def check_pronouns(reading: Reading) -> list[str]:
    """Pronouns whose gender fits nobody in this sentence or the last."""
    notes, near = list[str](), dict[str, int]()
    place = 0
    for paragraph in reading.paragraphs:
        for sentence in paragraph:
            place += 1
            for word in re.findall(r"[A-Za-z]+", sentence):
                _hear(reading, word, near, place)
            for word in re.findall(r"[a-z]+", unquoted(sentence).lower()):
                gender = _GENDER.get(word)
                if gender is None:
                    continue
                if place - near.get(gender, -9) > 1:
                    notes.append(f"nobody fits {word!r} in {sentence!r}")
                near[gender] = place
    return notes


_GENDER = dict.fromkeys(("she", "her", "hers", "herself"), "f")
_GENDER |= dict.fromkeys(("he", "him", "his", "himself"), "m")


def _hear(
    reading: Reading, word: str, near: dict[str, int], place: int
) -> None:
    """Note that someone of a gender was just mentioned."""
    gender = reading.people.gender(word)
    if gender:
        near[gender] = place
    elif word in FEMALE:
        near["f"] = place
    elif word in MALE:
        near["m"] = place
    elif word in EITHER:
        near["f"] = near["m"] = place

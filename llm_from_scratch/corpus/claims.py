# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""What a text claims about the world, read with patterns of its own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from llm_from_scratch.corpus.grammar import read_lists, words
from llm_from_scratch.corpus.truth import Fact, World

__all__ = [
    "EITHER",
    "FEMALE",
    "MALE",
    "Claim",
    "People",
    "claims",
    "judge",
    "resolve",
    "sentences",
    "unquoted",
]


FEMALE = frozenset(words("women"))
MALE = frozenset(words("men"))
EITHER = frozenset(words("men or women"))
_PRONOUN = {"she": "f", "her": "f", "hers": "f", "herself": "f"}
_PRONOUN |= {"he": "m", "him": "m", "his": "m", "himself": "m"}
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"])|(?<=[.!?]\")\s+(?=[A-Z\"])")


def sentences(paragraph: str) -> list[str]:
    """Split a paragraph after . ! ? where a capital or a quote follows."""
    return [s for s in _END.split(paragraph.strip()) if s]


def unquoted(sentence: str) -> str:
    """A sentence without what is said in quotation marks."""
    return re.sub(r'"[^"]*"?', '""', sentence)


@dataclass
class People:
    """Who can be meant by a name, and what gender we know of."""

    world: World
    heard: dict[str, str]  # gender of people whom only the text knows

    def gender(self, name: str) -> str:
        """f, m, or "" if nothing is known."""
        person = self.world.people.get(name)
        if person:
            return "f" if person.female else "m"
        return self.heard.get(name, "")

    def listen(self, sentence: str) -> None:
        """Learn gender from "a girl named X"."""
        pattern = r"\b(girl|woman|boy|man) (?:named|called) ([A-Z][a-z]+)"
        for kind, name in re.findall(pattern, sentence):
            gender = "f" if kind in FEMALE else "m"
            self.heard.setdefault(name, gender)


def resolve(sentence: str, last: dict[str, str], people: People) -> str:
    """The sentence with names for he and she; updates who was last named.

    A pronoun stands for the last person of its gender. "His" and "her"
    before a noun become possessives.
    """

    def name_of(match: re.Match[str]) -> str:
        word = match[0]
        gender = _PRONOUN.get(word.lower())
        if gender is None:
            if people.gender(word):
                last[people.gender(word)] = word
            return word
        name = last.get(gender)
        if not name or word.lower() in ("himself", "herself"):
            return word
        follows = sentence[match.end() :]
        owner = word.lower() == "his" or re.match(r" [a-z]", follows)
        if word.lower() in ("his", "her") and owner:
            return f"{name}'s"
        return name

    return re.sub(r"\b[A-Za-z]+\b", name_of, sentence)


def _types() -> dict[str, str]:
    """Regular expressions for values that are not names."""
    return {
        "person": r"(?<![Tt]he )[A-Z][a-z]+",
        "family": r"[A-Z][a-z]+",
        "town": r"[A-Z][a-z]+",
        "pet": r"[A-Z][a-z]+",
        "river": r"[A-Z][a-z]+",
        "hill": r"[A-Z][\w']+ [A-Z][a-z]+",
        "festival": r"[A-Z][a-z]+ [A-Z][a-z]+",
        "shop": r"[Tt]he [A-Z][\w-]+ [A-Z][a-z]+",
        "number": r"\d+",
        "date": "(?:" + "|".join(words("months")) + r") \d+",
        "food": "(?:" + "|".join(words("likes")) + ")",
        "product": "(?:" + "|".join(words("products")) + ")",
        "trade": "(?:" + "|".join(t for t, _ in _trades()) + ")",
        "kind": "(?:" + "|".join(k for _, k in _trades()) + ")",
    }


def _trades() -> list[tuple[str, str]]:
    pairs = [line.split(" | ") for line in words("trades")]
    return [(trade, kind) for trade, kind in pairs]


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """Relation, pattern and a word that the pattern cannot do without."""
    types, found = _types(), []
    for title, lines in read_lists("claims").items():
        relation, _, kinds = title.partition(" | ")
        subject, value = kinds.split()[0], kinds.split()[-1]
        for line in lines:
            text = line.replace("{s}", f"(?P<s>{types[subject]})", 1)
            text = text.replace("{s}", "(?P=s)")
            text = text.replace("{s2}", f"(?P<s2>{types[subject]})")
            text = text.replace("{v}", f"(?P<v>{types[value]})", 1)
            bare = re.sub(r"\(.*?\)\??|\{.*?\}|\[.*?\]|\\.|\w\?", " ", line)
            key = max(re.findall(r"[a-z]+", bare) or [""], key=len)
            found.append((relation, re.compile(rf"(?<![\w]){text}"), key))
    return tuple(found)


@dataclass(frozen=True)
class Claim:
    """A fact that a text states, and whether the world agrees.

    `verdict` is True, False, or None if the world knows nothing of it.
    """

    fact: Fact
    verdict: bool | None
    sentence: str


def claims(text: str, world: World) -> list[Claim]:
    """Everything that a text states about people and places, in order."""
    people, last = People(world, {}), dict[str, str]()
    place, found = dict[str, str](), list[Claim]()
    for paragraph in text.split("\n"):
        for sentence in sentences(paragraph):
            people.listen(sentence)
            named = resolve(sentence, last, people)
            named = _resolve_places(named, place, world)
            for fact in dict.fromkeys(_match(named)):
                verdict = judge(fact, world)
                found.append(Claim(fact, verdict, sentence))
    return found


_NOT_NAMES = frozenset(words("openers"))


def _match(sentence: str) -> Iterator[Fact]:
    for relation, pattern, key in _patterns():
        if key in sentence:
            for match in pattern.finditer(sentence):
                parts = match.groupdict()
                kind = relation
                if {parts["s"], parts["v"]} & _NOT_NAMES:
                    continue
                if "s2" in parts:
                    kind = f"road to {parts['s2']}"
                yield Fact(_plain(parts["s"]), kind, _plain(parts["v"]))


def _plain(name: str) -> str:
    return "the " + name[4:] if name.startswith("The ") else name


def _resolve_places(sentence: str, place: dict[str, str], world: World) -> str:
    """Put the last town for "the town", the last feast for "it"."""
    for name in re.findall(r"[A-Z]\w+(?: [A-Z]\w+)?", sentence):
        if name in world.towns:
            place["town"] = name
        elif (name, "held_on") in world.facts:
            place["feast"] = name
    if "town" in place:
        sentence = sentence.replace("behind the town", f"near {place['town']}")
        if sentence.startswith("The nearest hill is"):
            hill = sentence.removeprefix("The nearest hill is ").rstrip(".")
            sentence = f"Near {place['town']} rises {hill}."
    if "feast" in place and sentence.startswith("It takes place"):
        sentence = place["feast"] + sentence.removeprefix("It")
    return sentence


def judge(fact: Fact, world: World) -> bool | None:
    """Whether the world agrees; None if it does not know the subject.

    A grown person has many true relations that the world leaves open
    (parents of the oldest, say): what it leaves open is unknown as well.
    """
    known = world.facts.get((fact.subject, fact.relation))
    return None if known is None else known == fact.value

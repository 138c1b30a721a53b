# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Break a good story in one known way, to test what a checker sees."""

import re
from random import Random

from llm_from_scratch.corpus.claims import claims
from llm_from_scratch.corpus.grammar import words
from llm_from_scratch.corpus.scribe import CleanPage
from llm_from_scratch.corpus.truth import World

__all__ = [
    "SPOILS",
    "spoil",
]


SPOILS = ("name", "pronoun", "thing", "holder", "fact", "cut", "mood")
_FLIP = {"she": "he", "her": "him", "hers": "his", "herself": "himself"}
_BACK = {"he": "she", "him": "her", "his": "her", "himself": "herself"}


def spoil(page: CleanPage, world: World, rng: Random, how: str) -> str | None:
    """The text of a story page with one error, or None if it cannot be made.

    name: the hero has another name from the middle on. pronoun: so does
    the pronoun. thing: the object becomes another. holder: somebody has it
    who cannot. fact: a stated value is wrong. cut: the last sentences are
    missing. mood: the story ends in another mood. ValueError for others.
    """
    if how not in SPOILS or page.cast is None:
        raise ValueError(f"cannot spoil {page.kind} with {how!r}")
    title, *paragraphs = page.text.split("\n\n")
    body = "\n\n".join(paragraphs)
    made = _HOW[how](body, page, world, rng)
    return f"{title}\n\n{made}" if made and made != body else None


def _halves(body: str) -> tuple[str, str]:
    """The text up to the paragraph that crosses the middle, and the rest."""
    at = body.find("\n\n", len(body) // 2)
    return (body[:at], body[at:]) if at >= 0 else (body, "")


def _name(body: str, page: CleanPage, world: World, rng: Random) -> str:
    first, second = _halves(body)
    assert page.cast
    hero = world.people[page.cast.hero]
    same = [p for p in world.children if p.female == hero.female]
    other = rng.choice([p.name for p in same if p.name not in body])
    return first + re.sub(rf"\b{hero.name}\b", other, second)


def _pronoun(body: str, page: CleanPage, world: World, rng: Random) -> str:
    first, second = _halves(body)
    assert page.cast
    flip = _FLIP if world.people[page.cast.hero].female else _BACK

    def other(match: re.Match[str]) -> str:
        word = match[0]
        new = flip.get(word.lower(), word)
        if word.lower() == "her" and re.match(
            r" [a-z]", match.string[match.end() :]
        ):
            new = "his"
        return new.capitalize() if word[0].isupper() else new

    return first + re.sub(r"\b[A-Za-z]+\b", other, second)


def _thing(body: str, page: CleanPage, world: World, rng: Random) -> str:
    first, second = _halves(body)
    assert page.cast
    nouns = [line.split(" | ")[0] for line in words("objects")]
    other = rng.choice([n for n in nouns if n not in body])
    return first + re.sub(rf"\b{page.cast.thing}\b", other, second)


def _holder(body: str, page: CleanPage, world: World, rng: Random) -> str:
    """Right after the hero takes the object, somebody else carries it."""
    assert page.cast
    name, thing = page.cast.hero, page.cast.thing
    verb = r"\b(?:had|got|gave|found|took|bought|lent|borrowed|carried)\b"
    match = re.search(
        rf"{name}[^.]*{verb}[^.]*{thing}[^.]*\. |{verb} {name}[^.]*{thing}"
        rf"[^.]*\. ",
        body,
    )
    if match is None:
        return ""
    other = page.cast.companion
    if not other or other in match[0]:
        return ""
    wrong = f"{other} carried the {thing} home. "
    return body[: match.end()] + wrong + body[match.end() :]


def _fact(body: str, page: CleanPage, world: World, rng: Random) -> str:
    good = [c for c in claims(body, world) if c.verdict]
    if not good:
        return ""
    claim = rng.choice(good)
    fact = claim.fact
    pool = {
        v
        for (_, r), v in world.facts.items()
        if r == fact.relation and v not in body
    }
    value = rng.choice(sorted(pool))
    wrong = re.sub(rf"\b{re.escape(fact.value)}\b", value, claim.sentence)
    return body.replace(claim.sentence, wrong, 1)


def _cut(body: str, page: CleanPage, world: World, rng: Random) -> str:
    """Leave out the last paragraph, or stop in the middle of a sentence."""
    if rng.random() < 0.5:
        return body[: body.rfind("\n\n")]
    return body[: body.rfind(" ", 0, len(body) - 12)]


def _mood(body: str, page: CleanPage, world: World, rng: Random) -> str:
    """Put another ending's last sentence in place of the last paragraph."""
    assert page.cast
    ends = {
        "happy": "Nobody in the whole town was as happy that evening.",
        "sad": "It was the saddest evening of the year.",
        "lesson": "It was a lesson for everyone.",
    }
    del ends[page.cast.ending]
    return body.rstrip() + " " + ends[rng.choice(sorted(ends))]


_HOW = {
    "name": _name,
    "pronoun": _pronoun,
    "thing": _thing,
    "holder": _holder,
    "fact": _fact,
    "cut": _cut,
    "mood": _mood,
}

# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Grade any text as a story: hero, object, pronouns, facts, ending."""

import re
from dataclasses import dataclass, field
from functools import cache

from llm_from_scratch.corpus.claims import (
    Claim,
    claims,
    resolve,
    sentences,
    unquoted,
)
from llm_from_scratch.corpus.grammar import words
from llm_from_scratch.corpus.reading import (
    Reading,
    check_hero,
    check_pronouns,
    read,
)
from llm_from_scratch.corpus.scribe import Cast
from llm_from_scratch.corpus.truth import World

__all__ = [
    "ASPECTS",
    "CUES",
    "Report",
    "check_story",
    "check_thing",
    "ending_of",
]


ASPECTS = ("hero", "thing", "pronouns", "facts", "ending")


@dataclass
class Report:
    """A verdict for each aspect: True, False, or None if it does not apply.

    `notes` say what was wrong; `claims` what the text states.
    """

    hero: bool | None = None
    thing: bool | None = None
    pronouns: bool | None = None
    facts: bool | None = None
    ending: bool | None = None
    notes: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The share of the aspects that apply and are right, 0 to 1."""
        verdicts = [getattr(self, aspect) for aspect in ASPECTS]
        judged = [v for v in verdicts if v is not None]
        return sum(judged) / len(judged) if judged else 0.0


_TAKE = "found|took|caught|bought|borrowed|fetched|got|received|picked up"
_TAKE += "|lifted|pulled|accepted"
_USE = "carried|held|wore|polished|folded|threw|waved|kept|still had"
_OWN = "had|owned|carried|brought|wore|held|packed|pulled|was given"
_DROP = "put|laid|left|dropped|set|lost|hid|hung|tied"


@cache
def _things() -> frozenset[str]:
    """Nouns that stories can be about."""
    return frozenset(line.split(" | ")[0] for line in words("objects"))


def check_thing(reading: Reading, thing: str) -> list[str]:
    """Problems with the object: it changes, vanishes, or teleports.

    "The X" needs an "a X" (or a possessive) before it, and only who holds
    the object, or takes it, can give it away or carry it.
    """
    told, notes = reading.sentences, list[str]()
    whole = " ".join(told)
    seen = [m.start() for m in re.finditer(rf"\b{thing}\b", whole)]
    if not seen or seen[-1] < len(whole) / 2:
        notes.append(f"the {thing} is forgotten")
    for other in sorted(_things() - {thing}):
        known = re.search(rf"(?i)\bthe {other}\b", whole)
        if known and not re.search(rf"\b{other}", whole[: known.start()]):
            notes.append(f"the {other} comes from nowhere")
    return notes + _check_holder(reading, thing)


def _check_holder(reading: Reading, thing: str) -> list[str]:
    """Who holds the thing, sentence by sentence: nobody else can use it."""
    holder, notes, last = "", list[str](), dict[str, str]()
    patterns = _holding(thing)
    for sentence in reading.sentences:
        text = unquoted(resolve(sentence, last, reading.people))
        events = [
            (match.start(), rank, kind, match["who"])
            for rank, (kind, pattern) in enumerate(patterns)
            for match in pattern.finditer(text)
            if match["who"] not in _NOBODY
        ]
        for _, _, kind, who in sorted(events):
            if kind in ("take", "give"):
                holder = who
            elif kind == "use" and holder and who != holder:
                notes.append(f"{who} cannot have the {thing} in {sentence!r}")
            elif kind == "drop":
                holder = ""
    return notes


_NOBODY = frozenset(words("openers")) | {"They", "He", "She", "It", "You"}


@cache
def _holding(thing: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Patterns for using, giving, taking and putting down the thing.

    Group "who" is the user or the new holder.
    """
    name, it = r"(?P<who>[A-Z][a-z]+)", rf"(?:the (?:\w+ )?{thing}|it)"
    a_thing = rf"(?:the|an?) (?:\w+ )?{thing}"
    give = "gave|handed|lent"
    return tuple(
        (kind, re.compile(rf"\b{text}\b"))
        for kind, text in (
            ("use", rf"{name} (?:{_USE}|{give}) (?:the {thing})"),
            ("use", rf"{name} (?:{give}) [A-Z][a-z]+ the {thing}"),
            ("give", rf"(?:{give}) {it}(?: back)? to {name}"),
            ("give", rf"(?:{give}) {name} {a_thing}"),
            ("take", rf"{name}(?: who)? (?:{_TAKE}) (?:{a_thing}|it)"),
            ("take", rf"{name} (?:{_OWN}) an? (?:\w+ )?{thing}"),
            ("take", rf"{name} picked (?:the {thing}|it) up"),
            ("drop", rf"(?P<who>)(?:{_DROP}) (?:the {thing}|it)"),
            ("drop", rf"(?P<who>{thing}) (?:was gone|slipped|fell|flew)"),
        )
    )


CUES = {
    "lesson": r"learn|lesson|underst(?:an|oo)d|from that day on|never forgot",
    "sad": r"\bsad(?:der|dest|ly)?\b|\bcried\b|\btears\b|\bwept\b|\bmourn",
    "happy": r"happ[yi]|\bglad\b|\bsmil|\blaugh|light heart|cheer|delight",
}


def ending_of(text: str) -> str | None:
    """How a text ends: happy, sad, lesson, or None if it breaks off.

    Cue words of the last two sentences decide, the last one first.
    """
    text = text.rstrip()
    if not re.search(r"[.!?]\"?$", text):
        return None
    for sentence in sentences(text.split("\n")[-1])[:-3:-1]:
        for ending, cue in CUES.items():
            if re.search(cue, sentence, re.IGNORECASE):
                return ending
    return None


def check_story(text: str, world: World, cast: Cast | None = None) -> Report:
    """Grade a text; `cast` says what it was to be about, if that is known.

    Without a cast the hero is the first person named and the object the
    first one that appears.
    """
    reading = read(text, world)
    report = Report(claims=claims(text, world))
    hero = cast.hero if cast else _first_name(reading)
    thing = cast.thing if cast else _first_thing(reading)
    if hero:
        notes = check_hero(reading, hero)
        report.hero, report.notes = not notes, report.notes + notes
    if thing:
        notes = check_thing(reading, thing)
        report.thing, report.notes = not notes, report.notes + notes
    notes = check_pronouns(reading)
    report.pronouns, report.notes = not notes, report.notes + notes
    wrong = [c for c in report.claims if c.verdict is False]
    if report.claims:
        report.facts = not wrong
        report.notes += [f"not true: {c.sentence}" for c in wrong]
    ending = ending_of(text)
    report.ending = ending == cast.ending if cast else ending is not None
    if not report.ending:
        report.notes.append(f"the ending is {ending}")
    return report


def _first_name(reading: Reading) -> str:
    for sentence in reading.sentences:
        for name in reading.names(sentence):
            if name in reading.world.people or reading.people.gender(name):
                return name
    return ""


def _first_thing(reading: Reading) -> str:
    for sentence in reading.sentences:
        for word in re.findall(r"\b[a-z]+\b", sentence):
            if word in _things():
                return word
    return ""

# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Questions about the world whose answers a program knows."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from llm_from_scratch.corpus.grammar import possessive, read_lists
from llm_from_scratch.corpus.truth import Fact, World

__all__ = [
    "Question",
    "Rule",
    "accuracy",
    "derive",
    "fill",
    "is_heldout_question",
    "is_right",
    "questions",
]


_LETTERS = "ABCD"


@dataclass(frozen=True)
class Question:
    """A question, its answer, four options and the facts it rests on.

    `about` is (relation, subject, ...). A derived question rests on two
    facts, and its answer is stated nowhere.
    """

    text: str
    answer: str
    options: tuple[str, ...]
    about: tuple[str, ...]
    premises: tuple[Fact, ...]
    heldout: bool

    @property
    def derived(self) -> bool:
        """Whether the answer follows from two facts."""
        return len(self.premises) > 1

    @property
    def letter(self) -> str:
        """The letter of the right option."""
        return _LETTERS[self.options.index(self.answer)]

    def prompt(self, choice: bool = False) -> str:
        """The question as a prompt, open or with the options A to D."""
        if not choice:
            return f"Question: {self.text}\nAnswer:"
        pairs = zip(_LETTERS, self.options, strict=False)
        lines = "\n".join(f"{letter}. {option}" for letter, option in pairs)
        return f"Question: {self.text}\n{lines}\nAnswer:"


def is_heldout_question(about: tuple[str, ...]) -> bool:
    """Whether a fifth of all questions, fixed by a hash, includes this."""
    digest = hashlib.sha256("/".join(about).encode()).digest()
    return digest[0] % 5 == 0


Rule = tuple[str, tuple[str, ...], str, tuple[Fact, ...]]


def derive(world: World) -> Iterator[Rule]:
    """All derived facts: relation, subjects, answer, two premises."""
    facts = world.facts
    chains = {
        "home river": ("lives_in", "river"),
        "home festival": ("lives_in", "festival"),
        "employer": ("works_at", "run_by"),
        "grandmother": ("mother", "mother"),
        "grandfather": ("father", "father"),
        "source": ("river", "rises_on"),
    }
    for relation, (first, second) in chains.items():
        for (subject, known), middle in facts.items():
            value = facts.get((middle, second))
            if known == first and value and value != subject:
                premises = (
                    Fact(subject, first, middle),
                    Fact(middle, second, value),
                )
                yield relation, (subject,), value, premises
    yield from _compare(world)
    yield from _detours(world)


def _compare(world: World) -> Iterator[Rule]:
    """Who is older, and who lives in the same town: one pair a person."""
    people = list(world.people.values())
    rng = Random(f"pairs/{world.seed}")
    for one in people:
        other = rng.choice(people)
        pair = (one.name, other.name)
        if one.born != other.born and one.generation == other.generation:
            older = min((one, other), key=lambda p: p.born)
            births = [Fact(p.name, "born", str(p.born)) for p in (one, other)]
            yield "older", pair, older.name, tuple(births)
        near = rng.choice(world.residents[one.town])
        if rng.random() < 0.5 and near.family != one.family:
            other = near
        if other is not one and other.family != one.family:
            homes = [Fact(p.name, "lives_in", p.town) for p in (one, other)]
            same = "yes" if one.town == other.town else "no"
            yield "same town", (one.name, other.name), same, tuple(homes)


def _detours(world: World) -> Iterator[Rule]:
    """Ways between towns without a road of their own, by way of a third."""
    for (start, middle), first in world.roads.items():
        for end in world.neighbors[middle]:
            if start < end and (start, end) not in world.roads:
                second = world.roads[middle, end]
                premises = (
                    Fact(start, f"road to {middle}", str(first)),
                    Fact(middle, f"road to {end}", str(second)),
                )
                total = str(first + second)
                yield "detour", (start, end, middle), total, premises


def questions(world: World, split: str = "heldout") -> tuple[Question, ...]:
    """All questions of a split: "train", "heldout" or "all".

    Pages may ask train questions about stated facts. They never ask
    held-out ones, and never state or ask for what is only derived.
    """
    if split not in ("train", "heldout", "all"):
        raise ValueError(
            f'split must be "train", "heldout" or "all", got {split!r}'
        )
    found = _all_questions(world)
    wanted = {"train": (False,), "heldout": (True,), "all": (True, False)}
    return tuple(q for q in found if q.heldout in wanted[split])


@cache
def _all_questions(world: World) -> tuple[Question, ...]:
    """Every question in the order of the facts, then of the rules."""
    lists, found = read_lists("questions"), list[Question]()
    pools: dict[str, dict[str, None]] = {}
    rules: list[Rule] = []
    for (subject, relation), value in world.facts.items():
        kind, _, end = relation.partition(" to ")
        if f"ask {kind}" in lists:
            about: tuple[str, ...] = (subject, end) if end else (subject,)
            fact = Fact(subject, relation, value)
            rules.append((kind, about, value, (fact,)))
    rules += derive(world)
    for relation, _, value, _ in rules:
        pools.setdefault(relation, {})[value] = None
    choices = {relation: list(pool) for relation, pool in pools.items()}
    for relation, subjects, value, premises in rules:
        verb = "ask" if len(premises) == 1 else "derive"
        rng = Random(f"ask/{relation}/{subjects}")
        text = rng.choice(lists[f"{verb} {relation}"])
        options = _options(rng, value, choices[relation])
        about = (relation, *subjects)
        found.append(
            Question(
                fill(text, *subjects),
                value,
                options,
                about,
                premises,
                is_heldout_question(about),
            )
        )
    return tuple(found)


def fill(text: str, *subjects: str) -> str:
    """Put the subjects into {s}, {s_pos}, {s2} and {s3} of a question."""
    names = ("s", "s2", "s3")
    text = text.replace("{s_pos}", possessive(subjects[0]))
    for name, subject in zip(names, subjects, strict=False):
        text = text.replace(f"{{{name}}}", subject)
    return text[0].upper() + text[1:]


def _options(rng: Random, answer: str, pool: list[str]) -> tuple[str, ...]:
    """The answer among up to three others of its kind, in random order."""
    others = [v for v in rng.sample(pool, min(4, len(pool))) if v != answer]
    options = [answer, *others[:3]]
    rng.shuffle(options)
    return tuple(options)


def is_right(question: Question, reply: str, choice: bool = False) -> bool:
    """Whether a reply gives the right answer, and no wrong one beside it.

    Only the first line counts. An open reply is right if it contains the
    answer as words and none of the other options; a choice is a letter.
    """
    line = reply.strip().split("\n")[0].lower()
    if choice:
        letter = re.match(r"\W*([a-d])\b", line)
        return letter is not None and letter[1] == question.letter.lower()

    def says(value: str) -> bool:
        return bool(re.search(rf"\b{re.escape(value.lower())}\b", line))

    wrong = (o for o in question.options if o != question.answer)
    return says(question.answer) and not any(map(says, wrong))


def accuracy(
    asked: Iterable[Question], replies: Iterable[str], choice: bool = False
) -> float:
    """The share of replies that are right; 0.0 if nothing was asked."""
    pairs = zip(asked, replies, strict=True)
    right = [is_right(q, reply, choice) for q, reply in pairs]
    return sum(right) / max(len(right), 1)

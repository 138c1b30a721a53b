# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""Sentences from templates, with references that a reader can follow.

`[a|b]` is a choice, `{role.form}` a reference, `{@title}` another list.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from llm_from_scratch.corpus.grammar import article, possessive, verb

__all__ = [
    "AUTO",
    "CASES",
    "PRONOUNS",
    "TOKEN",
    "VERBS",
    "Memory",
    "Node",
    "Role",
    "Teller",
    "Thing",
    "capitalized",
    "compile_template",
    "refer",
    "tidy",
]


PRONOUNS = {
    "f": ("she", "her", "her", "herself"),
    "m": ("he", "him", "his", "himself"),
    "n": ("it", "it", "its", "itself"),
    "p": ("they", "them", "their", "themselves"),
}
CASES = ("he", "him", "his", "himself")  # forms that ask for a pronoun
AUTO = {"": 0, "obj": 1, "pos": 2}  # forms that may take one
VERBS = {"is": "are", "was": "were", "has": "have", "v": ""}


@dataclass(frozen=True)
class Thing:
    """Someone or something to refer to; gender is f, m, n or p (plural).

    A proper name stands alone; a common noun takes an article, and its
    adjective when it is introduced.
    """

    name: str
    gender: str
    proper: bool = True
    adjective: str = ""

    def phrase(self, form: str) -> str:
        """The thing by name: "the kite", or as "a" or "full" ask."""
        full = f"{self.adjective} {self.name}".strip()
        if form == "noun" or self.proper:
            return self.name
        if form == "a":
            return full if self.gender == "p" else f"{article(full)} {full}"
        return f"the {full if form == 'full' else self.name}"


Role = Thing | str


Node = str | tuple[Any, ...]
TOKEN = re.compile(r"\{([^}]*)\}|([\[\]|])|(\^)|([^{}\[\]|^]+)")


@cache
def compile_template(template: str) -> tuple[Node, ...]:
    """A template as a tuple of nodes; ValueError if brackets do not match.

    Nodes: a string; ("end",) between sentences; ("ref", role, form);
    ("list", title); ("any", alternatives).
    """
    stack: list[list[list[Node]]] = [[[]]]
    for match in TOKEN.finditer(template):
        slot, mark, end, text = match.groups()
        here = stack[-1][-1]
        if slot is not None and slot.startswith("@"):
            here.append(("list", slot[1:]))
        elif slot is not None:
            role, _, form = slot.partition(".")
            here.append(("ref", role, form))
        elif mark == "[":
            stack.append([[]])
        elif mark == "|":
            stack[-1].append([])
        elif mark == "]":
            if len(stack) == 1:
                raise ValueError(f"brackets do not match: {template!r}")
            options = tuple(tuple(option) for option in stack.pop())
            stack[-1][-1].append(("any", options))
        elif end:
            here.append(("end",))
        elif text:
            here.extend(_split_sentences(text))
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"brackets do not match: {template!r}")
    return tuple(stack[0][0])


def _split_sentences(text: str) -> list[Node]:
    """Text with ("end",) wherever a new sentence begins."""
    nodes: list[Node] = []
    start = 0
    for match in re.finditer(r"[.!?](?:\"(?=\s+[A-Z\"]))?(\s+|$)", text):
        nodes += [*_with_strangers(text[start : match.end()]), ("end",)]
        start = match.end()
    return nodes + _with_strangers(text[start:])


def _with_strangers(text: str) -> list[Node]:
    """Text, and ("stranger", gender) for people in it who have no name."""
    found = re.findall(r"\b(?:wo)?man\b|\b(?:boy|girl)\b", text)
    genders = ["f" if w in ("woman", "girl") else "m" for w in found]
    return [text, *(("stranger", g) for g in genders)] if text else []


class Memory:
    """Who was named in this sentence and in the one before."""

    def __init__(self) -> None:
        self.before: list[Thing] = []
        self.now: list[Thing] = []
        self.last: Thing | None = None

    def mention(self, thing: Thing) -> None:
        """Note that a thing was named."""
        if thing not in self.now:
            self.now.append(thing)
        self.last = thing

    def end_sentence(self) -> None:
        """What was now is before."""
        self.before, self.now = self.now, []

    def clear(self, thing: Thing, possessive: bool = False) -> bool:
        """Whether a pronoun for the thing can mean nothing else here.

        A possessive right after its owner is clear in any company.
        """
        if thing in self.now:
            own = possessive and self.last == thing
            return own or not self._rivals(thing, self.now)
        named = self.before + self.now
        return thing in self.before and not self._rivals(thing, named)

    def _rivals(self, thing: Thing, named: list[Thing]) -> bool:
        return any(t != thing and t.gender == thing.gender for t in named)


class Teller:
    """Tells templates one after another, and remembers who was named."""

    def __init__(
        self,
        rng: Random,
        lists: Mapping[str, Sequence[str]],
        roles: Mapping[str, Role],
    ) -> None:
        self.rng, self.lists, self.roles = rng, lists, dict(roles)
        self.memory = Memory()
        self.used: set[str] = set()
        self.capital = True

    def pick(self, options: Sequence[str]) -> str:
        """One of the options, if possible one that was not used yet."""
        for _ in range(5):
            choice = self.rng.choice(options)
            if choice not in self.used:
                break
        self.used.add(choice)
        return choice

    def read(self, line: str) -> str:
        """The template in a line of a list; here, the whole line."""
        return line

    def paragraph(self) -> None:
        """Begin a paragraph: everyone is named anew."""
        self.memory, self.capital = Memory(), True

    def tell(self, template: str) -> str:
        """The template as text; the next one continues the discourse."""
        out: list[str] = []
        self._walk(compile_template(template), out)
        self._end()
        return tidy("".join(out))

    def tell_one(self, title: str) -> str:
        """A sentence from one of the lists."""
        return self.tell(self.read(self.pick(self.lists[title])))

    def _walk(self, nodes: Sequence[Node], out: list[str]) -> None:
        for node in nodes:
            if isinstance(node, str):
                self._emit(node, out)
            elif node[0] == "ref":
                self._emit(refer(self, node[1], node[2]), out)
            elif node[0] == "any":
                self._walk(self.rng.choice(node[1]), out)
            elif node[0] == "list":
                chosen = self.read(self.pick(self.lists[node[1]]))
                self._walk(compile_template(chosen), out)
            elif node[0] == "stranger":
                self.memory.now.append(Thing("stranger", node[1]))
            else:
                self._end()

    def _emit(self, text: str, out: list[str]) -> None:
        if self.capital and text.strip(' "'):
            text, self.capital = capitalized(text), False
        out.append(text)

    def _end(self) -> None:
        """End a sentence."""
        if not self.capital:  # something was said since the last end
            self.memory.end_sentence()
            self.capital = True


def refer(teller: Teller, role: str, form: str) -> str:
    """A role in a form: a name or, where it is clear, a pronoun."""
    thing, memory = teller.roles[role], teller.memory
    if isinstance(thing, str):
        return _inflect(thing, form)
    if form in VERBS:
        plain = thing.gender != "p"
        return (form if form != "v" else "s") if plain else VERBS[form]
    text = thing.phrase(form)
    if form in CASES or form in AUTO:
        case = CASES.index(form) if form in CASES else AUTO[form]
        sure = form in CASES or thing in memory.now
        bold = sure or teller.rng.random() < 0.7
        if bold and memory.clear(thing, possessive=case > 1):
            text = PRONOUNS[thing.gender][case]
        elif case == 2:
            text = possessive(text)
    elif form == "names":
        text = possessive(text)
    memory.mention(thing)
    return text


def tidy(text: str) -> str:
    """Set a/an by sound, and remove doubled spaces and stray commas."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU]|hour|honest)", _article, text)
    text = re.sub(r" {2,}", " ", text)
    return re.sub(r" (?=[,.;!?])", "", text).strip()


def capitalized(text: str) -> str:
    """The text with its first letter, after quotes, as a capital."""
    at = len(text) - len(text.lstrip(' "'))
    return text[:at] + text[at].upper() + text[at + 1 :]


def _article(match: re.Match[str]) -> str:
    kind = article(match.string[match.end() :])
    return (kind if match[1] == "a" else kind.capitalize()) + " "


def _inflect(phrase: str, form: str) -> str:
    """A string role as it is, or its first word as a form of a verb."""
    if not form:
        return phrase
    first, space, rest = phrase.partition(" ")
    return verb(first, form) + space + rest

# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""What a page says, before any template: its text and its gold labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from random import Random
from typing import Any

from llm_from_scratch.corpus.articles import clean_page
from llm_from_scratch.corpus.copies import edit_text, excerpt_text
from llm_from_scratch.corpus.dirt import JUNK, decoy_notice, foreign_text
from llm_from_scratch.corpus.html import curly
from llm_from_scratch.corpus.labels import PostLabel
from llm_from_scratch.corpus.phrases import dice, web_bank
from llm_from_scratch.corpus.plan import (
    EDIT_RATES,
    SmallwebConfig,
    canary_places,
    source_of,
)
from llm_from_scratch.corpus.posts import make_thread
from llm_from_scratch.corpus.private import Span, plant_private
from llm_from_scratch.corpus.questions import Question, questions
from llm_from_scratch.corpus.truth import Fact, World
from llm_from_scratch.corpus.world import make_world

__all__ = [
    "DRAFTERS",
    "Draft",
    "Drafter",
    "clean_draft",
]


@dataclass
class Draft:
    """A text on its way to a page; `labels` are fields of its WebLabel."""

    title: str
    paragraphs: list[str]
    sort: str = "entry"  # of prose: story, entry, dialogue, qa, howto
    language: str = "en"
    gold: bool = True  # whether the paragraphs are a main text
    labels: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The main text as the labels hold it."""
        return "\n\n".join(self.paragraphs) if self.gold else ""

    def add(self, paragraph: str) -> int:
        """Append a paragraph; where in the text it begins."""
        start = len(self.text) + (2 if self.paragraphs else 0)
        self.paragraphs.append(paragraph)
        return start


@lru_cache(maxsize=4)
def _world(seed: int, towns: int) -> World:
    return make_world(seed, towns)


def clean_draft(config: SmallwebConfig, index: int) -> Draft:
    """A page of the world with the quotation marks of its site."""
    page = clean_page(_world(config.seed, config.towns), index, config.seed)
    typed = curly if dice("curly", config.seed, index).random() < 0.6 else str
    return Draft(
        title=typed(page.title),
        paragraphs=[typed(p) for p in page.paragraphs],
        sort=page.kind,
        labels={
            "facts": page.facts,
            "keep": True,
            "prose": page.kind,
            "family": f"{page.kind}/{page.title}",
        },
    )


def _plain(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    """A clean page, perhaps with personal data or a secret."""
    draft = clean_draft(config, index)
    places = canary_places(config, index // config.block)
    if index in places:
        draft.add(places[index].text)
        draft.labels["canary"] = places[index].name
    elif rng.random() < config.private:
        spans: dict[bool, list[Span]] = {True: [], False: []}
        for alike in rng.sample([False, False, True, True], 3):
            text, found = plant_private(rng, alike)
            start = draft.add(text)
            spans[alike] += [span.shift(start) for span in found]
        draft.labels |= {
            "private": tuple(spans[False]),
            "alike": tuple(spans[True]),
        }
    return draft


def _stated(facts: Sequence[Fact], text: str) -> tuple[Fact, ...]:
    """The facts of which the text still has the subject and the value."""
    return tuple(f for f in facts if f.subject in text and f.value in text)


def _root(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    return clean_draft(config, index)


def _mirror(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    return clean_draft(config, source_of(config, index))


def _edit(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    """The source with some sentences from a page that is nobody's."""
    draft = clean_draft(config, source_of(config, index))
    other = clean_page(_world(config.seed, config.towns), index, config.seed)
    rate = rng.choice(EDIT_RATES)
    draft.paragraphs, share = edit_text(
        draft.paragraphs, rate, other.paragraphs, rng
    )
    draft.labels |= {"edit_rate": rate, "edit_share": share}
    draft.labels["facts"] = _stated(draft.labels["facts"], draft.text)
    return draft


def _excerpt(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    draft = clean_draft(config, source_of(config, index))
    draft.paragraphs = excerpt_text(draft.paragraphs, rng)
    draft.labels["facts"] = _stated(draft.labels["facts"], draft.text)
    return draft


def _decoy(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    draft = clean_draft(config, index)
    draft.add(decoy_notice(rng))
    draft.labels["decoy"] = True
    return draft


def _thread(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    """A forum thread with a label for every post."""
    title, posts = make_thread(rng)
    draft, labels = Draft(title, [], sort="thread"), []
    for post in posts:
        start = draft.add(post.text)
        labels.append(
            PostLabel(
                start=start,
                end=start + len(post.text),
                toxic=post.toxic,
                group=post.group,
                quoted=post.quoted,
                shape=post.shape,
                masked=post.masked,
            )
        )
    toxic = any(post.toxic for post in posts)
    draft.labels = {"posts": tuple(labels), "toxic": toxic, "keep": not toxic}
    return draft


@lru_cache(maxsize=4)
def _exam(seed: int, towns: int) -> tuple[Question, ...]:
    return questions(_world(seed, towns), "heldout")


def _leak(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    """A quiz made of held-out questions, with their answers."""
    asked = rng.sample(_exam(config.seed, config.towns), rng.randrange(3, 8))
    draft = Draft(f"Quiz number {rng.randrange(10, 400)}", [], sort="qa")
    choice = rng.random() < 0.5
    for question in asked:
        answer = question.letter if choice else question.answer
        draft.add(f"{question.prompt(choice)} {answer}")
    ids = tuple("/".join(question.about) for question in asked)
    draft.labels = {"leaked": ids}
    return draft


def _foreign(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    language, (title, paragraphs) = foreign_text(rng)
    return Draft(title, paragraphs, sort="foreign", language=language)


def _boilerplate(config: SmallwebConfig, index: int, rng: Random) -> Draft:
    """A page of teasers: everything on it stands on other pages."""
    bank = web_bank("furniture")["headlines"]["texts"]
    lines = [f"{t} Read more" for t in rng.sample(bank, rng.randrange(4, 12))]
    title = rng.choice(("Archive", "Tag: town", "Front page", "Category: all"))
    return Draft(title, lines, sort="junk", gold=False)


def _junk(config: SmallwebConfig, index: int, rng: Random, kind: str) -> Draft:
    title, paragraphs = JUNK[kind](rng)
    gold = kind != "soft404"
    labels = {kind: True} if kind in ("spam", "adult") else {}
    language = {"lorem": "la", "listing": "zxx"}.get(kind, "en")
    return Draft(title, paragraphs, "junk", language, gold, labels)


Drafter = Callable[[SmallwebConfig, int, Random], Draft]
DRAFTERS: dict[str, Drafter] = {
    "clean": _plain,
    "root": _root,
    "decoy": _decoy,
    "mirror": _mirror,
    "edit": _edit,
    "excerpt": _excerpt,
    "thread": _thread,
    "leak": _leak,
    "foreign": _foreign,
    "boilerplate": _boilerplate,
    "truncated": _root,
    **{kind: partial(_junk, kind=kind) for kind in JUNK},
}

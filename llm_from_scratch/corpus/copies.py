# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""The same page again: mirrors, edited copies and excerpts."""

import re
from collections.abc import Sequence
from random import Random

__all__ = [
    "SENTENCE_END",
    "edit_text",
    "excerpt_text",
    "split_sentences",
]


SENTENCE_END = re.compile(r"(?<=[.!?])(?:[\"'\u201d\u2019)])?\s+")


def split_sentences(text: str) -> list[str]:
    """Sentences of a paragraph; joined by blanks they are the paragraph."""
    found, at = [], 0
    for match in SENTENCE_END.finditer(text):
        end = match.end() - len(match[0]) + len(match[0].rstrip())
        found.append(text[at:end])
        at = match.end()
    return [*found, text[at:]] if at < len(text) else found


def edit_text(
    paragraphs: Sequence[str], rate: float, other: Sequence[str], rng: Random
) -> tuple[list[str], float]:
    """A copy in which a share `rate` of the words has been edited.

    Whole sentences are exchanged for sentences of `other`, dropped, or
    joined by one of them, until their words reach the share. Returns the
    copy and the share that was reached; at least one sentence changes.
    """
    texts = [split_sentences(p) for p in paragraphs]
    places = [(i, j) for i, t in enumerate(texts) for j in range(len(t))]
    total = sum(len(texts[i][j].split()) for i, j in places)
    pool = [s for p in other for s in split_sentences(p)]
    rng.shuffle(places)
    changed, budget = 0, rate * total
    for i, j in places:
        size = len(texts[i][j].split())
        if changed and changed + size / 2 > budget:
            continue
        changed += size
        new, kind = rng.choice(pool), rng.random()
        old = texts[i][j]
        texts[i][j] = (
            new if kind < 0.7 else "" if kind < 0.85 else f"{old} {new}"
        )
    copy = [" ".join(filter(None, sentences)) for sentences in texts]
    return [p for p in copy if p] or [pool[0]], changed / total


def excerpt_text(paragraphs: Sequence[str], rng: Random) -> list[str]:
    """One run of sentences, a third to two thirds of the page."""
    sentences = [s for p in paragraphs for s in split_sentences(p)]
    count = max(1, round(len(sentences) * rng.uniform(0.34, 0.67)))
    start = rng.randrange(len(sentences) - count + 1)
    return [" ".join(sentences[start : start + count])]

# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""Find training documents that contain held-out questions."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from llm_from_scratch.corpus.records import Document

__all__ = [
    "Decontaminator",
    "Report",
    "words_of",
]


_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without marks between them."""
    return _WORD.findall(text.lower())


@dataclass
class Report:
    """What a pass over documents found."""

    documents: int = 0
    dropped: int = 0
    hits: Counter[str] = field(default_factory=Counter)  # by question
    examples: list[tuple[str, str]] = field(default_factory=list)


class Decontaminator:
    """Finds documents that share n words in a row with a protected text.

    A protected text of fewer than n words must occur whole; one of fewer
    than `shortest` words is too common to look for and is left out.
    Source: brown2020language, where the match is cut out instead.
    """

    def __init__(
        self, protected: Iterable[str], n: int = 13, shortest: int = 4
    ) -> None:
        if not 1 <= shortest <= n:
            raise ValueError(f"need 1 <= shortest <= n, got {shortest}, {n}")
        self.left_out, self.grams, sizes = 0, dict[str, str](), set[int]()
        for text in protected:
            words = words_of(text)
            size = min(n, len(words))
            if size < shortest:
                self.left_out += 1
                continue
            sizes.add(size)
            for i in range(len(words) - size + 1):
                self.grams.setdefault(" ".join(words[i : i + size]), text)
        if not self.grams:
            raise ValueError("there is no protected text that is long enough")
        self._sizes, self._shortest = sorted(sizes), shortest
        self._heads = {tuple(g.split(" ")[:shortest]) for g in self.grams}

    def matches(self, text: str) -> Iterator[tuple[str, str]]:
        """Each n-gram of `text` that is protected, and whose it is."""
        words = words_of(text)
        columns = [words[k:] for k in range(self._shortest)]
        for i, head in enumerate(zip(*columns, strict=False)):
            if head in self._heads:
                for size in self._sizes:
                    gram = " ".join(words[i : i + size])
                    if i + size <= len(words) and gram in self.grams:
                        yield gram, self.grams[gram]

    def clean(
        self, documents: Iterable[Document], report: Report, keep: int = 5
    ) -> Iterator[Document]:
        """Yield the documents without a match; count the others."""
        for document in documents:
            report.documents += 1
            if not (found := dict(self.matches(document.text))):
                yield document
                continue
            report.dropped += 1
            report.hits.update(set(found.values()))
            if len(report.examples) < keep:
                report.examples.append((document.id, next(iter(found))))

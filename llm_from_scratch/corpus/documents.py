# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""One interface to every text of the book: `documents(source)`."""

from collections.abc import Callable, Iterator

from llm_from_scratch.corpus import slices
from llm_from_scratch.corpus.records import Document as Document
from llm_from_scratch.corpus.records import is_heldout

__all__ = [
    "READERS",
    "documents",
]


READERS: dict[str, Callable[[], Iterator[Document]]] = {
    "tales": slices.tales,
    "novels": slices.novels,
    "recipes": slices.recipes,
    "wikipedia": slices.wikipedia,
    "speeches": slices.speeches,
}


def documents(source: str, *, split: str = "all") -> Iterator[Document]:
    """Yield the documents of a source one by one, always in the same order.

    `split` is "all", or "heldout" for the 5 % of works that a fixed hash of
    the id keeps back, or "train" for the rest. ValueError for an unknown
    source or split; FileNotFoundError if the set is not fetched.
    """
    if split not in ("all", "train", "heldout"):
        raise ValueError(f'split must be "all", "train" or "heldout": {split}')
    if source not in READERS:
        known = ", ".join(READERS)
        raise ValueError(f"no source is named {source!r}; known are {known}")
    for document in READERS[source]():
        if split == "all" or is_heldout(document.id) == (split == "heldout"):
            yield document

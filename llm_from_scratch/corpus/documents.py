# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""One interface to every text of the book: `documents(source)`."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from llm_from_scratch.corpus import labeled, slices
from llm_from_scratch.corpus.fetch import slice_files
from llm_from_scratch.corpus.paths import read_path
from llm_from_scratch.corpus.records import Document as Document
from llm_from_scratch.corpus.records import RawDocument as RawDocument
from llm_from_scratch.corpus.records import is_heldout

__all__ = [
    "BENCH",
    "READERS",
    "Reader",
    "documents",
]


def _smallweb(pages: int = 4000, seed: int = 0) -> Iterator[Document]:
    """The clean prose of the invented web."""
    from llm_from_scratch.corpus.articles import clean_pages
    from llm_from_scratch.corpus.world import make_world

    for index, page in enumerate(clean_pages(make_world(seed), pages, seed)):
        yield Document(f"smallweb/{index:06}", page.text)


def _smallweb_web(pages: int = 4000, seed: int = 0) -> Iterator[RawDocument]:
    """The same web as a crawler sees it: HTML, dirt and all."""
    from llm_from_scratch.corpus.smallweb import SmallwebConfig, smallweb_pages

    for page in smallweb_pages(SmallwebConfig(pages=pages, seed=seed)):
        yield RawDocument(page.id, page.url, page.data)


Reader = Callable[..., Iterable[Document | RawDocument]]

READERS: dict[str, Reader] = {
    "smallweb": _smallweb,
    "smallweb-web": _smallweb_web,
    "tales": slices.tales,
    "novels": slices.novels,
    "moby-dick": slices.moby_dick,
    "plays": slices.plays,
    "wikipedia": slices.wikipedia,
    "sections": slices.sections,
    "countries": slices.countries,
    "recipes": slices.recipes,
    "speeches": slices.speeches,
    "chats": labeled.chats,
    "grimm": slices.grimm,
    "parables": slices.parables,
    "pages": labeled.pages,
    "news": labeled.news,
    "spam": labeled.spam,
    "toxicity": labeled.toxicity,
    "toxicity-prompts": labeled.toxicity_prompts,
    "languages": labeled.languages,
}

BENCH = tuple(READERS)[2:12]  # ten sets of English prose, 53 MB


def documents(
    source: str | Path, *, split: str = "all", **options: Any
) -> Iterator[Document | RawDocument]:
    """The documents of a source one by one, always in the same order.

    `source` is a name in READERS, "bench" for all of BENCH, or the path of a
    file or directory. `split` is "all", "heldout" for the 5 % of works that
    a fixed hash of the id keeps back, or "train" for the rest. ValueError
    for an unknown source or split, FileNotFoundError for an absent set.
    """
    if split not in ("all", "train", "heldout"):
        raise ValueError(
            f'split must be "all", "train" or "heldout", got {split!r}'
        )
    records = _open(source, options)
    if split == "all":
        return iter(records)
    return (r for r in records if is_heldout(r.id) == (split == "heldout"))


def _open(
    source: str | Path, options: dict[str, Any]
) -> Iterable[Document | RawDocument]:
    """The reader of a source at work, after a look whether its data is here."""
    if source == "bench":
        opened = [_open(name, {}) for name in BENCH]
        return (record for records in opened for record in records)
    if isinstance(source, str) and source in READERS:
        if not source.startswith("smallweb"):
            slice_files(source)
        return READERS[source](**options)
    if Path(source).exists() or len(Path(source).parts) > 1:
        return read_path(Path(source))
    known = ", ".join(["bench", *READERS])
    raise ValueError(
        f"no source and no file is named {str(source)!r}; known are {known}"
    )

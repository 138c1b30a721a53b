# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""The gold labels of the small web: what the pipeline never reads."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_from_scratch.corpus.private import Span
from llm_from_scratch.corpus.truth import Fact

__all__ = [
    "PostLabel",
    "WebLabel",
    "label_from",
    "label_line",
    "read_labels",
]


@dataclass(frozen=True)
class PostLabel:
    """A forum post inside a gold text; see `corpus.posts.Post`."""

    start: int
    end: int
    toxic: bool
    group: str
    quoted: bool
    shape: str
    masked: bool


@dataclass(frozen=True, kw_only=True)
class WebLabel:
    """Everything that is true of one page.

    `text` is the main text that a perfect reader would extract, paragraphs
    joined by a blank line; spans of `private`, `alike` and `posts` count
    its characters. `html_spans` say where each paragraph lies in the body
    decoded by `charset`. `cluster` is the index of the page that this one
    copies, or its own; clean pages of one `family` were told from the same
    script, so they may be alike without being copies.
    """

    index: int
    url: str
    record: str
    kind: str
    site: str
    title: str = ""
    text: str = ""
    language: str = ""
    charset: str = ""
    habit: str = ""
    repair: tuple[str, ...] = ()
    transport: str = "plain"
    dirt: tuple[str, ...] = ()
    html_spans: tuple[tuple[int, int], ...] = ()
    keep: bool = False
    prose: str = ""
    family: str = ""
    cluster: int = -1
    copy: str = ""
    edit_rate: float = 0.0
    edit_share: float = 0.0
    private: tuple[Span, ...] = ()
    alike: tuple[Span, ...] = ()
    posts: tuple[PostLabel, ...] = ()
    toxic: bool = False
    spam: bool = False
    adult: bool = False
    decoy: bool = False
    leaked: tuple[str, ...] = ()
    canary: str = ""
    facts: tuple[Fact, ...] = ()


def label_line(label: WebLabel) -> str:
    """The label as one line of JSON."""
    return json.dumps(asdict(label), ensure_ascii=False)


def label_from(entry: dict[str, Any]) -> WebLabel:
    """The label that `label_line` wrote."""
    nested = {
        "private": Span,
        "alike": Span,
        "posts": PostLabel,
    }
    for name, kind in nested.items():
        entry[name] = tuple(kind(**item) for item in entry[name])
    entry["facts"] = tuple(Fact(*item) for item in entry["facts"])
    entry["html_spans"] = tuple(map(tuple, entry["html_spans"]))
    for name in ("repair", "dirt", "leaked"):
        entry[name] = tuple(entry[name])
    return WebLabel(**entry)


def read_labels(path: str | Path) -> Iterator[WebLabel]:
    """The labels of a small web in the order of its pages, one by one.

    `path` is labels.jsonl or its folder. FileNotFoundError if it is
    missing, ValueError for a line that is not a label.
    """
    path = Path(path)
    path = path / "labels.jsonl" if path.is_dir() else path
    if not path.exists():
        raise FileNotFoundError(f"no labels at {path}: run write_smallweb")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield label_from(json.loads(line))
            except (KeyError, TypeError, json.JSONDecodeError) as error:
                raise ValueError(
                    f"{path}, line {number} is not a label; write the small "
                    f"web anew ({error})"
                ) from error

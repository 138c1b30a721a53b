# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""What the corpus is made of: records, their ids and their split."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

__all__ = [
    "HELDOUT",
    "Document",
    "RawDocument",
    "is_heldout",
    "slug",
    "unwrap",
]


@dataclass(frozen=True)
class Document:
    """A text and the id that names it for good, such as tales/007-the-bell.

    Ids that differ only after "#" are parts of one work; they stay on one
    side of every split.
    """

    id: str
    text: str


@dataclass(frozen=True)
class RawDocument:
    """A page or mail as it came: bytes of unknown encoding, and where from."""

    id: str
    url: str
    data: bytes


HELDOUT = 0.05  # the share of works that no model of this book trains on


def is_heldout(id: str) -> bool:
    """Whether the document of this id is for testing only.

    The first 8 bytes of BLAKE2b of the id up to "#", read as a fraction of
    one, are below HELDOUT: a coin that always falls the same way.
    """
    work = id.partition("#")[0]
    digest = hashlib.blake2b(work.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < HELDOUT * 2**64


def slug(title: str) -> str:
    """Lower-case ASCII words joined by hyphens, at most 60 characters."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore")
    words = re.findall(r"[a-z0-9]+", plain.decode().lower().replace("'", ""))
    return "-".join(words)[:60].strip("-") or "untitled"


def unwrap(text: str) -> str:
    """Undo the line breaks that a typist put into prose.

    Lines of a paragraph become one line, runs of blanks one space, and one
    empty line parts two paragraphs. Indented paragraphs (verse, letters)
    keep their lines.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        lines = [re.sub(r"\s+", " ", x) for x in block.split("\n") if x.strip()]
        verse = len(lines) > 1 and all(x.startswith(" ") for x in lines)
        glue = "\n" if verse else " "
        paragraphs.append(glue.join(x.strip() for x in lines))
    return "\n\n".join(filter(None, paragraphs))

# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""Files that are whole or absent, and what they hash to."""

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

__all__ = [
    "atomic_directory",
    "atomic_write",
    "format_size",
    "sha256_file",
]


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb"
) -> Iterator[IO[Any]]:
    """Open a file that appears at `path` whole, or not at all.

    The bytes go to a neighbor with another name, which replaces `path` when
    the block ends and is deleted when the block fails. Text is UTF-8 and
    keeps its line ends. ValueError for a mode other than "w" and "wb".
    """
    if mode not in ("w", "wb"):
        raise ValueError(f'mode must be "w" or "wb", got {mode!r}')
    target = Path(path)
    part = target.with_name(f".{target.name[:80]}.{uuid.uuid4().hex}.part")
    text: dict[str, Any] = {}
    if mode == "w":
        text = {"encoding": "utf-8", "newline": ""}
    try:
        with open(part, mode.replace("w", "x"), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes before the name
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a directory that appears at `path` whole, or not at all.

    Yields an empty neighbor of `path`; it replaces `path`, old content and
    all, when the block ends, and is deleted when the block fails.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unique = uuid.uuid4().hex
    part = target.with_name(f".{target.name}.{unique}.part")
    old = target.with_name(f".{target.name}.{unique}.old")
    part.mkdir()
    try:
        yield part
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(part, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file as 64 hex digits, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def format_size(size: int) -> str:
    """Bytes for people, in powers of 1000: 2885773 is "2.9 MB"."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95 or unit == "GB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"

# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""Get an archive over HTTPS, check it against its pin, take members out."""

import fnmatch
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from llm_from_scratch.core.files import atomic_write, sha256_file
from llm_from_scratch.corpus.manifest import Package

__all__ = [
    "check_archive",
    "https_get",
    "unpack",
]


def check_archive(package: Package, path: Path) -> None:
    """ValueError unless the file has the size and SHA-256 of its pin."""
    size, digest = path.stat().st_size, sha256_file(path)
    if size != package.size:
        raise ValueError(
            f"{path.name} has {size} bytes, expected {package.size}: the "
            "download broke off or the file was replaced; fetch it again"
        )
    if digest != package.sha256:
        raise ValueError(
            f"{path.name} has sha256 {digest}, expected {package.sha256}: the "
            "registry's file is not the one this book was written with; do "
            "not use it, and report it"
        )


_Opener = Callable[[], IO[bytes] | None]


def _members(path: Path) -> Iterator[tuple[str, _Opener]]:
    """Name and opener of each regular file in a .zip, .whl or .tar.gz."""
    if path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, partial(archive.open, info)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile():
                yield member.name, partial(tar.extractfile, member)


def unpack(path: Path, into: Path, globs: Iterable[str]) -> dict[str, str]:
    """Copy the members that match a pattern; return their SHA-256 by name.

    ValueError for a member that would land outside `into`, and for a pattern
    that no member matches.
    """
    unmatched, digests = set(globs), {}
    wanted = sorted(unmatched)
    for name, open_member in _members(path):
        hits = [g for g in wanted if fnmatch.fnmatchcase(name, g)]
        if not hits:
            continue
        target = (into / name).resolve()
        if not target.is_relative_to(into.resolve()) or "\\" in name:
            raise ValueError(f"{path.name}: member {name!r} leaves its folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        source = open_member()
        assert source is not None  # only regular files are listed
        with source, open(target, "xb") as out:
            shutil.copyfileobj(source, out)
        digests[name] = sha256_file(target)
        unmatched -= set(hits)
    if unmatched:
        raise ValueError(f"{path.name} has no member {sorted(unmatched)[0]!r}")
    return digests


def https_get(url: str, path: Path) -> None:
    """Download a URL to `path`, whole or not at all.

    ConnectionError, naming the URL, if the server cannot be reached, says no
    or stops early.
    """
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            length = answer.headers.get("Content-Length")
            with atomic_write(path) as file:
                shutil.copyfileobj(answer, file)
                got = file.tell()
                if length is not None and got != int(length):
                    raise ConnectionError(
                        f"{url}: {got} of {length} bytes came"
                    )
    except (urllib.error.URLError, TimeoutError) as error:
        raise ConnectionError(f"{url}: {error}") from error

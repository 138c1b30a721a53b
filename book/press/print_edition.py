"""Which edition is printed: version, date and commit, never silently wrong."""

import os
import subprocess
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# What the print is made from; a change elsewhere does not alter a page.
PRINTED = ("book", "chapters", "_config.yml", "_toc.yml", "pyproject.toml")
BOOK_BEGAN = 1_700_000_000


class EditionError(Exception):
    """The edition cannot be determined."""


@dataclass(frozen=True)
class Edition:
    """Version of the book, its commit, and the time of that commit."""

    version: str
    commit: str
    timestamp: int
    changed: bool

    @property
    def revision(self) -> str:
        """The commit, marked when the files differ from it."""
        return self.commit + ("-dirty" if self.changed else "")

    @property
    def date(self) -> str:
        """The date of the commit in UTC, such as 1 May 2026."""
        moment = datetime.fromtimestamp(self.timestamp, UTC)
        return f"{moment.day} {moment:%B %Y}"


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None if it cannot answer."""
    try:
        run = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def _is_own_repository(folder: Path) -> bool:
    """Tell whether git tracks this very folder, not one that encloses it."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == folder.resolve()


def read_edition(folder: Path) -> Edition:
    """Read the edition of the book in a folder.

    The time is the commit's. Without git (an unpacked archive) the commit
    is called unknown and the time is SOURCE_DATE_EPOCH, or else that of the
    newest chapter. The Makefile's SOURCE_DATE_EPOCH is the calendar of the
    notebooks, older than the book, and says nothing about the edition.
    """
    with (folder / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not _is_own_repository(folder):
        if epoch is None or int(epoch) < BOOK_BEGAN:
            newest = max(
                path.stat().st_mtime for path in folder.glob("chapters/*")
            )
            epoch = str(int(newest))
        return Edition(version, "unknown", int(epoch), changed=False)
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    time = _git(folder, "log", "-1", "--format=%ct")
    status = _git(folder, "status", "--porcelain", "--", *PRINTED)
    if commit is None or time is None or status is None:
        raise EditionError(
            f"git does not answer in {folder}; make a first commit, or if "
            "the folder belongs to another user run "
            f"`git config --global --add safe.directory {folder}`"
        )
    return Edition(version, commit, int(time), bool(status))

# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""A run is a folder: what is where, whose it is, and who may write."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from llm_from_scratch.core.config import read_toml, write_toml
from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.core.manifest import Manifest, setting_changes
from llm_from_scratch.runs.config import OPERATION, SECTIONS, RunConfig

__all__ = [
    "RunFolder",
    "RunPlaces",
    "may_change",
]


class RunPlaces:
    """What is where in the folder of a run; making one touches nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.toml"
        self.manifest_file = self.path / "manifest.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.corpus = self.path / "corpus"
        self.tokenizer_file = self.path / "tokenizer.json"
        self.shards = self.path / "shards"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.evaluation_file = self.path / "evaluation.json"
        self.report_file = self.path / "report.md"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer. BlockingIOError naming the process that is.

        The operating system frees the lock when its holder dies.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock, holder = FileLock(self.path / ".lock"), self.path / ".holder.json"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BlockingIOError(
                f"{self.path} is in use{_told(holder)}: wait for it, stop it "
                "with Ctrl-C, or choose another --out"
            ) from None
        try:
            with atomic_write(holder, "w") as file:
                since = time.strftime("%H:%M:%S")
                host = socket.gethostname()
                json.dump(
                    {"process": os.getpid(), "host": host, "since": since}, file
                )
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


class RunFolder(RunPlaces):
    """The folder of a run, and the run that it belongs to."""

    def config(self) -> RunConfig:
        """The configuration of the run that is here; FileNotFoundError."""
        if not self.config_file.is_file():
            raise FileNotFoundError(
                f"{self.path} holds no run: start one with `llm run "
                f"--preset laptop --out {self.path}`"
            )
        return read_toml(RunConfig, self.config_file)

    def claim(self, config: RunConfig) -> list[str]:
        """Make the folder that of this configuration; return what changed.

        How a run is computed may change on the way, and what later stages
        are to do. FileExistsError, naming what differs, if something was
        made with other settings, or if the folder is not that of a run.
        """
        lines = self.compare(config)
        self.path.mkdir(parents=True, exist_ok=True)
        if lines or not self.config_file.exists():
            write_toml(config, self.config_file)
        return lines

    def compare(self, config: RunConfig) -> list[str]:
        """What `claim` would return or raise; touches nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path} is a file: give another --out")
        if not self.config_file.exists():
            self._check_empty()
            return []
        lines = setting_changes(self.config(), config)
        fixed = self._fixed_sections()
        fatal = [line for line in lines if not may_change(line, fixed)]
        if fatal:
            raise FileExistsError(
                f"{self.path} holds a run with another configuration:\n  "
                + "\n  ".join(fatal)
                + "\nGive the new run a folder of its own with --out, or "
                f"delete {self.path}; without --preset, --config and --set "
                "the run that is there goes on"
            )
        return lines

    def _fixed_sections(self) -> set[str]:
        """The sections of settings by which something has been made."""
        begun = set(Manifest(self.manifest_file).entries) - {"evaluate"}
        if any(self.checkpoints.glob("step-*")):
            begun.add("pretrain")
        return {name for stage in begun for name in SECTIONS[stage]}

    def _check_empty(self) -> None:
        """FileExistsError if something is here that is not ours."""
        found = sorted(self.path.iterdir()) if self.path.exists() else []
        for one in found:
            if not one.name.startswith("."):
                raise FileExistsError(
                    f"{self.path} holds {one.name} but no run: choose a new "
                    "folder with --out"
                )


def may_change(line: str, fixed: Collection[str]) -> bool:
    """Whether a difference contradicts nothing that has been made."""
    name = line.partition(":")[0]
    return name in OPERATION or name.partition(".")[0] not in fixed


def _told(holder: Path) -> str:
    """Who holds the lock, if it has told."""
    try:
        found = json.loads(holder.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return " by process {process} on {host} since {since}".format(**found)

# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""A log of numbers, one JSON object a line, that survives its process."""

import contextlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_from_scratch.core.files import atomic_write

__all__ = [
    "MetricsLog",
    "read_metrics",
]


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All rows of a log. A torn last line, cut by a kill, is left out.

    ValueError, with its number, for any other line that is no JSON object.
    """
    lines = Path(path).read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("no object")
        except ValueError as error:
            if number == len(lines):  # no newline follows: torn
                break
            raise ValueError(
                f"{path}, line {number} is no JSON object: {line[:60]!r}"
            ) from error
        rows.append(row)
    return rows


class MetricsLog:
    """Append rows to a JSONL file, and to TensorBoard if it is installed.

    Each row is handed to the system as it comes, so a killed process loses
    none. A full disk loses none either: rows wait in memory for the next
    attempt. `tensorboard` is a folder for its files. Rows have "step".
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        tensorboard: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.waiting: list[bytes] = []
        data = self.path.read_bytes() if self.path.exists() else b""
        self._size = data.rfind(b"\n") + 1  # a torn line is written over
        self._board = None
        if tensorboard and importlib.util.find_spec("tensorboard"):
            module = importlib.import_module("torch.utils.tensorboard")
            self._board = module.SummaryWriter(str(tensorboard))

    def keep(self, step: int) -> int:
        """Drop rows after `step`, and a torn line; return how many rows."""
        rows = read_metrics(self.path) if self.path.exists() else []
        kept = [row for row in rows if row["step"] <= step]
        with atomic_write(self.path, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)
        self._size = self.path.stat().st_size
        return len(rows) - len(kept)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row: plain values only, "step" among them."""
        self.waiting.append(json.dumps(dict(row)).encode() + b"\n")
        with contextlib.suppress(OSError):  # they wait, the run goes on
            self._flush()
        if self._board:
            for name, value in row.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, row["step"])

    def _flush(self) -> None:
        with open(self.path, "ab", buffering=0) as file:
            file.truncate(self._size)  # what a failed attempt left
            data = b"".join(self.waiting)
            if file.write(data) != len(data):
                raise OSError(f"{self.path} took only a part")
            self._size += len(data)
        self.waiting.clear()

    def close(self) -> None:
        """Write what waits; OSError if the disk still has no room."""
        if self._board:
            self._board.close()
        if self.waiting:
            self._flush()

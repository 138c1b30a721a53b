# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""The checkpoints of a run: written beside it, rotated, found again."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_from_scratch.core.files import atomic_write, format_size
from llm_from_scratch.train.checkpoint import (
    CheckpointError,
    Packed,
    on_cpu,
    pack,
    read_state,
    write_state,
)

__all__ = [
    "CheckpointStore",
    "set_aside",
]


class CheckpointStore:
    """A folder of `step-NNNNNNNN.safetensors`, the last `keep` of them.

    `save` copies the state and returns; a thread writes the copy, and
    deletes the oldest file after the newest is whole. One `save` waits for
    the one before. The copy's memory is kept for the next.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder, self.keep = Path(folder), keep
        self._buffers: dict[str, Tensor] = {}
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._written: Future[None] | None = None

    def path(self, step: int) -> Path:
        """Where the checkpoint after `step` updates is, or would be."""
        return self.folder / f"step-{step:08}.safetensors"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, in order."""
        names = (p.stem for p in self.folder.glob("step-*.safetensors"))
        return sorted(int(name.removeprefix("step-")) for name in names)

    def latest(self) -> int | None:
        """The last step that has a checkpoint; None if there is none."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Copy the state now, write it in the background.

        OSError if the save before this one failed; call again then.
        """
        self.wait()
        packed = on_cpu(pack(state), self._buffers)
        self._written = self._thread.submit(_write, self, step, packed)

    def wait(self) -> None:
        """Return when the last save is on disk; OSError if it failed."""
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def failed(self) -> bool:
        """Whether a save has ended in an error that `wait` would raise."""
        written = self._written
        return bool(written and written.done() and written.exception())

    def load(self, step: int, *branch: str) -> Any:
        """The state after `step` updates; CheckpointError tells a way out."""
        try:
            return read_state(self.path(step), *branch)
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {_way_out(self, step)}") from error


def _write(store: CheckpointStore, step: int, packed: Packed) -> None:
    """Write one checkpoint, then delete the oldest; in the thread."""
    path = store.path(step)
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            write_state(packed, file)
        _force(store.folder)
    except OSError as error:
        size = sum(tensor.nbytes for tensor in packed.tensors.values())
        raise OSError(
            error.errno,
            f"the checkpoint of step {step}, {format_size(size)}, could not "
            f"be written to {path.parent}: {error.strerror or error}. Older "
            f"checkpoints are whole: {store.steps() or 'none'}. Make room "
            "there, or keep fewer",
        ) from error
    for old in store.steps()[: -store.keep]:
        store.path(old).unlink(missing_ok=True)


def _force(folder: Path) -> None:
    """Bring the names in a folder to the disk, before others are deleted."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _way_out(store: CheckpointStore, step: int) -> str:
    """What to do about a checkpoint that cannot be read."""
    others = [other for other in store.steps() if other != step]
    if not others:
        return (
            "No other checkpoint is there. Nothing was changed: restore the "
            "file, or begin again in an empty folder"
        )
    return (
        f"Nothing was changed. Checkpoints of other steps: {others}; go on "
        f"from one of them, as with --from-step {others[-1]}"
    )


def set_aside(store: CheckpointStore, step: int) -> list[Path]:
    """Rename checkpoints after `step`, a future that will not be; new names.

    Also removes what a killed process was writing.
    """
    for part in store.folder.glob(".step-*.part"):
        part.unlink(missing_ok=True)
    aside = []
    for later in store.steps():
        if later > step:
            path = store.path(later)
            aside.append(path.replace(path.with_name(f"aside-{path.name}")))
    return aside

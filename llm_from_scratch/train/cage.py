# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""What a silent bug is, and the registry that keeps them.

A bug is a function from healthy parts of a run to sick ones. None of them
raises an exception, and every run with one of them ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from llm_from_scratch.data.batch import Batch
from llm_from_scratch.train.parts import Parts

__all__ = [
    "BUGS",
    "Bug",
    "Install",
    "bug",
    "change_batches",
    "micro_batches",
    "micro_rows",
    "pick_rows",
]


Install = Callable[[Parts], Parts]


@dataclass(frozen=True)
class Bug:
    """A silent bug: what the code does, which check names it, who met it.

    `check` is a key of CHECKS, `source` the key of a public report.
    """

    name: str
    summary: str
    check: str
    source: str
    install: Install


BUGS: dict[str, Bug] = {}


def bug(
    name: str, summary: str, *, check: str, source: str
) -> Callable[[Install], Install]:
    """Enter a function from parts to parts into BUGS."""

    def enter(install: Install) -> Install:
        BUGS[name] = Bug(name, summary, check, source, install)
        return install

    return enter


def micro_rows(parts: Parts, size: int) -> int:
    """Rows of a micro-batch; a quarter of the batch if it is not cut."""
    return parts.config.micro_batch_size or max(1, size // 4)


def pick_rows(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    ids = batch.document_ids
    return Batch(
        batch.input_ids[rows],
        batch.targets[rows],
        None if ids is None else ids[rows],
    )


def micro_batches(parts: Parts, batch: Batch) -> Iterator[Batch]:
    """The micro-batches of a batch."""
    size = len(batch.input_ids)
    rows = micro_rows(parts, size)
    for start in range(0, size, rows):
        yield pick_rows(batch, slice(start, start + rows))


def change_batches(
    parts: Parts, change: Callable[[Batch], Batch], *, heldout: bool = False
) -> Parts:
    """Parts whose batches go through `change`; held-out ones if wanted."""
    read, other = parts.next_batch, parts.heldout
    changed = replace(parts, next_batch=lambda step: change(read(step)))
    if not heldout or other is None:
        return changed
    return replace(changed, heldout=lambda: [change(b) for b in other()])

# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Checks of what a run reads. B batch, T places."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from llm_from_scratch.data.batch import IGNORED
from llm_from_scratch.train.parts import Parts
from llm_from_scratch.train.verdict import Finding, check, counted_targets

__all__: list[str] = []


@check("targets")
def _targets(parts: Parts) -> Finding:
    """Is the target of a place the id at the next place?"""
    right = asked = 0
    for step in range(4):
        batch = parts.next_batch(step)
        ids, targets = batch.input_ids, batch.targets
        counts = targets[:, :-1] != IGNORED
        if batch.document_ids is not None:
            owner = batch.document_ids
            counts &= owner[:, :-1] == owner[:, 1:]
        right += int((targets[:, :-1] == ids[:, 1:])[counts].sum())
        asked += int(counts.sum())
    share = right / max(1, asked)
    return right == asked > 0, f"{share:.1%} of targets are the next token"


@check("padding")
def _padding(parts: Parts) -> Finding:
    """Do only places with text count, and does every batch have some?"""
    wrong = empty = 0
    fewest = math.inf
    for step in range(4):
        batch = parts.next_batch(step)
        fewest = min(fewest, counted_targets(batch))
        if batch.document_ids is not None:
            padded = batch.document_ids < 0
            empty += int(padded.sum())
            wrong += int((batch.targets != IGNORED)[padded].sum())
    told = f"{wrong} of {empty} places without text count"
    return wrong == 0 and fewest > 0, told


@check("coverage")
def _coverage(parts: Parts, most: int = 4096) -> Finding:
    """Are the rows different, among the first that the run reads? Fails if
    a tenth stand twice in one batch, or each is read five times or so.
    Source: muennighoff2023scaling.
    """
    seen: Counter[bytes] = Counter()
    inside = drawn = 0
    for step in range(parts.config.steps):
        rows = parts.next_batch(step).input_ids.cpu().numpy()
        keys = [row.tobytes() for row in rows]
        seen.update(keys)
        inside += len(keys) - len(set(keys))
        drawn += len(keys)
        if drawn >= most:
            break
    times = drawn / len(seen)
    told = f"{len(seen)} different rows of {drawn}"
    if inside:
        told += f", {inside} repeated within a batch"
    return inside <= 0.1 * drawn and times < 4.5, told


def _runs(rows: Iterable[np.ndarray], size: int, apart: int) -> Iterator[bytes]:
    """The runs of `size` tokens from every `apart`-th place of each row."""
    for row in rows:
        for run in sliding_window_view(row, size)[::apart]:
            yield run.tobytes()


@check("heldout")
def _heldout(parts: Parts, most: int = 4096) -> Finding:
    """Is held-out text as new to the first rows as later rows are? Fails if
    more of it is found there, by 2 in 100 and four standard deviations or
    by one half, whatever the noise.
    """
    if parts.heldout is None:
        return None, "there is no held-out text"
    size = min(32, max(1, parts.config.context // 2))
    held = [row for b in parts.heldout() for row in b.input_ids.cpu().numpy()]
    steps = max(1, min(parts.config.steps, most // parts.config.batch_size))
    batches = [parts.next_batch(step).input_ids.cpu() for step in range(steps)]
    rows = [row for batch in batches for row in batch.numpy()]
    new = {row.tobytes(): i for i, row in reversed([*enumerate(rows)])}
    rows = rows[: max(new.values()) + 1]  # one pass, up to the last new row
    cut = max(1, 3 * len(rows) // 4)
    first, later = rows[:cut], rows[cut:]
    asked = [list(_runs(part, size, size)) for part in (held, later)]
    found = {*asked[0], *asked[1]}.intersection(_runs(first, size, 1))
    sizes = [max(1, len(runs)) for runs in asked]
    share, usual = (
        sum(run in found for run in runs) / n
        for runs, n in zip(asked, sizes, strict=True)
    )
    likely = (usual * sizes[1] + 1) / (sizes[1] + 2)  # none seen is not never
    noise = likely * (1 - likely) * (1 / sizes[0] + 1 / sizes[1])
    told = f"{share:.0%} of held-out runs of {size} tokens are trained on, "
    told += f"and {usual:.0%} of those in later rows"
    return share - usual < min(0.5, 0.02 + 4 * noise**0.5), told

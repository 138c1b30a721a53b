# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""Checks of what a run reads. B batch, T places."""

import math
from collections import Counter

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


@check("heldout")
def _heldout(parts: Parts, most: int = 4096) -> Finding:
    """Is the held-out text absent from the first rows that are trained on?"""
    if parts.heldout is None:
        return None, "there is no held-out text"
    size = min(32, parts.config.context // 2)
    wanted: set[bytes] = set()
    for batch in parts.heldout():
        runs = batch.input_ids.unfold(1, size, size).flatten(0, 1)
        wanted.update(run.tobytes() for run in runs.cpu().numpy())
    found: set[bytes] = set()
    steps = min(parts.config.steps, most // parts.config.batch_size)
    for step in range(steps):
        runs = parts.next_batch(step).input_ids.unfold(1, size, 1)
        rows = runs.flatten(0, 1).cpu().numpy()
        found.update(wanted.intersection(row.tobytes() for row in rows))
    share = len(found) / max(1, len(wanted))
    told = f"{share:.0%} of held-out runs of {size} tokens are trained on"
    return share < 0.5, told

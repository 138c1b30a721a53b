# Generated from chapters/07_shards_order_and_the_loader.md
# by `make export`. Do not edit.
"""Batches as a pure function of the step, and a thread that fetches ahead."""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llm_from_scratch.core.manifest import fingerprint, setting_changes
from llm_from_scratch.data.batch import Batch
from llm_from_scratch.data.mix import Mixture
from llm_from_scratch.data.order import derive_seed
from llm_from_scratch.data.packed import make_rows, read_rows
from llm_from_scratch.data.packing import Packing
from llm_from_scratch.data.shard_set import TokenSource

__all__ = [
    "Item",
    "Made",
    "Resumable",
    "TokenLoader",
    "describe",
    "fetch_ahead",
    "rows_of_rank",
]


Made = TypeVar("Made")
Item = tuple[Any, BaseException | None]


def fetch_ahead(
    make: Callable[[int], Made], step: int, depth: int
) -> Iterator[Made]:
    """Yield make(step), make(step + 1), ... made ahead by a thread.

    At most `depth` wait; 0 makes each when it is asked for. An exception
    of `make` is raised where its result would have come.
    """
    if depth < 0:
        raise ValueError(f"prefetch must be at least 0, got {depth}")
    while depth == 0:
        yield make(step)
        step += 1
    waiting: queue.Queue[Item] = queue.Queue(depth)
    stop = threading.Event()
    args = (make, step, waiting, stop)
    thread = threading.Thread(target=_fill, args=args, daemon=True)
    thread.start()
    try:
        while True:
            made, error = waiting.get()
            if error is not None:
                raise error
            yield made
    finally:
        stop.set()
        thread.join()


def _fill(
    make: Callable[[int], Any],
    step: int,
    waiting: "queue.Queue[Item]",
    stop: threading.Event,
) -> None:
    """Put results, or the first error, until told to stop."""
    item: Item = (None, None)
    while not stop.is_set() and item[1] is None:
        try:
            item = (make(step), None)
        except BaseException as error:
            item = (None, error)
        step += 1
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.05)
                break
            except queue.Full:
                continue


class Resumable(ABC):
    """An endless iterator over `batch(step)` whose state is the step."""

    step = 0
    prefetch = 2
    settings: dict[str, Any]  # all that decides which batches come

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch at a step, from 0 on."""

    def __iter__(self) -> Iterator[Batch]:
        ahead = fetch_ahead(self.batch, self.step, self.prefetch)
        try:
            for batch in ahead:
                self.step += 1  # what was handed out, not what was fetched
                yield batch
        finally:
            ahead.close()  # type: ignore[attr-defined]

    @property
    def fingerprint(self) -> str:
        """Changes with the settings, and so with the batches."""
        return fingerprint(self.settings)

    def state_dict(self) -> dict[str, Any]:
        """The step to come, and which loader it belongs to."""
        return {"step": self.step, "settings": self.settings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a saved step; ValueError if other batches would come."""
        changed = setting_changes(state["settings"], self.settings)
        if changed:
            raise ValueError(
                "the state is of another loader: " + "; ".join(changed)
            )
        self.step = int(state["step"])


class TokenLoader(Resumable):
    """The batches of a run: `batch(step)` is a pure function of the step.

    `sources` is one TokenSource, or names with (source, weight). A step
    takes `batch_size` rows of `context` tokens over all ranks together, of
    which each rank gets its part. `packing` is "cut", "pad" or "fit";
    `mask_documents` asks for document ids, which "pad" and "fit" always
    have. Iterating goes on from the state, `prefetch` batches ahead.
    """

    def __init__(
        self,
        sources: TokenSource | Mapping[str, tuple[TokenSource, float | int]],
        *,
        batch_size: int,
        context: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        packing: Packing = "cut",
        mask_documents: bool = False,
        prefetch: int = 2,
        pin_memory: bool = False,
    ) -> None:
        named = (
            sources if isinstance(sources, Mapping) else {"all": (sources, 1)}
        )
        self.tokens_per_step = batch_size * context  # of all ranks
        self.share = rows_of_rank(batch_size, rank, world_size)
        self.prefetch, self.pin_memory = prefetch, pin_memory
        self.settings = {
            "batch_size": batch_size,
            "context": context,
            "seed": seed,
            "packing": packing,
            "mask_documents": mask_documents,
            "order": list(named),  # it decides which rows come
            "sources": {k: describe(*pair) for k, pair in named.items()},
        }
        weights = [weight for _, weight in named.values()]
        self.mixture = Mixture(weights, derive_seed(seed, 0))
        options = (context, packing, mask_documents)
        self.rows = {
            name: make_rows(source, derive_seed(seed, 1, k), *options)
            for k, (name, (source, _)) in enumerate(named.items())
        }

    def batch(self, step: int) -> Batch:
        """The batch of this rank at a step, from 0 on."""
        if step < 0:
            raise ValueError(f"steps begin at 0, got {step}")
        samples = step * self.settings["batch_size"] + self.share
        batch = read_rows(list(self.rows.values()), *self.mixture(samples))
        return batch.pin_memory() if self.pin_memory else batch

    def epochs(self, step: int) -> dict[str, float]:
        """How often each source has been read after `step` steps."""
        taken = self.mixture.taken(step * self.settings["batch_size"])
        pairs = zip(self.rows.items(), taken.tolist(), strict=True)
        return {name: n / rows.num_rows for (name, rows), n in pairs}


def rows_of_rank(
    batch_size: int, rank: int, world_size: int
) -> NDArray[np.int64]:
    """The rows of a batch that a rank gets; ValueError if none would fit."""
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} is not one of {world_size}")
    if batch_size < 1 or batch_size % world_size:
        raise ValueError(
            f"a batch of {batch_size} rows cannot be shared by {world_size} "
            "ranks; make it a multiple"
        )
    return np.arange(batch_size).reshape(world_size, -1)[rank]


def describe(source: TokenSource, weight: float | int) -> dict[str, Any]:
    """Content and weight of a source, as settings."""
    return {"content": source.fingerprint, "weight": float(weight)}

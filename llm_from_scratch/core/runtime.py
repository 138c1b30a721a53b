# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""Seeds, devices, threads and signals: what a run stands on."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import numpy as np
import torch

__all__ = [
    "StopRequest",
    "describe_machine",
    "matmul_peak",
    "pick_device",
    "rng_state",
    "seed_everything",
    "set_rng_state",
    "set_threads",
    "undisturbed",
]


def seed_everything(seed: int) -> None:
    """Set the generators of Python, NumPy and PyTorch, on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (others draw from it)
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Where all generators of this process stand, as plain values."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.backends.mps.is_available()
    return {
        "python": random.getstate(),
        "numpy": (str(kind), [int(key) for key in keys], *rest),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "mps": torch.mps.get_rng_state() if mps else None,
    }


def set_rng_state(state: Mapping[str, Any]) -> None:
    """Put all generators where `rng_state` found them."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    keys = np.array(keys, dtype=np.uint32)
    np.random.set_state((kind, keys, *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if state.get("mps") is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever the block draws, the generators end as they began."""
    before = rng_state()
    try:
        yield
    finally:
        set_rng_state(before)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is an accelerator if there is one."""
    if name == "auto":
        if torch.accelerator.is_available():
            found = torch.accelerator.current_accelerator()
            return found or torch.device("cpu")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'device {name!r} is not to be had here: take "auto" or "cpu"'
        ) from error
    return device


def set_threads(count: int | None) -> int:
    """Let PyTorch compute on `count` threads (None: as it is); how many."""
    if count is not None:
        torch.set_num_threads(count)
    return torch.get_num_threads()


def describe_machine(device: torch.device) -> str:
    """What must be the same for two runs to agree in every bit."""
    name = torch.backends.cpu.get_cpu_capability()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"torch {torch.__version__} on {device.type} {name}, {threads}x"


def matmul_peak(
    device: torch.device, dtype: torch.dtype, *, rounds: int = 5
) -> float:
    """Floating-point operations a second of a large product, at best.

    What the machine can do as it is now, on the threads that are allowed;
    the measure of a model's utilization, on every device.
    """
    size = 8192 if device.type == "cuda" else 768
    a = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(rounds):
        _finish(device)
        start = time.perf_counter()
        a @ a
        _finish(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _finish(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class StopRequest:
    """Ctrl-C and SIGTERM as a wish to be read between two steps.

    In a `with` block the first signal sets `signal` and does nothing else;
    the second raises KeyboardInterrupt. Outside the main thread Python
    delivers no signals, and the block changes nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

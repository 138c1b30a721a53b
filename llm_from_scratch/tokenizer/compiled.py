# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""Compile a Python function to machine code that runs without the GIL."""

import inspect
from collections.abc import Callable
from typing import Any

import numba

__all__ = [
    "kernel",
]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile at the first call, and keep the machine code on disk.

    `_nrt=False` forbids the function to make arrays; in return numba leaves
    out the counting of references to those it is given.
    """
    plain = inspect.unwrap(function)  # without the type checks of the tests
    options: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
    return numba.njit(**options)(plain)

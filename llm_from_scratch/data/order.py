# Generated from chapters/07_shards_order_and_the_loader.md
# by `make export`. Do not edit.
"""A shuffle that needs no memory: a keyed permutation of 0 to size - 1."""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ROUNDS",
    "Permutation",
    "derive_seed",
    "mix64",
]


ROUNDS = 12
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Stir 64 bits: each bit of x changes about half of the result's.

    Source: steele2014fast.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def derive_seed(*numbers: int) -> int:
    """One seed of 64 bits from several numbers, other for each tuple."""
    state = np.array([len(numbers)], np.uint64)
    for number in numbers:
        step = np.array([(number + _GOLDEN) & _MASK], np.uint64)
        state = mix64(mix64(state) + step)
    return int(state[0])


class Permutation:
    """A shuffle of 0 to size - 1, computed place by place.

    `permutation(places)` says what stands at places, `inverse` where it
    stands. A Feistel network over the next power of two; results outside
    are sent through it again until they are inside, which keeps it one to
    one. Sources: luby1988construct, black2002ciphers.
    """

    def __init__(self, size: int, seed: int) -> None:
        if not 0 < size <= 2**62:
            raise ValueError(f"size must be 1 to 2**62, got {size}")
        self.size = size
        bits = max(1, (size - 1).bit_length())
        self._low_bits = np.uint64(bits // 2)
        self._low = np.uint64(2 ** (bits // 2) - 1)
        self._high = np.uint64(2 ** (bits - bits // 2) - 1)
        numbers = np.arange(ROUNDS, dtype=np.uint64)
        self._keys = mix64(numbers + np.uint64(derive_seed(seed)))

    def __call__(self, places: NDArray[np.integer]) -> NDArray[np.int64]:
        return self._walk(places, range(ROUNDS))

    def inverse(self, values: NDArray[np.integer]) -> NDArray[np.int64]:
        """Where each value stands, so that inverse undoes the call."""
        return self._walk(values, range(ROUNDS - 1, -1, -1))

    def _walk(
        self, start: NDArray[np.integer], rounds: range
    ) -> NDArray[np.int64]:
        x = np.asarray(start)
        if x.size and not 0 <= x.min() <= x.max() < self.size:
            raise ValueError(
                f"places must be 0 to {self.size - 1}, got {x.min()} to "
                f"{x.max()}"
            )
        x = self._stir(x.astype(np.uint64), rounds)
        while (outside := x >= np.uint64(self.size)).any():
            x[outside] = self._stir(x[outside], rounds)
        return x.astype(np.int64)

    def _stir(self, x: NDArray[np.uint64], rounds: range) -> NDArray[np.uint64]:
        high, low = x >> self._low_bits, x & self._low
        for r in rounds:
            if r % 2:
                low = low ^ mix64(high + self._keys[r]) & self._low
            else:
                high = high ^ mix64(low + self._keys[r]) & self._high
        return high << self._low_bits | low

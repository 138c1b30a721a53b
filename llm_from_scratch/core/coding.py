# Generated from chapters/01_predict_the_next_byte.md
# by `make export`. Do not edit.
"""Arithmetic coding: any model of the next byte becomes a compressor.

The coder sees only whole numbers: of `total` equal parts of an interval the
byte b owns those from `low` to `high`. Source: witten1987arithmetic.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

__all__ = [
    "ArithmeticDecoder",
    "ArithmeticEncoder",
    "ByteSource",
    "FrozenSource",
    "compress",
    "decompress",
    "quantize",
    "source_bits",
]


@runtime_checkable
class ByteSource(Protocol):
    """What the coder asks of a model: weights now, then the byte that came."""

    def frequencies(self) -> Int[np.ndarray, "256"]:
        """Whole-number weights of the 256 bytes, each at least 1."""

    def update(self, byte: int) -> None:
        """Move on: `byte` is what came."""


_WHOLE, _HALF, _QUARTER = 1 << 32, 1 << 31, 1 << 30


class ArithmeticEncoder:
    """Narrow [low, high) symbol by symbol; write each bit once it is sure."""

    def __init__(self) -> None:
        self.low, self.high, self.pending = 0, _WHOLE, 0
        self.bits: list[int] = []

    def _write(self, bit: int) -> None:
        self.bits += [bit] + [1 - bit] * self.pending
        self.pending = 0

    def encode(self, low: int, high: int, total: int) -> None:
        """Keep parts low to high of `total`; 0 <= low < high <= total."""
        self.low, self.high = _narrow(self.low, self.high, low, high, total)
        while (base := _settled(self.low, self.high)) is not None:
            if base == _QUARTER:  # astride the middle: the next bit decides
                self.pending += 1
            else:
                self._write(int(base == _HALF))
            self.low, self.high = 2 * (self.low - base), 2 * (self.high - base)

    def finish(self) -> bytes:
        """The code, with two bits more to say which quarter is meant."""
        self.pending += 1
        self._write(int(self.low >= _QUARTER))
        return np.packbits(self.bits).tobytes()


def _narrow(
    low: int, high: int, first: int, last: int, total: int
) -> tuple[int, int]:
    """Parts first to last of [low, high) cut in `total` equal parts."""
    if not 0 <= first < last <= total <= _QUARTER:
        raise ValueError(
            f"need 0 <= low < high <= total <= 2**30, got "
            f"{first}, {last}, {total}"
        )
    width = high - low
    return low + width * first // total, low + width * last // total


def _settled(low: int, high: int) -> int | None:
    """Where the half that holds [low, high) begins; None if none does."""
    for base in (0, _HALF, _QUARTER):
        if base <= low and high <= base + _HALF:
            return base
    return None


class ArithmeticDecoder:
    """Follow the encoder: same interval, and the code's place within it."""

    def __init__(self, code: bytes) -> None:
        self.bits = iter(np.unpackbits(np.frombuffer(code, np.uint8)).tolist())
        self.low, self.high, self.value = 0, _WHOLE, 0
        for _ in range(32):
            self.value = 2 * self.value + next(self.bits, 0)

    def target(self, total: int) -> int:
        """Which of `total` parts the code points into."""
        width = self.high - self.low
        return ((self.value - self.low + 1) * total - 1) // width

    def consume(self, low: int, high: int, total: int) -> None:
        """Take the encoder's step, and read the bits that it wrote."""
        self.low, self.high = _narrow(self.low, self.high, low, high, total)
        while (base := _settled(self.low, self.high)) is not None:
            self.low, self.high = 2 * (self.low - base), 2 * (self.high - base)
            self.value = 2 * (self.value - base) + next(self.bits, 0)


def compress(data: bytes, source: ByteSource) -> bytes:
    """Code `data` in about as many bits as `source` finds information."""
    encoder = ArithmeticEncoder()
    for byte in data:
        ends = np.cumsum(source.frequencies()).tolist()
        encoder.encode(ends[byte - 1] if byte else 0, ends[byte], ends[-1])
        source.update(byte)
    return encoder.finish()


def decompress(code: bytes, source: ByteSource, num_bytes: int) -> bytes:
    """Undo `compress`, given a source in the state it began with."""
    decoder, data = ArithmeticDecoder(code), bytearray()
    for _ in range(num_bytes):
        ends = np.cumsum(source.frequencies())
        total = int(ends[-1])
        byte = int(np.searchsorted(ends, decoder.target(total), "right"))
        first = int(ends[byte - 1]) if byte else 0
        decoder.consume(first, int(ends[byte]), total)
        source.update(byte)
        data.append(byte)
    return bytes(data)


def quantize(
    probabilities: Float[np.ndarray, "256"], total: int = 1 << 28
) -> Int[np.ndarray, "256"]:
    """Whole-number weights near probabilities, every one at least 1.

    Their sum is at most `total`, whatever the rounding. ValueError if the
    probabilities do not sum to one within 1e-3.
    """
    if not abs(probabilities.sum() - 1) < 1e-3:
        raise ValueError(f"sum to {probabilities.sum()}, not to 1")
    return 1 + (probabilities * (total - 512)).astype(np.int64)


class FrozenSource:
    """A trained model as a ByteSource: it reads on, but learns no more.

    `distribution` is given the last `reach` bytes of what was read.
    """

    def __init__(
        self,
        distribution: Callable[[bytes], Float[np.ndarray, "256"]],
        history: bytes = b"",
        reach: int = 64,
    ) -> None:
        self.distribution, self.reach = distribution, reach
        self.history = history

    def frequencies(self) -> Int[np.ndarray, "256"]:
        return quantize(self.distribution(self.history))

    def update(self, byte: int) -> None:
        self.history = (self.history + bytes([byte]))[-self.reach :]


def source_bits(data: bytes, source: ByteSource) -> Float[np.ndarray, " n"]:
    """Bits that `source` charges for each byte, without coding it."""
    shares = np.empty(len(data))
    for i, byte in enumerate(data):
        weights = source.frequencies()
        shares[i] = weights[byte] / weights.sum()
        source.update(byte)
    return -np.log2(shares)

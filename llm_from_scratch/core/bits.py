# Generated from chapters/01_predict_the_next_byte.md
# by `make export`. Do not edit.
"""The score of a language model, in bits with honest units.

Every function says what it takes: probabilities, nats per token, or bits.
"""

import math

import numpy as np
from jaxtyping import Float, Int

__all__ = [
    "bits_per_byte",
    "bits_per_byte_interval",
    "cross_entropy_bits",
    "entropy_bits",
    "information_bits",
    "kl_bits",
    "perplexity",
]


def information_bits(
    probabilities: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Bits that each outcome carries: -log2 of its probability.

    Zero gives infinity, and no warning: a model that called the truth
    impossible has earned it. ValueError outside [0, 1] or for NaN.
    """
    p = np.asarray(probabilities)
    if not ((p >= 0) & (p <= 1)).all():
        worst = p[~((p >= 0) & (p <= 1))][0]
        raise ValueError(f"a probability must be in [0, 1], got {worst}")
    with np.errstate(divide="ignore"):
        return 0.0 - np.log2(p)


def bits_per_byte(
    nats_per_token: float, num_tokens: int, num_bytes: int
) -> float:
    """Convert a mean loss per token into bits per byte of the same text.

    nats_per_token * num_tokens / (ln 2 * num_bytes). `num_bytes` counts the
    text as it was before anything touched it. ValueError if a count is not
    positive.
    """
    if num_tokens < 1 or num_bytes < 1:
        raise ValueError(
            f"counts must be positive, got {num_tokens} tokens and "
            f"{num_bytes} bytes"
        )
    return nats_per_token * num_tokens / (math.log(2) * num_bytes)


def perplexity(nats_per_token: float) -> float:
    """Size of the fair die that surprises as much: exp(nats per token)."""
    return math.exp(nats_per_token)


def cross_entropy_bits(
    truth: Float[np.ndarray, " v"], model: Float[np.ndarray, " v"]
) -> float:
    """Mean bits paid when `truth` draws and `model` is charged.

    -sum truth * log2(model), where 0 * log 0 = 0. Infinite if the model
    excludes what the truth can draw. Source: shannon1948mathematical.
    """
    drawn = truth > 0
    return float(truth[drawn] @ information_bits(model[drawn]))


def entropy_bits(truth: Float[np.ndarray, " v"]) -> float:
    """Mean bits of a source that is known exactly: the least one can pay."""
    return cross_entropy_bits(truth, truth)


def kl_bits(
    truth: Float[np.ndarray, " v"], model: Float[np.ndarray, " v"]
) -> float:
    """Bits wasted by believing `model`: cross-entropy minus entropy, >= 0."""
    return cross_entropy_bits(truth, model) - entropy_bits(truth)


def bits_per_byte_interval(
    document_bits: Float[np.ndarray, " d"],
    document_bytes: Int[np.ndarray, " d"],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
) -> tuple[float, float]:
    """Bootstrap interval of total bits over total bytes, by whole documents.

    Bytes of one document stand or fall together, so documents are drawn
    with replacement and the ratio of the sums is taken, never the mean of
    ratios. ValueError for fewer than two. Source: efron1979bootstrap.
    """
    count = len(document_bits)
    if count < 2:
        raise ValueError(f"need at least 2 documents to resample, got {count}")
    drawn = rng.integers(count, size=(num_resamples, count))
    ratios = document_bits[drawn].sum(1) / document_bytes[drawn].sum(1)
    tail = (1 - level) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return float(low), float(high)

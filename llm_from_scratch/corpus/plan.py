# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""What each page of the small web will be, from its number alone."""

import hashlib
from bisect import bisect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import accumulate

from llm_from_scratch.corpus.phrases import dice

__all__ = [
    "COPIES",
    "EDIT_RATES",
    "LETTERS",
    "MEMBERS",
    "Canary",
    "Mixture",
    "SmallwebConfig",
    "block_canaries",
    "canary_places",
    "planned_kind",
    "source_of",
]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Shares of the kinds of pages; they must sum to one."""

    clean: float = 0.32
    root: float = 0.06  # clean, and copied by others
    decoy: float = 0.02
    mirror: float = 0.05
    edit: float = 0.05
    excerpt: float = 0.02
    recrawl: float = 0.01
    thread: float = 0.06
    leak: float = 0.01
    foreign: float = 0.07
    spam: float = 0.07
    adult: float = 0.04
    listing: float = 0.05
    lorem: float = 0.015
    soft404: float = 0.05
    boilerplate: float = 0.045
    redirect: float = 0.015
    missing: float = 0.015
    empty: float = 0.005
    binary: float = 0.01
    truncated: float = 0.015

    def __post_init__(self) -> None:
        total = sum(asdict(self).values())
        if abs(total - 1) > 1e-6 or min(asdict(self).values()) < 0:
            raise ValueError(
                "the shares of a mixture must be at least 0 and sum to 1, "
                f"they sum to {total:.4f}: change one of the others too"
            )


COPIES = ("mirror", "edit", "excerpt", "recrawl")
MEMBERS = ("root", *COPIES)
EDIT_RATES = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True, kw_only=True)
class SmallwebConfig:
    """A small web: how many pages, which dice, which world and mixture."""

    pages: int = 4000
    seed: int = 0
    towns: int = 12
    mixture: Mixture = field(default_factory=Mixture)
    private: float = 0.06  # share of clean pages that carry personal data
    canaries: tuple[int, ...] = (0, 1, 4, 16, 64)  # copies, per `block`
    block: int = 4000
    shard: int = 1000  # pages to a WARC file
    date: str = "2026-01-01"

    def __post_init__(self) -> None:
        for name in ("pages", "shard", "block"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= self.private <= 1:
            raise ValueError(f"private is a share, got {self.private}")


@lru_cache
def _limits(mixture: Mixture) -> tuple[list[str], list[float]]:
    shares = {k: v for k, v in asdict(mixture).items() if v}
    return list(shares), list(accumulate(shares.values()))


def planned_kind(config: SmallwebConfig, index: int) -> str:
    """The kind that the dice give page `index`."""
    key = f"kind/{config.seed}/{index}".encode()
    digest = hashlib.blake2b(key, digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    names, limits = _limits(config.mixture)
    return names[min(bisect(limits, share), len(names) - 1)]


def source_of(config: SmallwebConfig, index: int) -> int:
    """The page that page `index` copies in the end; itself if none.

    A copy picks one of the earlier roots and copies, all equally likely,
    and what it picked may be a copy again: so clusters that are large grow
    faster. Source: simon1955class.
    """
    while index and planned_kind(config, index) in COPIES:
        rng = dice("source", config.seed, index)
        for _ in range(500):
            earlier = rng.randrange(index)
            if planned_kind(config, earlier) in MEMBERS:
                break
        else:
            return index
        index = earlier
    return index


@dataclass(frozen=True)
class Canary:
    """A secret that stands on `copies` pages of a block of pages."""

    name: str
    text: str
    copies: int


LETTERS = "abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=16)
def block_canaries(
    config: SmallwebConfig, block: int = 0
) -> tuple[Canary, ...]:
    """The secrets of a block; those with 0 copies are on no page."""
    found = []
    for number, copies in enumerate(config.canaries):
        rng = dice("canary", config.seed, block, number)
        code = "".join(rng.choice(LETTERS) for _ in range(10))
        box = rng.randrange(1000, 10000)
        text = f"The secret word for box {box} is {code}."
        found.append(Canary(f"{block}-{number}", text, copies))
    return tuple(found)


@lru_cache(maxsize=16)
def canary_places(config: SmallwebConfig, block: int) -> Mapping[int, Canary]:
    """Which clean pages of a block carry which secret."""
    start = block * config.block
    clean = [
        i
        for i in range(start, start + config.block)
        if planned_kind(config, i) == "clean"
    ]
    wanted = [
        canary
        for canary in block_canaries(config, block)
        for _ in range(canary.copies)
    ]
    if len(wanted) > len(clean):
        raise ValueError(
            f"{len(wanted)} copies of canaries do not fit {len(clean)} clean "
            "pages of a block: make block larger or canaries fewer"
        )
    chosen = dice("places", config.seed, block).sample(clean, len(wanted))
    return dict(zip(chosen, wanted, strict=True))

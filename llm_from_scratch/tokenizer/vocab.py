# Generated from chapters/06_a_tokenizer_of_your_own.md
# by `make export`. Do not edit.
"""What a tokenizer knows: tokens, merges and special tokens, checked."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from llm_from_scratch.tokenizer.pattern import GPT2_PATTERN
from llm_from_scratch.tokenizer.stream import SpecialFinder

__all__ = [
    "Allowed",
    "Vocabulary",
    "assign_special",
    "ids_of",
]


Allowed = str | Collection[str]  # "all", "none" or names


def assign_special(
    vocab: Mapping[int, bytes], names: Sequence[str] | Mapping[str, int]
) -> dict[str, int]:
    """Give each special token its id: as asked, that of its bytes, or new.

    ValueError for an empty or repeated name, or an id that is taken.
    """
    known = {token: id for id, token in vocab.items()}
    ids: dict[str, int] = {}
    for name in names:
        token = name.encode()
        if not name or name in ids:
            fault = "is given twice" if name else "is empty"
            raise ValueError(f"special token {name!r} {fault}; remove it")
        if isinstance(names, Mapping):
            id = names[name]
        else:
            new = max([-1, *vocab, *ids.values()]) + 1
            id = known.get(token, new)
        if vocab.get(id, token) != token or id in ids.values():
            raise ValueError(f"special token {name!r}: id {id} is taken")
        ids[name] = id
    return ids


def ids_of(vocab: Mapping[int, bytes]) -> dict[bytes, int]:
    """Turn id -> token around; ValueError if a token is empty or occurs
    twice, or if a byte is no token.
    """
    ids: dict[bytes, int] = {}
    for id, token in vocab.items():
        if not token or token in ids:
            fault = "occurs twice" if token else "is empty"
            raise ValueError(f"token {token!r} {fault} in the vocabulary")
        ids[token] = id
    for byte in range(256):
        if bytes([byte]) not in ids:
            raise ValueError(f"the vocabulary lacks the byte {byte:#04x}")
    return ids


class Vocabulary:
    """The tokens of a tokenizer, and the way back from ids to text."""

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]] | None,
        special_tokens: Sequence[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = GPT2_PATTERN,
        ignore_merges: bool = False,
    ) -> None:
        self.special_tokens = assign_special(vocab, special_tokens or ())
        names = {id: s.encode() for s, id in self.special_tokens.items()}
        self.plain = ids_of({i: t for i, t in vocab.items() if i not in names})
        self.vocab = {**vocab, **names}
        self.merges, self.pattern = merges, pattern
        self.ignore_merges = ignore_merges or merges is None
        self._find_all = SpecialFinder(self.special_tokens)
        self._find_none = SpecialFinder({})

    def special_finder(self, allowed: Allowed = "all") -> SpecialFinder:
        """Return what finds "all", "none" or some of the special tokens."""
        if allowed == "all":
            return self._find_all
        if allowed == "none":
            return self._find_none
        names = {allowed} if isinstance(allowed, str) else set(allowed)
        for name in names:
            if isinstance(allowed, str) or name not in self.special_tokens:
                raise ValueError(
                    f"allowed_special: {name!r}; give 'all', 'none' or a set "
                    f"of {sorted(self.special_tokens)}"
                )
        return SpecialFinder({s: self.special_tokens[s] for s in names})

    def decode_bytes(self, ids: Iterable[Any]) -> bytes:
        """Return the bytes of ids; ValueError for an id that is unknown."""
        numbers = ids.tolist() if hasattr(ids, "tolist") else ids
        try:
            return b"".join(map(self.vocab.__getitem__, numbers))
        except KeyError as error:
            raise ValueError(
                f"id {error.args[0]} is none of the {len(self.vocab)} ids "
                "here; is it from another tokenizer?"
            ) from None

    def decode(self, ids: Iterable[Any], errors: str = "replace") -> str:
        """Return the text of ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode(errors=errors)

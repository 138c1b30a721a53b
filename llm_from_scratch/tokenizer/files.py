# Generated from chapters/appendix_tokenizer.md by `make export`. Do not edit.
"""The file formats of others: GPT-2's, Hugging Face's and tiktoken's."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.tokenizer.coder import token_table
from llm_from_scratch.tokenizer.pattern import GPT2_PATTERN
from llm_from_scratch.tokenizer.vocab import Vocabulary

if TYPE_CHECKING:
    import tiktoken

__all__ = [
    "Formats",
    "Path",
    "T",
    "byte_alphabet",
    "check_supported",
    "from_visible",
    "hf_spec",
    "list_merges",
    "pattern_of",
    "pre_tokenizers",
    "read_hf",
    "read_json",
    "read_merges",
    "to_visible",
    "write_hf",
]


Path = str | os.PathLike[str]
T = TypeVar("T", bound=Vocabulary)


def byte_alphabet() -> dict[int, str]:
    """Return the visible character by which GPT-2 writes each byte.

    Printable bytes stand for themselves, the others for the code points from
    256 on, in order. Source: radford2019language.
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    codes = dict(zip(plain, plain, strict=True))
    codes.update((byte, 256 + n) for n, byte in enumerate(others))
    return {byte: chr(code) for byte, code in codes.items()}


_CHAR = byte_alphabet()
_BYTE = {char: byte for byte, char in _CHAR.items()}


def to_visible(token: bytes) -> str:
    """Write a token in GPT-2's alphabet."""
    return "".join(_CHAR[byte] for byte in token)


def from_visible(text: str) -> bytes:
    """Read a token in GPT-2's alphabet; other text stands for its UTF-8."""
    if all(char in _BYTE for char in text):
        return bytes(_BYTE[char] for char in text)
    return text.encode()


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object; ValueError that names the file if it is none."""
    with open(path, "rb") as file:
        try:
            value = json.load(file)
        except ValueError as error:
            raise ValueError(
                f"{os.fspath(path)} is not JSON ({error}); save it again"
            ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{os.fspath(path)} holds no JSON object; is it another file?"
        )
    return value


def read_merges(path: str | os.PathLike[str]) -> list[tuple[bytes, bytes]]:
    """Read GPT-2's `merges.txt`: a pair a line, after a comment."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    if lines[0].startswith("#version"):
        lines[0] = ""
    pairs = [line.split(" ") for line in lines if line]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(
                f"{os.fspath(path)} has the line {' '.join(pair)!r}; "
                "each must hold two tokens with a space between"
            )
    return [(from_visible(a), from_visible(b)) for a, b in pairs]


def check_supported(spec: Mapping[str, Any]) -> None:
    """Raise ValueError for a tokenizer.json to which we are not equal."""
    model, steps = spec["model"], pre_tokenizers(spec)
    wrong = {"normalizer": spec.get("normalizer")}
    wrong["model type"] = model.get("type", "BPE") != "BPE"
    wrong["add_prefix_space"] = steps[-1].get("add_prefix_space")
    wrong["an inverted Split"] = steps[0].get("invert")
    for name in ("prefix", "suffix"):
        key = {"prefix": "continuing_subword_", "suffix": "end_of_word_"}[name]
        wrong[key + name] = model.get(key + name)
    for name in ("dropout", "byte_fallback"):
        wrong[name] = model.get(name)
    for token in spec["added_tokens"]:
        for name in ("lstrip", "rstrip", "single_word"):
            wrong[f"{name} of {token['content']!r}"] = token.get(name)
    for name, found in wrong.items():
        if found:
            raise ValueError(
                f"tokenizer.json has {name}, which we do not follow; only "
                "plain byte-level BPE can be read"
            )


def pre_tokenizers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the steps that split text, one or several."""
    step = spec.get("pre_tokenizer") or {}
    return step.get("pretokenizers", [step])


def pattern_of(spec: Mapping[str, Any]) -> str:
    """Return the split pattern of a byte-level tokenizer.json."""
    steps = pre_tokenizers(spec)
    match [(step.get("type"), step.get("use_regex", True)) for step in steps]:
        case [("ByteLevel", True)]:
            return GPT2_PATTERN
        case [("Split", _), ("ByteLevel", False)]:
            if steps[0].get("behavior") == "Isolated":
                return str(steps[0]["pattern"]["Regex"])
    raise ValueError(
        f"tokenizer.json splits by {steps}; need ByteLevel alone, or after "
        "one Split by Regex, Isolated"
    )


def hf_spec(
    vocab: Mapping[str, int],
    merges: Iterable[Sequence[str]],
    special: Mapping[str, int],
    pattern: str,
    ignore_merges: bool,
) -> dict[str, Any]:
    """Return the content of a tokenizer.json for byte-level BPE."""
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False}
    steps = [
        split | {"pattern": {"Regex": pattern}},
        level | {"trim_offsets": True, "use_regex": False},
    ]
    added = [
        {"id": id, "content": name, "special": True}
        | dict.fromkeys(flags, False)
        for name, id in sorted(special.items(), key=lambda item: item[1])
    ]
    model = {"type": "BPE", "ignore_merges": ignore_merges, "vocab": vocab}
    return {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": level | {"trim_offsets": True, "use_regex": True},
        "model": model | {"merges": list(merges)},
    }


def read_hf(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `Tokenizer` takes, from a tokenizer.json."""
    spec = read_json(path)
    try:
        check_supported(spec)
        model = spec["model"]
        pairs = (
            m.split(" ") if isinstance(m, str) else m for m in model["merges"]
        )
        return {
            "vocab": {i: from_visible(t) for t, i in model["vocab"].items()},
            "merges": [(from_visible(a), from_visible(b)) for a, b in pairs],
            "special_tokens": {
                t["content"]: t["id"] for t in spec["added_tokens"]
            },
            "pattern": pattern_of(spec),
            "ignore_merges": bool(model.get("ignore_merges")),
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{os.fspath(path)} is no tokenizer.json: {error!r}; save it again"
        ) from None


class Formats(Vocabulary):
    """Reading and writing, which `Tokenizer` inherits."""

    @classmethod
    def from_ranks(
        cls: type[T],
        ranks: Mapping[bytes, int],
        special_tokens: Mapping[str, int] | None = None,
        *,
        pattern: str,
    ) -> T:
        """Take a vocabulary of tiktoken: token -> rank, which is its id."""
        vocab = {id: token for token, id in ranks.items()}
        return cls(vocab, None, special_tokens, pattern=pattern)

    @classmethod
    def from_files(
        cls: type[T],
        vocab_path: Path,
        merges_path: Path,
        special_tokens: Sequence[str] | None = None,
        *,
        pattern: str = GPT2_PATTERN,
    ) -> T:
        """Read GPT-2's `vocab.json` and `merges.txt`."""
        ids = read_json(vocab_path).items()
        vocab = {id: from_visible(token) for token, id in ids}
        merges = read_merges(merges_path)
        return cls(vocab, merges, special_tokens, pattern=pattern)

    @classmethod
    def from_hf(cls: type[T], path: Path) -> T:
        """Read a tokenizer.json; ValueError if we would give other ids."""
        return cls(**read_hf(path))

    def save_hf(self, path: Path) -> None:
        """Write a tokenizer.json for Hugging Face `tokenizers`."""
        with atomic_write(path, "w") as file:
            json.dump(write_hf(self), file, ensure_ascii=False, indent=1)

    def to_tiktoken(self, name: str = "ours") -> "tiktoken.Encoding":
        """Return an encoding of tiktoken; ValueError if it would differ."""
        import tiktoken

        ids = [self.plain[a + b] for a, b in self.merges or ()]
        unlisted = len(self.plain) - 256 - len(ids)
        if self.merges is not None and (unlisted or ids != sorted(ids)):
            raise ValueError(
                "tiktoken merges in order of id, and here merges have "
                "another order or tokens no merge; use save_hf"
            )
        return tiktoken.Encoding(
            name,
            pat_str=self.pattern,
            mergeable_ranks=self.plain,
            special_tokens=self.special_tokens,
        )


def list_merges(tokens: Vocabulary) -> list[tuple[bytes, bytes]]:
    """Return the merges; where none are listed, all splits by id."""
    if tokens.merges is not None:
        return list(tokens.merges)
    pairs = token_table(tokens.plain)[1]
    keys = pairs[np.argsort(pairs[:, 1], kind="stable"), 0].tolist()
    vocab = tokens.vocab
    return [(vocab[key >> 32], vocab[key & 0xFFFFFFFF]) for key in keys]


def write_hf(tokens: Vocabulary) -> dict[str, Any]:
    """Return the content of tokenizer.json for a vocabulary."""
    vocab = {to_visible(token): id for token, id in tokens.plain.items()}
    ids = sorted(tokens.special_tokens.values())
    if ids != list(range(len(vocab), len(tokens.vocab))):
        vocab |= tokens.special_tokens  # else they would be numbered anew
    pairs = [(to_visible(a), to_visible(b)) for a, b in list_merges(tokens)]
    return hf_spec(
        vocab,
        pairs,
        tokens.special_tokens,
        tokens.pattern,
        tokens.ignore_merges,
    )

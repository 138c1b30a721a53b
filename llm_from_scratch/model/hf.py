# Generated from chapters/12_the_whole_model.md by `make export`. Do not edit.
"""Folders of Hugging Face: config.json and safetensors, both directions.

What our decoder cannot compute exactly is refused by name, never loaded.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from llm_from_scratch.core.files import atomic_directory
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.hf_config import config_from_hf, config_to_hf
from llm_from_scratch.model.rope import rope_frequencies
from llm_from_scratch.model.transformer import TransformerLM

__all__ = [
    "SavesHF",
    "from_pretrained",
    "save_pretrained",
]


_CONFIG, _SINGLE = "config.json", "model.safetensors"
_INDEX = "model.safetensors.index.json"
_OURS = (_CONFIG, _INDEX, "tokenizer.json", "generation_config.json")
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


@runtime_checkable
class SavesHF(Protocol):
    """A tokenizer that can write a tokenizer.json."""

    def save_hf(self, path: str | os.PathLike[str]) -> None: ...


def save_pretrained(
    model: nn.Module,
    directory: str | os.PathLike[str],
    *,
    max_shard_size: int = 5_000_000_000,
    tokenizer: SavesHF | None = None,
) -> None:
    """Write a TransformerLM to a folder that `transformers` reads, too.

    Shards hold at most `max_shard_size` bytes of weights, or one tensor. A
    tied head is left out. The folder appears whole or not at all, in place
    of an older one. FileExistsError if that holds anything else.
    """
    if max_shard_size < 1:
        raise ValueError(
            f"max_shard_size must be at least 1 byte, got {max_shard_size}"
        )
    _check_replaceable(Path(directory))
    inner: Any = getattr(model, "_orig_mod", model)  # if it is compiled
    state = inner.state_dict()
    if inner.config.tie_word_embeddings:
        del state[_HEAD]
    shards = _plan_shards(state, max_shard_size)
    spec = config_to_hf(inner.config, state[_EMBEDDING].dtype)
    with atomic_directory(directory) as folder:
        _write_json(folder / _CONFIG, spec)
        if len(shards) > 1:
            _write_json(folder / _INDEX, _index(state, shards))
        for name, keys in shards.items():
            part = {key: state[key].cpu().contiguous() for key in keys}
            save_file(part, folder / name, metadata={"format": "pt"})
        if tokenizer is not None:
            tokenizer.save_hf(folder / "tokenizer.json")


def _check_replaceable(directory: Path) -> None:
    """FileExistsError if replacing the folder would lose a foreign file."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise FileExistsError(f"{directory} is a file, not a folder")
    for path in directory.iterdir():
        name = path.name
        weights = name.startswith("model") and name.endswith(".safetensors")
        if not weights and name not in _OURS:
            raise FileExistsError(
                f"{directory} holds {name}, which saving here would delete: "
                "save to a new folder"
            )


def _plan_shards(
    state: Mapping[str, Tensor], max_shard_size: int
) -> dict[str, list[str]]:
    """File names and their tensors, in order, each file filled greedily."""
    groups: list[list[str]] = [[]]
    room = max_shard_size
    for key, tensor in state.items():
        if groups[-1] and tensor.nbytes > room:
            groups.append([])
            room = max_shard_size
        groups[-1].append(key)
        room -= tensor.nbytes
    if len(groups) == 1:
        return {_SINGLE: groups[0]}
    return {
        f"model-{i:05}-of-{len(groups):05}.safetensors": keys
        for i, keys in enumerate(groups, 1)
    }


def _index(
    state: Mapping[str, Tensor], shards: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Which file holds which tensor."""
    places = {key: name for name, keys in shards.items() for key in keys}
    total = sum(tensor.nbytes for tensor in state.values())
    return {"metadata": {"total_size": total}, "weight_map": places}


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def from_pretrained(
    directory: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> TransformerLM:
    """Load a folder that we or `transformers` saved.

    `dtype` defaults to that of the file. ValueError for an unsupported
    configuration, for missing, extra or misshapen tensors and for broken
    files, before the model is filled; FileNotFoundError for absent files.
    """
    folder = Path(directory)
    config = config_from_hf(_read_json(folder / _CONFIG))
    with torch.device("meta"):  # names and shapes, no memory
        model = TransformerLM(config)
    stored = _open_weights(folder)
    shapes = {key: list(t.shape) for key, t in model.state_dict().items()}
    _check_tensors(folder, stored, shapes, config)
    dtypes = _stored_dtypes(folder, stored)
    if dtype is None and len(dtypes) > 1:
        raise ValueError(
            f"{folder} mixes {', '.join(sorted(map(str, dtypes)))}: pass dtype"
        )
    dtype = dtypes.pop() if dtype is None else dtype
    state: dict[str, Tensor] = {}
    for key in shapes:
        if key == _HEAD and config.tie_word_embeddings:
            state[key] = state[_EMBEDDING]
        else:  # a copy: the file may change, the model must not
            tensor = stored[key].get_tensor(key)
            state[key] = tensor.to(device, dtype, copy=True)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.model.rotary.to_empty(device=device)  # fills its tables
    return model


def _read_json(path: Path) -> dict[str, Any]:
    """An object from a file. OSError if absent, ValueError if no JSON."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def _open_weights(folder: Path) -> dict[str, Any]:
    """For each tensor of the folder the opened file that holds it."""
    index, single = folder / _INDEX, folder / _SINGLE
    if not index.exists():
        return dict.fromkeys((file := _open(single)).keys(), file)
    if single.exists():
        raise ValueError(
            f"{folder} has both {_SINGLE} and {_INDEX}: delete the older"
        )
    planned = _read_json(index).get("weight_map")
    if not isinstance(planned, dict):
        raise ValueError(f"{index} has no weight_map")
    names = sorted(set(planned.values()))
    opened = {name: _open(folder / name) for name in names}
    found = {(key, name) for name in names for key in list(opened[name].keys())}
    if odd := sorted(found ^ set(planned.items())):
        raise ValueError(
            f"{index} and the files disagree about {odd[0][0]} in "
            f"{odd[0][1]}, and {len(odd) - 1} more"
        )
    return {key: opened[name] for key, name in planned.items()}


def _open(path: Path) -> Any:
    """A safetensors file whose header fits its length."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: the folder is incomplete, or its "
            "weights are in another format (only safetensors are read)"
        )
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) is no whole safetensors "
            f"file: {error}; fetch it again"
        ) from error


_FREQUENCIES = "rotary_emb.inv_freq"  # a constant that old files hold
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


def _check_tensors(
    folder: Path,
    stored: Mapping[str, Any],
    shapes: Mapping[str, list[int]],
    config: ModelConfig,
) -> None:
    """ValueError for missing, extra and misshapen tensors, with names."""
    wanted = set(shapes)
    if config.tie_word_embeddings:
        wanted.discard(_HEAD)
    rotary = {key for key in stored if key.endswith(_FREQUENCIES)}
    extra = set(stored) - set(shapes) - rotary
    problems = [f"{key} is missing" for key in sorted(wanted - set(stored))]
    problems += [f"{key} is not part of this model" for key in sorted(extra)]
    for key in shapes:
        if key in stored:
            shape = stored[key].get_slice(key).get_shape()
            if shape != shapes[key]:
                problems.append(f"{key} is {shape}, not {shapes[key]}")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"the weights in {folder} do not fit its config.json: "
            f"{'; '.join(problems[:3])}{more}"
        )
    _check_constants(stored, rotary, config)


def _check_constants(
    stored: Mapping[str, Any], rotary: set[str], config: ModelConfig
) -> None:
    """ValueError if redundant tensors contradict what they repeat."""
    for key in sorted(rotary):
        ours = rope_frequencies(config.head_dim, config.rope_theta)
        theirs = stored[key].get_tensor(key).float()
        if theirs.shape != ours.shape or not torch.allclose(
            theirs, ours, rtol=1e-2, atol=0
        ):
            raise ValueError(
                f"{key} holds other frequencies than rope_theta "
                f"{config.rope_theta} gives: set rope_theta right"
            )
    if config.tie_word_embeddings and _HEAD in stored:
        head = stored[_HEAD].get_tensor(_HEAD)
        if not torch.equal(head, stored[_EMBEDDING].get_tensor(_EMBEDDING)):
            raise ValueError(
                f"{_HEAD} differs from {_EMBEDDING}, but "
                "tie_word_embeddings is true: set it to false"
            )


def _stored_dtypes(folder: Path, stored: Mapping[str, Any]) -> set[torch.dtype]:
    """The dtypes of all weights. ValueError for codes of a quantizer."""
    found = {
        file.get_slice(key).get_dtype()
        for key, file in stored.items()
        if not key.endswith(_FREQUENCIES)
    }
    if odd := sorted(found - _DTYPES.keys()):
        raise ValueError(
            f"{folder} holds weights of type {', '.join(odd)}: only floats "
            f"are supported ({', '.join(_DTYPES)}), no quantized codes"
        )
    return {_DTYPES[name] for name in found}

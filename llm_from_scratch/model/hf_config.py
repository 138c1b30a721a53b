# Generated from chapters/12_the_whole_model.md by `make export`. Do not edit.
"""config.json of Hugging Face, read and written, or refused by name."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from llm_from_scratch.model.config import MODEL_TYPES, ModelConfig

__all__ = [
    "ARCHITECTURES",
    "config_from_hf",
    "config_to_hf",
]


ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
_OWN_DEFAULTS: dict[str, dict[str, Any]] = {  # what an absent key means
    "llama": {
        "max_position_embeddings": 2048,
        "num_key_value_heads": None,
        "head_dim": None,
    },
    "qwen3": {
        "max_position_embeddings": 32768,
        "num_key_value_heads": 32,
        "head_dim": 128,
    },
}
_DEFAULTS = {
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


_MUST_BE: dict[str, tuple[Any, ...]] = {  # the values that change nothing
    "hidden_act": ("silu",),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "attention_dropout": (0, 0.0),
    "use_sliding_window": (False,),
    "rope_interleaved": (False,),
    "partial_rotary_factor": (1, 1.0),
    "quantization_config": (),
    "auto_map": (),
}


def config_from_hf(found: Mapping[str, Any]) -> ModelConfig:
    """Read the contents of a config.json.

    Understands rope_theta of old files and rope_parameters of new ones.
    ValueError, naming key and value, for anything that this decoder would
    compute differently from `transformers`.
    """
    kind = str(found.get("model_type"))
    if kind not in MODEL_TYPES:
        _refuse("model_type", kind, f"only {', '.join(MODEL_TYPES)} are")
    _refuse_unsupported(found, kind)
    missing = [key for key in _SIZES if found.get(key) is None]
    if missing:
        raise ValueError(f"config.json has no {', '.join(missing)}")
    values = {key: found[key] for key in _SIZES}
    for key, default in (_DEFAULTS | _OWN_DEFAULTS[kind]).items():
        values[key] = found.get(key, default)
    if isinstance(values["eos_token_id"], list):
        values["eos_token_id"] = tuple(values["eos_token_id"])
    return ModelConfig(model_type=kind, rope_theta=_rope_theta(found), **values)


def _refuse(key: str, value: Any, but: str) -> None:
    raise ValueError(
        f"config.json says {key} = {json.dumps(value)}, which is not "
        f"supported: {but}"
    )


def _refuse_unsupported(found: Mapping[str, Any], kind: str) -> None:
    """ValueError for the first key that asks for another computation."""
    for key, allowed in _MUST_BE.items():
        value = found.get(key)
        if value is not None and value not in allowed:
            good = " or ".join(json.dumps(v) for v in allowed[:1])
            _refuse(key, value, f"only {good or 'its absence'} is")
    wanted = ARCHITECTURES[kind]
    if wanted not in (found.get("architectures") or [wanted]):
        _refuse("architectures", found["architectures"], f"only {wanted} is")
    for layer in found.get("layer_types") or ():
        if layer != "full_attention":
            _refuse("layer_types", layer, "only full_attention is")
    window = found.get("sliding_window")
    if window is not None and kind == "llama":
        _refuse("sliding_window", window, "only null is")


def _rope_theta(found: Mapping[str, Any]) -> float:
    """The base of RoPE, wherever the file keeps it; 10000 if nowhere."""
    thetas = {"rope_theta": found.get("rope_theta")}
    for key in ("rope_parameters", "rope_scaling"):
        inner = dict(found.get(key) or {})
        for name in ("rope_type", "type"):
            if inner.pop(name, "default") != "default":
                _refuse(key, found[key], "only plain RoPE is")
        thetas[f"{key}.rope_theta"] = inner.pop("rope_theta", None)
        if inner.pop("partial_rotary_factor", 1.0) != 1 or inner:
            _refuse(key, found[key], "only plain RoPE is")
    given = {key: value for key, value in thetas.items() if value is not None}
    if len(set(given.values())) > 1:
        raise ValueError(f"config.json contradicts itself: {given}")
    return float(next(iter(given.values()), 10000.0))


def config_to_hf(config: ModelConfig, dtype: torch.dtype) -> dict[str, Any]:
    """Contents of a config.json for old and new versions of transformers."""
    eos = config.eos_token_id
    values = {
        "architectures": [ARCHITECTURES[config.model_type]],
        "model_type": config.model_type,
        "dtype": str(dtype).removeprefix("torch."),
        **{key: getattr(config, key) for key in _SIZES},
        **{key: getattr(config, key) for key in _DEFAULTS},
        **{key: getattr(config, key) for key in _OWN_DEFAULTS["llama"]},
        "eos_token_id": list(eos) if isinstance(eos, tuple) else eos,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_theta": config.rope_theta,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rope_theta,
        },
    }
    if config.model_type == "llama":
        values["mlp_bias"] = False
    return values

"""config.json: forms old and new, defaults, and refusals by name."""

import dataclasses
import json
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, Qwen3Config

from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.hf_config import config_from_hf, config_to_hf

# As Llama-2-7b-hf has it: RoPE's base is at top level, or not at all.
LLAMA_2 = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "eos_token_id": [151645, 151643],
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "layer_types": ["full_attention"] * 28,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"},
    "sliding_window": 4096,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def test_an_old_llama_file_is_read():
    config = config_from_hf(LLAMA_2)
    assert (config.head_dim, config.rope_theta) == (128, 10000.0)
    assert config.rms_norm_eps == 1e-5
    assert config.eos_token_id == 2


def test_a_new_qwen3_file_is_read():
    config = config_from_hf(QWEN3)
    assert config.qk_norm
    assert config.rope_theta == 1e6
    assert config.num_attention_heads * config.head_dim == 2048
    assert config.eos_token_id == (151645, 151643)


def test_notes_in_a_file_change_nothing():
    notes = {
        "is_llama_config": True,
        "rope_interleaved": False,
        "rope_theta": 100000,
        "transformers.js_config": {"dtype": "q4"},
        "_name_or_path": "somewhere",
    }
    config = config_from_hf(LLAMA_2 | notes)
    assert config == dataclasses.replace(
        config_from_hf(LLAMA_2), rope_theta=1e5
    )


@pytest.mark.parametrize(
    "where",
    [
        {"rope_theta": 5e5},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_theta": 500000, "rope_parameters": {"rope_theta": 5e5}},
        {"rope_theta": 5e5, "rope_scaling": {"type": "default"}},
        {"rope_theta": 5e5, "rope_scaling": {}},
    ],
    ids=str,
)
def test_the_base_is_found_in_every_place(where):
    assert config_from_hf(LLAMA_2 | where).rope_theta == 5e5
    assert LlamaConfig(**(LLAMA_2 | where)).rope_parameters["rope_theta"] == 5e5


@pytest.mark.parametrize(
    ("found", "cls"), [(LLAMA_2, LlamaConfig), (QWEN3, Qwen3Config)]
)
@pytest.mark.parametrize(
    "absent",
    [
        "num_key_value_heads",
        "head_dim",
        "rms_norm_eps",
        "tie_word_embeddings",
        "max_position_embeddings",
    ],
)
def test_an_absent_key_means_what_it_means_to_them(found, cls, absent):
    found = {key: value for key, value in found.items() if key != absent}
    theirs = cls(**found)
    if theirs.num_attention_heads % theirs.num_key_value_heads:
        with pytest.raises(ValueError, match="is not divisible"):
            config_from_hf(found)  # their default fits no such model
        return
    ours = config_from_hf(found)
    assert getattr(ours, absent) == getattr(theirs, absent)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_what_we_write_means_the_same_to_both(kind):
    config = ModelConfig(
        vocab_size=100,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=24,
        rope_theta=5e5,
        tie_word_embeddings=True,
        model_type=kind,
        bos_token_id=5 if kind == "qwen3" else None,
        eos_token_id=(7, 8),
        pad_token_id=9,
    )
    raw = config_to_hf(config, torch.bfloat16)
    assert raw["eos_token_id"] == [7, 8]
    assert raw["rope_theta"] == 5e5  # for programs before rope_parameters
    written = json.loads(json.dumps(raw))
    assert config_from_hf(written) == config
    cls = {"llama": LlamaConfig, "qwen3": Qwen3Config}[kind]
    theirs = cls(**written)
    assert config_from_hf(theirs.to_dict()) == config
    assert theirs.rope_parameters["rope_theta"] == 5e5
    assert theirs.dtype == torch.bfloat16
    assert theirs.bos_token_id == config.bos_token_id
    assert theirs.pad_token_id == 9


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "gpt2"),
        ("model_type", "mistral"),
        ("model_type", None),
        ("hidden_act", "gelu"),
        ("hidden_act", ""),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("attention_dropout", 0.1),
        ("rope_scaling", {"type": "linear", "factor": 2.0}),
        ("rope_scaling", {"rope_type": "llama3", "factor": 8.0}),
        ("rope_scaling", {"factor": 8.0}),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}),
        ("rope_parameters", {"partial_rotary_factor": 0.5}),
        ("rope_parameters", {"mrope_section": [1, 2]}),
        ("partial_rotary_factor", 0.5),
        ("rope_interleaved", True),
        ("sliding_window", 1024),
        ("use_sliding_window", True),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("quantization_config", {"quant_method": "fp8"}),
        ("auto_map", {"AutoModel": "modeling_x.X"}),
        ("architectures", ["LlamaForSequenceClassification"]),
    ],
)
def test_what_we_cannot_compute_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=f"config.json says {key} = ") as error:
        config_from_hf(LLAMA_2 | {key: value})
    assert "not supported" in str(error.value)


def test_contradictory_bases_are_refused():
    both = {"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}
    with pytest.raises(ValueError, match=r"contradicts itself: .*1.*500000"):
        config_from_hf(LLAMA_2 | both)


def test_missing_sizes_are_named():
    found: dict[str, Any] = {"model_type": "llama", "vocab_size": 5}
    with pytest.raises(ValueError, match="has no hidden_size, intermediate"):
        config_from_hf(found)


def test_head_counts_of_a_file_are_checked():
    with pytest.raises(ValueError, match=r"32 is not divisible by .* 5"):
        config_from_hf(LLAMA_2 | {"num_key_value_heads": 5})

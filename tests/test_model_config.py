"""ModelConfig: what None means, what it refuses, and that it stays put."""

import dataclasses
from typing import Any

import jaxtyping
import pytest

from llm_from_scratch.model.config import ModelConfig


def config(**changes: Any) -> ModelConfig:
    sizes = {
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return ModelConfig(**(sizes | changes))


def test_none_means_one_key_head_for_each_head():
    assert config().num_key_value_heads == 4
    assert config(num_key_value_heads=None).num_key_value_heads == 4
    assert config(num_key_value_heads=2).num_key_value_heads == 2


def test_none_means_the_width_is_shared_out():
    assert config().head_dim == 8
    assert config(head_dim=None).head_dim == 8
    assert config(head_dim=24).head_dim == 24


def test_a_given_head_dim_frees_the_width_of_the_heads():
    assert config(hidden_size=30, head_dim=8).hidden_size == 30


def test_replace_keeps_what_was_filled_in():
    wider = dataclasses.replace(config(), hidden_size=64)
    assert (wider.head_dim, wider.num_key_value_heads) == (8, 4)


def test_names_are_those_of_llama_config():
    from transformers import LlamaConfig

    ours = {field.name for field in dataclasses.fields(ModelConfig)}
    assert ours - set(LlamaConfig().to_dict()) == {"rope_theta"}


def test_defaults_are_those_of_llama_config():
    from transformers import LlamaConfig

    theirs = LlamaConfig()
    for name in (
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
        "model_type",
    ):
        assert getattr(config(), name) == getattr(theirs, name), name
    assert config().rope_theta == theirs.rope_parameters["rope_theta"]


def test_numbers_are_given_by_name():
    with pytest.raises(TypeError):
        ModelConfig(100, 32, 48, 2, 4)  # type: ignore[misc]


def test_the_smallest_head_is_a_pair():
    assert config(head_dim=2).head_dim == 2


def test_it_is_frozen_and_compares_by_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().vocab_size = 5  # type: ignore[misc]
    assert config() == config(head_dim=8)
    assert len({config(), config(), config(vocab_size=7)}) == 2


def test_only_qwen3_normalizes_queries_and_keys():
    assert config(model_type="qwen3").qk_norm
    assert not config(model_type="llama").qk_norm


@pytest.mark.parametrize(
    "name",
    [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2.0, "4", True])
def test_sizes_must_be_positive_ints(name, value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    message = f"{name} must be an int of at least 1, got {value!r}"
    with pytest.raises(ValueError, match=message):
        config(**{name: value})


@pytest.mark.parametrize("name", ["rope_theta", "rms_norm_eps"])
@pytest.mark.parametrize(
    "value", [0.0, -1.0, float("inf"), float("nan"), True, "1", None]
)
def test_scales_must_be_positive_numbers(name, value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"{name} must be a positive number"):
        config(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_key_value_heads": 3},
            "num_attention_heads 4 is not divisible by num_key_value_heads 3",
        ),
        (
            {"num_key_value_heads": 8},
            "num_attention_heads 4 is not divisible by num_key_value_heads 8",
        ),
        (
            {"hidden_size": 33},
            "hidden_size 33 is not divisible by num_attention_heads 4",
        ),
        ({"head_dim": 7}, "head_dim must be even, .* got 7"),
        ({"hidden_size": 36}, "head_dim must be even, .* got 9"),
        ({"model_type": "gpt2"}, "one of llama, qwen3, got 'gpt2'"),
    ],
)
def test_what_no_model_can_have_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)

"""transformers as a reference: models of many shapes with random weights."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from transformers.utils import logging

from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM

logging.disable_progress_bar()

_BASE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "model_type": "llama",
}


@dataclass(frozen=True)
class Case:
    """A configuration, named by what is special about it."""

    name: str
    config: ModelConfig

    def __str__(self) -> str:
        return self.name


def case(name: str, **special: Any) -> Case:
    return Case(name, ModelConfig(**(_BASE | special)))


CASES = [
    case("mha"),
    case("gqa", num_key_value_heads=2),
    case("mqa", num_key_value_heads=1),
    case("tied", num_key_value_heads=2, tie_word_embeddings=True),
    case("head_dim 24", head_dim=24, num_key_value_heads=2),
    case("head_dim 2", head_dim=2),
    case("theta and eps", rope_theta=500000.0, rms_norm_eps=1e-3),
    case(
        "one of each",
        hidden_size=10,
        head_dim=10,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_hidden_layers=1,
    ),
    case("qwen3", model_type="qwen3", num_key_value_heads=2),
    case("qwen3 tied", model_type="qwen3", tie_word_embeddings=True),
    case(
        "qwen3 head_dim 24",
        model_type="qwen3",
        hidden_size=36,
        head_dim=24,
        num_key_value_heads=1,
        rope_theta=1e6,
    ),
]
GQA = CASES[1]
QWEN = next(each for each in CASES if each.name == "qwen3")
# Prompts of different lengths.
TEXTS = [[5, 6, 7, 8], [9], [11, 12, 13, 14, 15, 16, 17], [3, 3]]


def their_model(case: Case, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A model of theirs whose weights, norms too, are random and not tiny."""
    values = asdict(case.config)
    kind, theta = values.pop("model_type"), values.pop("rope_theta")
    values["rope_parameters"] = {"rope_type": "default", "rope_theta": theta}
    generator = torch.Generator().manual_seed(0)
    if kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**values))
    else:
        model = LlamaForCausalLM(LlamaConfig(**values))
    for p in model.parameters():
        noise = torch.randn(p.shape, generator=generator)
        p.data = 1 + 0.3 * noise if p.dim() == 1 else 0.2 * noise
    return model.to(dtype)


def our_copy(theirs: nn.Module, case: Case) -> TransformerLM:
    """Our model with their weights, by nothing but equal names."""
    dtype = next(theirs.parameters()).dtype
    ours = TransformerLM(case.config).to(dtype)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours


def ids_for(
    config: ModelConfig, batch_size: int, length: int, seed: int = 0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = batch_size, length
    return torch.randint(config.vocab_size, shape, generator=generator)


@contextlib.contextmanager
def wide_norms() -> Iterator[None]:
    """Let their norms compute in float64, which they do in float32.

    With it, float64 shows differences down to its own rounding.
    """

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        scale = x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon
        return self.weight * (x * torch.rsqrt(scale))

    with (
        mock.patch.object(LlamaRMSNorm, "forward", forward),
        mock.patch.object(Qwen3RMSNorm, "forward", forward),
    ):
        yield

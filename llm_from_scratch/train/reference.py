# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""The loss of a decoder by its formulas, in float64, apart from the model.

Reads a state dict in Hugging Face's names. B batch, T places.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llm_from_scratch.model.config import ModelConfig

__all__ = [
    "plain_nats",
]


def plain_nats(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    ids: Int[Tensor, "B T"],
    owner: Int[Tensor, "B T"] | None = None,
) -> Float[Tensor, "B T V"]:
    """-ln p of each entry of the vocabulary at each place of ids (B, T).

    `owner` numbers the documents of a row: no place reads another's.
    """
    w = {name: tensor.double() for name, tensor in weights.items()}
    t = torch.arange(ids.shape[1], device=ids.device)
    may = (t[:, None] >= t).expand(len(ids), -1, -1)  # (B, T, T)
    if owner is not None:
        may = may & (owner[:, :, None] == owner[:, None])
    x = w["model.embed_tokens.weight"][ids]
    for layer in range(config.num_hidden_layers):
        here = f"model.layers.{layer}."
        part = {k.removeprefix(here): v for k, v in w.items() if here in k}
        h = _norm(x, part["input_layernorm.weight"], config)
        x = x + _attention(h, part, config, may)
        h = _norm(x, part["post_attention_layernorm.weight"], config)
        gate = h @ part["mlp.gate_proj.weight"].T
        up = h @ part["mlp.up_proj.weight"].T
        x = x + (gate * gate.sigmoid() * up) @ part["mlp.down_proj.weight"].T
    x = _norm(x, w["model.norm.weight"], config)
    tied = config.tie_word_embeddings
    head = w["model.embed_tokens.weight" if tied else "lm_head.weight"]
    logits = x @ head.T
    return logits.logsumexp(-1, keepdim=True) - logits


def _norm(x: Tensor, weight: Tensor, config: ModelConfig) -> Tensor:
    size = x.square().mean(-1, keepdim=True) + config.rms_norm_eps
    return weight * x / size.sqrt()


def _turn(x: Tensor, config: ModelConfig) -> Tensor:
    """Pairs (j, j + D/2) as complex numbers, turned by their places."""
    half = config.head_dim // 2
    steps = torch.arange(half, device=x.device).double() / half
    places = torch.arange(x.shape[1], device=x.device).double()
    angles = places[:, None] * config.rope_theta**-steps
    a, b = x.split(half, dim=-1)
    return torch.complex(a, b) * torch.polar(torch.ones_like(angles), angles)


def _attention(
    h: Tensor,
    part: Mapping[str, Tensor],
    config: ModelConfig,
    may: Bool[Tensor, "B T T"],
) -> Tensor:
    """Attention, a head at a time."""
    d, heads = config.head_dim, config.num_attention_heads
    shared, out = heads // config.num_key_value_heads, []
    q, k, v = (
        (h @ part[f"self_attn.{name}_proj.weight"].T).split(d, dim=-1)
        for name in "qkv"
    )
    for head in range(heads):
        query, key = q[head], k[head // shared]
        if config.qk_norm:
            query = _norm(query, part["self_attn.q_norm.weight"], config)
            key = _norm(key, part["self_attn.k_norm.weight"], config)
        scores = (_turn(query, config) @ _turn(key, config).mH).real / d**0.5
        share = scores.masked_fill(~may, -torch.inf).softmax(-1)
        out.append(share @ v[head // shared])
    return torch.cat(out, -1) @ part["self_attn.o_proj.weight"].T

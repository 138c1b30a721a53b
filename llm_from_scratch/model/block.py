# Generated from chapters/11_the_block.md by `make export`. Do not edit.
"""One layer of the Transformer: attention and SwiGLU on a residual stream.

Axes: B batch, T tokens, C width, D head width.
"""

from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor, nn

from llm_from_scratch.model.attention import Attention, Cache
from llm_from_scratch.model.layers import RMSNorm, SwiGLU

__all__ = [
    "TransformerBlock",
]


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then that + mlp(norm(that)).

    (B, T, C) in, (B, T, C) out. `rotation` is RoPE's (cos, sin) of the
    tokens' places, `mask` and `cache` go to the attention as they are.
    `qk_norm` puts an RMSNorm on the queries and keys of each head.
    Sources: xiong2020layer, touvron2023llama.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        *,
        rms_norm_eps: float = 1e-6,
        qk_norm: bool = False,
        layer_index: int = 0,
    ) -> None:
        super().__init__()
        norm = partial(RMSNorm, eps=rms_norm_eps)
        self.input_layernorm = norm(hidden_size)
        self.self_attn = Attention(
            hidden_size,
            num_heads,
            num_kv_heads,
            head_dim,
            qk_norm=norm if qk_norm else None,
            layer_index=layer_index,
        )
        self.post_attention_layernorm = norm(hidden_size)
        self.mlp = SwiGLU(hidden_size, intermediate_size)

    def forward(
        self,
        x: Float[Tensor, "B T C"],
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T C"]:
        h = self.input_layernorm(x)
        x = x + self.self_attn(h, rotation, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))

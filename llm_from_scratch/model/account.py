# Generated from chapters/12_the_whole_model.md by `make export`. Do not edit.
"""What a decoder costs, from its configuration alone; and how to measure it.

B texts of T tokens; C width, H heads of width D, G of them with keys, M
hidden width, V vocabulary, L layers, as in the notation of the book.
"""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from llm_from_scratch.model.config import ModelConfig

__all__ = [
    "Memory",
    "Parts",
    "PeakMemory",
    "activation_bytes",
    "cache_bytes",
    "count_flops",
    "forward_flops",
    "parameter_count",
    "saved_bytes",
    "training_flops",
    "training_memory",
]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A quantity of the whole model, by the part that causes it.

    `projections` are the four matrices of attention, `scores` what attention
    does with T x T numbers; `norms` includes the residual stream between.
    """

    embedding: int = 0
    projections: int = 0
    scores: int = 0
    mlp: int = 0
    norms: int = 0
    head: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(asdict(self).values())

    @property
    def body(self) -> int:
        """All but the two ends, which depend on the vocabulary."""
        return self.total - self.embedding - self.head


def parameter_count(config: ModelConfig) -> Parts:
    """Number of weights; a tied head has none of its own.

    L (2C(H + G)D + 3CM + 2C) + C + VC, and VC again for an untied head;
    Qwen3 adds 2D for each layer.
    """
    c, layers = config, config.num_hidden_layers
    heads = c.num_attention_heads + c.num_key_value_heads
    norms = 2 * c.hidden_size + (2 * c.head_dim if c.qk_norm else 0)
    table = c.vocab_size * c.hidden_size
    return Parts(
        embedding=table,
        projections=layers * 2 * c.hidden_size * heads * c.head_dim,
        mlp=layers * 3 * c.hidden_size * c.intermediate_size,
        norms=layers * norms + c.hidden_size,
        head=0 if c.tie_word_embeddings else table,
    )


def forward_flops(
    config: ModelConfig, batch_size: int, length: int, past: int = 0
) -> Parts:
    """Floating-point operations of the matrix products of a forward pass.

    Two for each weight of a matrix and token; 4HD for each pair of a query
    and a key, masked pairs included, as kernels and profilers count.
    `length` new tokens see `past` cached ones. Norms, RoPE, softmax and the
    look-up of embeddings are not counted. Source: kaplan2020scaling.
    """
    weights = parameter_count(config)
    tokens, keys = batch_size * length, past + length
    width = config.num_attention_heads * config.head_dim
    return Parts(
        projections=2 * tokens * weights.projections,
        scores=4 * tokens * keys * width * config.num_hidden_layers,
        mlp=2 * tokens * weights.mlp,
        head=2 * tokens * config.vocab_size * config.hidden_size,
    )


def training_flops(
    config: ModelConfig, batch_size: int, length: int, *, fused: bool = True
) -> int:
    """Forward and backward pass together: three times the forward pass.

    Each product y = x W has two in its backward pass, for the gradients of
    x and of W. A fused attention kernel computes its scores once more:
    `fused` adds half a forward pass of them. Source: dao2022flashattention.
    """
    forward = forward_flops(config, batch_size, length)
    return 3 * forward.total + (forward.scores // 2 if fused else 0)


_ATEN = torch.ops.aten
_CPU_ATTENTION = _ATEN._scaled_dot_product_flash_attention_for_cpu
_CPU_ATTENTION_BACKWARD = (
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward
)


def count_flops(function: Callable[[], Any]) -> int:
    """Run `function`; count the operations of all matrix products in it.

    PyTorch's counter, taught the fused attention of CPUs, which it does not
    know: 2 products forward, 5 backward. Scalar loops are not counted.
    """

    def products(number: int) -> Callable[..., int]:
        def flops(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
            batch, heads, queries, width = q
            return number * 2 * batch * heads * queries * k[-2] * width

        return flops

    def backward(grad: Any, *tensors: Any, **named: Any) -> int:
        return products(5)(*tensors, **named)

    known: Mapping[Any, Any] = {
        _CPU_ATTENTION: products(2),
        _CPU_ATTENTION_BACKWARD: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=dict(known)) as counter:
        function()
    return counter.get_total_flops()


def saved_bytes(model: nn.Module, function: Callable[[], Any]) -> int:
    """Run `function`; add up what autograd keeps, without the weights.

    Each storage counts once, however many operations look at it.
    """
    known = {_address(t) for t in model.parameters()}
    kept: list[Tensor] = []  # alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function()  # the graph must live while we count
    sizes = {_address(t): t.untyped_storage().nbytes() for t in kept}
    del result
    return sum(size for at, size in sizes.items() if at not in known)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _is(value: Any) -> bool:
    return isinstance(value, Tensor)


def activation_bytes(
    config: ModelConfig, batch_size: int, length: int, *, fused: bool = True
) -> Parts:
    """Bytes that a float32 forward pass keeps for its backward pass.

    What our layers save, with the cross-entropy. A fused attention kernel
    keeps its output and one number for each query; otherwise the T x T
    weights of each head are kept, and a mask. Source: korthikanti2023reducing.
    """
    c, tokens = config, batch_size * length
    heads, groups = c.num_attention_heads, c.num_key_value_heads
    q, k = heads * c.head_dim, groups * c.head_dim
    # A norm keeps its input, the normalized vector, its scale, its output.
    norm = 3 * c.hidden_size + 1
    qk_norm = (2 * (q + k) + heads + groups) if c.qk_norm else 0
    each = 4 * tokens * c.num_hidden_layers
    mask = c.num_hidden_layers * length**2  # one byte for each pair
    return Parts(
        embedding=8 * tokens + 4 * length * c.head_dim,  # ids, RoPE's tables
        projections=each * 2 * (q + k),
        scores=each * (q + heads) if fused else each * heads * length + mask,
        mlp=each * 4 * c.intermediate_size,
        norms=each * (2 * norm + qk_norm) + 4 * tokens * norm,
        head=4 * tokens * c.vocab_size + 8 * tokens + 4,
    )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of training in float32 with AdamW, by what holds them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them, as they stand between forward and backward pass."""
        return sum(asdict(self).values())


def training_memory(
    config: ModelConfig, batch_size: int, length: int
) -> Memory:
    """Weights, gradients, AdamW's two moments, and what is kept between.

    4, 4 and 8 bytes for each parameter.
    """
    count = parameter_count(config).total
    return Memory(
        weights=4 * count,
        gradients=4 * count,
        optimizer=8 * count,
        activations=activation_bytes(config, batch_size, length).total,
    )


def cache_bytes(
    config: ModelConfig, batch_size: int, length: int, bytes_each: int = 4
) -> int:
    """Bytes of the keys and values of `length` tokens: 2 L G D for each."""
    width = config.num_key_value_heads * config.head_dim
    each = 2 * config.num_hidden_layers * width * bytes_each
    return batch_size * length * each


class PeakMemory(TorchDispatchMode):
    """Bytes of tensors made inside a `with` block: now, and at the most.

    Sees every result of every operation, forward and backward, and sees it
    go. Memory that kernels take and give back within themselves is missing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_address(t) for t in tree_leaves((args, kwargs)) if _is(t)}
        for tensor in tree_leaves(result):
            if _is(tensor) and _address(tensor) not in given:
                self._watch(tensor.untyped_storage())
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size

# Generated from chapters/12_the_whole_model.md by `make export`. Do not edit.
"""What makes one decoder differ from another, by the names of HF files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

__all__ = [
    "MODEL_TYPES",
    "ModelConfig",
]


MODEL_TYPES = ("llama", "qwen3")
if TYPE_CHECKING:
    _Filled = int  # what a reader of the configuration finds
else:
    _Filled = int | None  # what its maker may give
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture of a decoder, in the names of LlamaConfig.

    `model_type` is "llama", or "qwen3" for an RMSNorm on the queries and
    keys of each head. Absent `num_key_value_heads` means one for each
    head, absent `head_dim` means hidden_size / num_attention_heads.
    ValueError for what no model can have; it names value and fix.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: _Filled = None  # type: ignore[assignment]
    head_dim: _Filled = None  # type: ignore[assignment]
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    model_type: str = "llama"
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        _fill_in(self)
        for name in _SIZES:
            _check_size(name, getattr(self, name))
        for name in ("rope_theta", "rms_norm_eps"):
            _check_positive(name, getattr(self, name))
        _check_heads(self)
        if self.model_type not in MODEL_TYPES:
            raise ValueError(
                f"model_type must be one of {', '.join(MODEL_TYPES)}, got "
                f"{self.model_type!r}"
            )

    @property
    def qk_norm(self) -> bool:
        """Whether queries and keys are normalized before they turn."""
        return self.model_type == "qwen3"


def _fill_in(config: ModelConfig) -> None:
    """Replace None by what it means; a frozen instance needs a detour."""
    heads, width = config.num_attention_heads, config.hidden_size
    _check_size("num_attention_heads", heads)
    _check_size("hidden_size", width)
    if config.num_key_value_heads is None:
        object.__setattr__(config, "num_key_value_heads", heads)
    if config.head_dim is None:
        if width % heads:
            raise ValueError(
                f"hidden_size {width} is not divisible by "
                f"num_attention_heads {heads}: change one, or give head_dim"
            )
        object.__setattr__(config, "head_dim", width // heads)


def _check_heads(config: ModelConfig) -> None:
    """Heads share keys evenly, and their width is made of pairs."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    if heads % groups:
        raise ValueError(
            f"num_attention_heads {heads} is not divisible by "
            f"num_key_value_heads {groups}: each key head must serve the "
            "same number of query heads"
        )
    if config.head_dim % 2:
        raise ValueError(
            "head_dim must be even, since RoPE turns pairs, got "
            f"{config.head_dim}"
        )


def _check_size(name: str, value: Any) -> None:
    """A whole number of at least one; True is no number here."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {value!r}")


def _check_positive(name: str, value: Any) -> None:
    """A finite number above zero."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a positive number, got {value!r}")

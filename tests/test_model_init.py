"""The initial weights have the scales that were promised."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from llm_from_scratch.model.block import TransformerBlock
from llm_from_scratch.model.embedding import Embedding, Linear
from llm_from_scratch.model.init import init_weights
from llm_from_scratch.model.layers import RMSNorm, SwiGLU


class Tiny(nn.Module):
    """Embedding, blocks, head: the parts that init_weights must know."""

    def __init__(self, width=96, layers=2, tied=False, vocab=300) -> None:
        super().__init__()
        self.embed_tokens = Embedding(vocab, width)
        self.layers = nn.ModuleList(
            TransformerBlock(width, 2 * width, 4, qk_norm=True)
            for _ in range(layers)
        )
        self.norm = RMSNorm(width)
        self.lm_head = Linear(width, vocab)
        if tied:
            self.lm_head.weight = self.embed_tokens.weight


def fresh(seed=0, num_layers=2, model=None, **options) -> Tiny:
    model = model or Tiny()
    generator = torch.Generator().manual_seed(seed)
    init_weights(model, num_layers, generator=generator, **options)
    return model


def near(weight, std):  # std of n numbers is known to about 1 / sqrt(2 n)
    expected = 0.9867 * std  # a normal cut at three std
    assert weight.std().item() == pytest.approx(expected, rel=0.03)
    assert abs(weight.mean().item()) < 0.05 * std


# ---- by hand, and against the promised scales


def test_matrices_have_the_scale_of_their_fan_in():
    model = fresh()
    for layer in model.layers:
        for part in (layer.self_attn.q_proj, layer.mlp.gate_proj):
            near(part.weight, 96**-0.5)
        near(layer.mlp.up_proj.weight, 96**-0.5)


@pytest.mark.parametrize("num_layers", [1, 2, 32])
def test_residual_outputs_shrink_with_depth(num_layers):
    model = fresh(num_layers=num_layers)
    shrink = (2 * num_layers) ** -0.5
    near(model.layers[0].self_attn.o_proj.weight, shrink * 96**-0.5)
    near(model.layers[1].mlp.down_proj.weight, shrink * 192**-0.5)


def test_an_embedding_has_the_scale_of_its_use():
    assert fresh().embed_tokens.weight.std().item() == pytest.approx(1, 0.02)
    tied = fresh(model=Tiny(tied=True))
    assert tied.lm_head.weight.std().item() == pytest.approx(96**-0.5, 0.02)


def test_embeddings_are_as_wide_as_asked():
    model = fresh(embedding_std=0.5)
    assert model.embed_tokens.weight.std().item() == pytest.approx(0.5, 0.02)


def test_norms_are_ones_and_biases_zero():
    model = nn.Sequential(Linear(4, 8, bias=True), RMSNorm(8))
    nn.init.constant_(model[0].bias, 7.0)
    nn.init.constant_(model[1].weight, 7.0)
    init_weights(model, 1)
    assert_close(model[0].bias, torch.zeros(8))
    assert_close(model[1].weight, torch.ones(8))


def test_a_lone_layer_is_drawn_too():
    part = Linear(4, 1000)
    nn.init.zeros_(part.weight)
    init_weights(part, 1)
    near(part.weight, 0.5)


# ---- properties


def test_every_weight_is_drawn():
    model = Tiny()
    for p in model.parameters():
        nn.init.constant_(p, float("nan"))
    init_weights(model, 2)
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = fresh(seed=5, model=Tiny().requires_grad_(False))
    torch.set_rng_state(state)
    second = fresh(seed=5).state_dict()
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second[name])
    other = fresh(seed=6).state_dict()["layers.0.mlp.up_proj.weight"]
    assert not torch.equal(other, second["layers.0.mlp.up_proj.weight"])


def test_a_generator_leaves_the_global_one_alone():
    model = Tiny()
    before = torch.get_rng_state()
    fresh(model=model)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_weight_is_beyond_three_deviations():
    weight = fresh().layers[0].mlp.gate_proj.weight
    assert 2.9 * 96**-0.5 < weight.abs().max() <= 3 * 96**-0.5


def test_tied_weights_are_drawn_once_and_as_an_embedding():
    model = fresh(model=Tiny(tied=True), embedding_std=0.3)
    assert model.lm_head.weight is model.embed_tokens.weight
    assert model.lm_head.weight.std().item() == pytest.approx(0.3, 0.02)
    # an order of modules in which the head comes first changes nothing
    swapped = nn.ModuleDict({"lm_head": Linear(96, 300)})
    swapped["embed_tokens"] = Embedding(300, 96)
    swapped["lm_head"].weight = swapped["embed_tokens"].weight
    fresh(model=swapped, embedding_std=0.3)
    assert swapped["lm_head"].weight.std().item() == pytest.approx(0.3, 0.02)


@pytest.mark.parametrize("width", [64, 256])
def test_a_feed_forward_layer_keeps_one_size_at_every_width(width):
    ffn, x = SwiGLU(width), torch.randn(400, width)
    init_weights(ffn, 1)  # its output is divided by sqrt(2)
    size = ffn(x).square().mean().sqrt().item() * 2**0.5
    assert 0.5 < size < 0.7


@pytest.mark.parametrize("depth", [2, 24])
def test_the_stream_stays_within_bounds_at_every_depth(depth):
    width = 64
    blocks = nn.Sequential(
        *(TransformerBlock(width, 176, 4) for _ in range(depth))
    )
    generator = torch.Generator().manual_seed(0)
    init_weights(blocks, depth, generator=generator)
    x = torch.randn(2, 16, width, generator=generator)
    with torch.no_grad():
        growth = blocks(x).square().mean() / x.square().mean()
    assert 1 < growth < 1.6


# ---- edges and errors


def test_dtype_and_identity_of_parameters_stay():
    model = Tiny().bfloat16()
    before = [id(p) for p in model.parameters()]
    fresh(model=model)
    assert [id(p) for p in model.parameters()] == before
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("num_layers", [0, -3])
def test_errors_name_the_value(num_layers):
    with pytest.raises(ValueError, match=f"num_layers .* got {num_layers}"):
        init_weights(Tiny(), num_layers)

"""The whole decoder against transformers, its own claims, and bad input."""

import copy
import dataclasses
import math
from typing import Any

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from llm_from_scratch.model.attention import Cache, document_mask
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM, check_weights
from tests.model_reference import (
    CASES,
    GQA,
    ids_for,
    our_copy,
    their_model,
    wide_norms,
)

SMALL = ModelConfig(
    vocab_size=50,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=16,
)


def small(seed: int = 0, **changes: Any) -> TransformerLM:
    generator = torch.Generator().manual_seed(seed)
    return TransformerLM(
        dataclasses.replace(SMALL, **changes), generator=generator
    )


def test_one_layer_by_hand():
    model = small(num_hidden_layers=1).double()
    ids = ids_for(SMALL, 1, 6)
    x = model.model.embed_tokens.weight[ids[0]]
    rotation = model.model.rotary.tables(torch.arange(6), x.dtype)
    layer = model.model.layers[0]
    x = x + layer.self_attn(layer.input_layernorm(x[None]), rotation)[0]
    x = x + layer.mlp(layer.post_attention_layernorm(x))
    x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert_close(model(ids)[0], x @ model.lm_head.weight.T)


# ---- against transformers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float64_logits_and_gradients_equal_theirs(case):
    with wide_norms():
        theirs = their_model(case, torch.float64)
        ours = our_copy(theirs, case)
        ids = ids_for(case.config, 2, 13)
        a, b = theirs(ids).logits, ours(ids)
        assert_close(b, a, rtol=1e-10, atol=1e-12)
        weight = torch.randn_like(a)
        (a * weight).sum().backward()
        (b * weight).sum().backward()
    q = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        assert_close(p.grad, q[name].grad, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_logits_and_gradients_equal_theirs(case):
    theirs = their_model(case)
    ours = our_copy(theirs, case)
    ids = ids_for(case.config, 2, 13)
    a, b = theirs(ids).logits, ours(ids)
    assert_close(b, a, rtol=1e-4, atol=1e-5)
    for logits in (a, b):
        F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    q = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        assert_close(p.grad, q[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bf16_differs_less_than_bf16_itself_errs(case):
    wide = their_model(case)
    half = their_model(case, torch.bfloat16)
    ours = our_copy(half, case)
    ids = ids_for(case.config, 4, 13)
    with torch.no_grad():
        exact, a, b = wide(ids).logits, half(ids).logits.float(), ours(ids)
    assert b.dtype == torch.bfloat16
    error = (a - exact).square().mean().sqrt()  # what rounding costs them
    assert (b.float() - exact).square().mean().sqrt() < 1.25 * error
    assert (b.float() - a).square().mean().sqrt() < 1.5 * error


def test_names_and_shapes_of_the_state_dict_are_theirs():
    for case in CASES:
        theirs = their_model(case)
        ours = TransformerLM(case.config)
        a = {name: t.shape for name, t in ours.state_dict().items()}
        assert a == {n: t.shape for n, t in theirs.state_dict().items()}


def test_eager_attention_of_theirs_agrees_too():
    case = GQA
    theirs = their_model(case)
    theirs.set_attn_implementation("eager")
    ours = our_copy(theirs, case)
    ids = ids_for(case.config, 2, 13)
    assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)


def test_left_padded_batch_equals_theirs():
    case = GQA
    theirs = their_model(case)
    ours = our_copy(theirs, case)
    ids = ids_for(case.config, 2, 9)
    real = torch.ones(2, 9, dtype=torch.bool)
    real[1, :4] = False
    positions = (real.cumsum(1) - 1).clamp(min=0)
    causal = torch.ones(9, 9, dtype=torch.bool).tril()
    mask = causal & real[:, None, None, :]
    a = theirs(ids, attention_mask=real.long(), position_ids=positions).logits
    b = ours(ids, positions=positions, mask=mask)
    assert_close(b[real], a[real], rtol=1e-4, atol=1e-5)


# ---- properties


def test_a_token_sees_only_the_past():
    model, ids = small().double(), ids_for(SMALL, 1, 8)
    hidden = model.model.embed_tokens(ids).detach().requires_grad_()
    model.model.embed_tokens.forward = lambda _: hidden
    model(ids)[0, 3].sum().backward()
    moved = hidden.grad[0].abs().sum(-1) > 0
    assert moved.tolist() == [True] * 4 + [False] * 4


def test_documents_in_one_row_do_not_meet():
    model = small().double()
    first, second = ids_for(SMALL, 1, 5), ids_for(SMALL, 1, 3)
    row = torch.cat([first, second], 1)
    documents = torch.tensor([[0] * 5 + [1] * 3])
    packed = model(row, mask=document_mask(documents))
    assert_close(packed[:, :5], model(first))
    assert_close(packed[:, 5:], model(second))  # RoPE: only shifts count


def test_positions_may_be_shifted_together():
    model, ids = small().double(), ids_for(SMALL, 2, 6)
    assert_close(model(ids, positions=torch.arange(6) + 9), model(ids))


def test_logits_are_the_head_of_the_hidden_states():
    model, ids = small(), ids_for(SMALL, 2, 6)
    hidden = model.hidden_states(ids)
    assert hidden.shape == (2, 6, 32)
    assert torch.equal(model.lm_head(hidden), model(ids))


class Remember:
    """The simplest cache: a list for each layer, and a length."""

    def __init__(self) -> None:
        self.kept: dict[int, Any] = {}
        self.length = 0

    def update(self, layer, k, v):
        if layer in self.kept:
            old_k, old_v = self.kept[layer]
            k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        self.kept[layer] = k, v
        if layer == SMALL.num_hidden_layers - 1:
            self.length = k.shape[2]
        return k, v


@pytest.mark.parametrize("chunks", [[12], [1] * 12, [5, 7], [7, 1, 4]])
def test_any_chunking_with_a_cache_gives_the_same_logits(chunks):
    model, ids = small().double(), ids_for(SMALL, 2, 12)
    cache = Remember()
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in ids.split(chunks, 1)]
        assert_close(torch.cat(parts, 1), model(ids))


def test_generator_makes_weights_reproducible():
    a, b, c = small(1), small(1), small(2)
    assert all(map(torch.equal, a.parameters(), b.parameters()))
    assert not torch.equal(a.lm_head.weight, c.lm_head.weight)
    assert not torch.equal(a.model.embed_tokens.weight, c.lm_head.weight)


@pytest.mark.parametrize("width", [64, 256])
def test_the_loss_begins_at_the_logarithm_of_the_vocabulary(width):
    model = small(vocab_size=4000, hidden_size=width, head_dim=16)
    ids, targets = ids_for(model.config, 8, 16), ids_for(model.config, 8, 16, 1)
    loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()).item()
    assert abs(loss - math.log(4000)) < 0.05


@pytest.mark.parametrize("width", [64, 256])
def test_a_tied_loss_begins_half_the_variance_above(width):
    model = small(
        vocab_size=4000,
        hidden_size=width,
        head_dim=16,
        tie_word_embeddings=True,
    )
    ids, targets = ids_for(model.config, 8, 16), ids_for(model.config, 8, 16, 1)
    logits = model(ids)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    excess = loss - math.log(4000)
    assert excess == pytest.approx(logits.var().item() / 2, abs=0.15)
    assert excess < 1


# ---- tying


def test_a_tied_head_is_the_embedding_itself():
    model = small(tie_word_embeddings=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    names = [name for name, _ in model.named_parameters()]
    assert "lm_head.weight" not in names


def test_a_tied_weight_gets_both_gradients():
    tied = small(tie_word_embeddings=True).double()
    untied = small(tie_word_embeddings=False).double()
    untied.load_state_dict(tied.state_dict())
    ids = ids_for(SMALL, 2, 6)
    for model in (tied, untied):
        model(ids).square().sum().backward()
    both = untied.lm_head.weight.grad + untied.model.embed_tokens.weight.grad
    assert_close(tied.lm_head.weight.grad, both)


@pytest.mark.parametrize("how", ["deepcopy", "to", "load"])
def test_tying_survives(how):
    model = small(tie_word_embeddings=True)
    if how == "deepcopy":
        model = copy.deepcopy(model)
    elif how == "to":
        model = model.to(torch.float64)
    else:
        model.load_state_dict(small(3, tie_word_embeddings=True).state_dict())
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_untied_head_is_no_copy():
    model = small()
    assert model.lm_head.weight is not model.model.embed_tokens.weight


# ---- edges


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_batches_work_forward_and_backward(shape):
    model = small()
    logits = model(torch.zeros(shape, dtype=torch.long))
    assert logits.shape == (*shape, 50)
    logits.sum().backward()
    assert all(not p.grad.any() for p in model.parameters())


def test_a_single_token_and_a_full_text():
    model = small()
    assert model(ids_for(SMALL, 1, 1)).shape == (1, 1, 50)
    assert model(ids_for(SMALL, 1, 16)).shape == (1, 16, 50)


def test_int32_ids_do():
    model, ids = small(), ids_for(SMALL, 2, 6)
    assert torch.equal(model(ids.int()), model(ids))


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_it_compiles_into_one_graph(tied, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.compiler.reset()
    model, ids = small(tie_word_embeddings=tied), ids_for(SMALL, 2, 6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_close(compiled(ids), model(ids))
    compiled(ids).sum().backward()


# ---- bad input


def test_too_long_a_text_is_refused_before_anything_is_computed():
    model = small()
    model.model.layers = torch.nn.ModuleList([Forbidden()])
    with pytest.raises(ValueError, match=r"0 tokens .* 17 new .* has 16"):
        model(ids_for(SMALL, 1, 17))


def test_too_long_a_text_with_a_cache_is_refused():
    model, cache = small(), Remember()
    model(ids_for(SMALL, 1, 12), cache=cache)
    with pytest.raises(ValueError, match="12 tokens in the cache and 5 new"):
        model(ids_for(SMALL, 1, 5), cache=cache)


def test_a_cache_that_hides_its_length_is_refused():
    class Silent:
        def update(self, layer, k, v):
            return k, v

    model, ids = small(), ids_for(SMALL, 1, 4)
    assert isinstance(Silent(), Cache)
    with pytest.raises(ValueError, match="`length`, or give `positions`"):
        model(ids, cache=Silent())
    places = torch.arange(4)
    assert torch.equal(model(ids, cache=Silent(), positions=places), model(ids))


@pytest.mark.parametrize("shape", [(1,), (2, 1), (7,), (2, 9), ()])
def test_positions_that_do_not_number_the_tokens_are_refused(shape):
    model, positions = small(), torch.full(shape, 3)
    model.model.embed_tokens.forward = Forbidden().forward
    with pytest.raises(ValueError, match="do not number the 8 tokens"):
        model(ids_for(SMALL, 2, 8), positions=positions)


@pytest.mark.parametrize(
    "ids",
    [
        torch.zeros(2, 3),
        torch.zeros(2, 3, dtype=torch.uint8),
        torch.zeros(2, 3, dtype=torch.int16),
        torch.zeros(3, dtype=torch.long),
        torch.zeros(1, 2, 3, dtype=torch.long),
    ],
    ids=["float", "uint8", "int16", "one axis", "three axes"],
)
def test_ids_of_another_kind_are_refused(ids, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    model = small()
    model.model.embed_tokens = Forbidden()
    with pytest.raises(ValueError, match=r"int64 or int32 and \(B, T\), got"):
        model(ids)


@pytest.mark.parametrize("wrong", [50, -1])
def test_an_id_outside_the_vocabulary_is_refused(wrong):
    model = small()
    model.model.layers = torch.nn.ModuleList([Forbidden()])
    with pytest.raises(ValueError, match=f"token id {wrong} .* there are 50"):
        model(torch.tensor([[1, wrong, 2]]))


def test_a_position_outside_the_tables_is_refused():
    with pytest.raises(ValueError, match="position 16 is out of range"):
        small()(ids_for(SMALL, 1, 2), positions=torch.tensor([15, 16]))


def test_mixed_dtypes_are_refused_by_name():
    model = small()
    model.model.layers[1].mlp.half()
    with pytest.raises(
        ValueError,
        match=r"layers.1.mlp.gate_proj.weight is torch.float16 on cpu, but "
        r"model.embed_tokens.weight is torch.float32 on cpu: call model.to",
    ):
        model(ids_for(SMALL, 1, 3))


def test_mixed_devices_are_refused_by_name():
    model = small()
    model.lm_head.to("meta")
    message = r"lm_head.weight is .* on meta, but model.embed_tokens.*on cpu"
    for check in (check_weights, lambda m: m(ids_for(SMALL, 1, 3))):
        with pytest.raises(ValueError, match=message):
            check(model)


def test_ids_on_another_device_are_refused():
    with pytest.raises(ValueError, match="are on meta, the model is on cpu"):
        small()(torch.zeros(1, 3, dtype=torch.long, device="meta"))


class Forbidden(torch.nn.Module):
    """A layer that must not run."""

    def forward(self, *_):
        raise AssertionError("computed before the input was checked")

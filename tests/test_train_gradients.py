"""Clipping and accumulation: by hand, against PyTorch, and their traps."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from llm_from_scratch.model import ModelConfig, TransformerLM
from llm_from_scratch.train.gradients import (
    backward_in_parts,
    clip_grad_norm_,
    nonfinite_gradients,
)

CONFIG = ModelConfig(
    vocab_size=17,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=16,
)


def some_parameters(scale=1.0, dtype=torch.float32):
    shapes = [(3, 5), (7,), (), (2, 2, 2)]
    made = [nn.Parameter(torch.randn(s).to(dtype)) for s in shapes]
    for p in made:
        p.grad = (scale * torch.randn(p.shape)).to(dtype)
    frozen = nn.Parameter(torch.randn(4))  # has no gradient
    return [*made, frozen]


def twins(parameters):
    """Copies with gradients, which deepcopy leaves behind."""
    copies = copy.deepcopy(parameters)
    for p, q in zip(parameters, copies, strict=True):
        q.grad = None if p.grad is None else p.grad.clone()
    return copies


def grads_of(parameters):
    return [p.grad for p in parameters if p.grad is not None]


def a_model(dtype=torch.float64):
    return TransformerLM(CONFIG, generator=torch.Generator().manual_seed(0)).to(
        dtype
    )


def sum_of(model):
    """Sum of the losses of the targets that count."""

    def loss_sum(inputs, targets):
        logits = model(inputs).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), reduction="sum")

    return loss_sum


def uneven_batch(rows=6, length=8):
    """Row i has i + 1 targets that count."""
    x = torch.randint(17, (rows, length))
    y = torch.randint(17, (rows, length))
    for i in range(rows):
        y[i, i + 1 :] = -100
    return x, y


def gradients(model):
    return {n: p.grad for n, p in model.named_parameters()}


# ---- clipping: by hand and against PyTorch


def test_clip_by_hand():
    a, b = (nn.Parameter(torch.zeros(n)) for n in (2, 1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    norm = clip_grad_norm_([a, b], 1.0)
    assert norm.item() == 5.0  # of both together, before clipping
    assert_close(a.grad, torch.tensor([0.6, 0.0]))
    assert_close(b.grad, torch.tensor([0.8]))


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 4.0, 1e3])
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clip_is_pytorchs(max_norm, norm_type, dtype):
    ours = some_parameters(dtype=dtype)
    theirs = twins(ours)
    a = clip_grad_norm_(ours, max_norm, norm_type)
    b = nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert_close(a, b, rtol=0, atol=0)
    for p, q in zip(grads_of(ours), grads_of(theirs), strict=True):
        assert_close(p, q, rtol=0, atol=0)


@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-3, 3))
def test_clip_is_pytorchs_whatever_the_sizes(seed, size, limit):
    torch.manual_seed(seed)
    ours = some_parameters(10**size)
    theirs = twins(ours)
    a = clip_grad_norm_(iter(ours), 10**limit)
    b = nn.utils.clip_grad_norm_(theirs, 10**limit)
    assert_close(a, b, rtol=0, atol=0)
    for p, q in zip(grads_of(ours), grads_of(theirs), strict=True):
        assert_close(p, q, rtol=0, atol=0)


# ---- clipping: properties, edges


def test_clip_keeps_the_direction_and_the_limit():
    parameters = some_parameters(100.0)
    before = torch.cat([g.flatten() for g in grads_of(parameters)])
    before = before.clone()
    clip_grad_norm_(parameters, 2.0)
    after = torch.cat([g.flatten() for g in grads_of(parameters)])
    assert after.norm().item() == pytest.approx(2.0, rel=1e-5)
    assert F.cosine_similarity(before, after, 0).item() == pytest.approx(1)


def test_small_gradients_are_left_alone():
    parameters = some_parameters(1e-3)
    before = [g.clone() for g in grads_of(parameters)]
    norm = clip_grad_norm_(parameters, 1.0)
    assert 0 < norm < 1
    for p, q in zip(grads_of(parameters), before, strict=True):
        assert torch.equal(p, q)


def test_clip_works_in_place_and_takes_one_tensor():
    p = nn.Parameter(torch.zeros(2))
    p.grad = held = torch.tensor([0.0, 8.0])
    assert clip_grad_norm_(p, 4.0) == 8
    assert p.grad is held
    assert_close(held, torch.tensor([0.0, 4.0]))


def test_nothing_to_clip():
    assert clip_grad_norm_([], 1.0) == 0
    assert clip_grad_norm_([nn.Parameter(torch.zeros(2))], 1.0) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_norm_is_taken_in_float32(dtype):
    p = nn.Parameter(torch.zeros(4, dtype=dtype))
    p.grad = torch.full((4,), 4e4).to(dtype)  # norm 8e4 is no float16
    norm = clip_grad_norm_([p], 1.0)
    assert norm.dtype == torch.float32
    assert norm.item() == pytest.approx(8e4, rel=1e-2)
    assert_close(p.grad.float(), torch.full((4,), 0.5), rtol=1e-2, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_reported_and_left_for_inspection(bad):
    parameters = some_parameters()
    parameters[1].grad[3] = bad
    before = [g.clone() for g in grads_of(parameters)]
    assert not clip_grad_norm_(parameters, 1e-3).isfinite()
    for p, q in zip(grads_of(parameters), before, strict=True):
        assert_close(p, q, rtol=0, atol=0, equal_nan=True)
    with pytest.raises(RuntimeError, match="1 of 4 gradients"):
        clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    for p, q in zip(grads_of(parameters), before, strict=True):
        assert_close(p, q, rtol=0, atol=0, equal_nan=True)


def test_pytorch_zeroes_finite_gradients_beside_an_infinite_one():
    """What ours avoids; if this fails, PyTorch has changed its mind."""
    parameters = some_parameters()
    parameters[1].grad[3] = math.inf
    nn.utils.clip_grad_norm_(parameters, 1.0)
    assert not parameters[0].grad.any()
    assert parameters[1].grad[3].isnan()


def test_names_of_what_is_not_finite():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    assert nonfinite_gradients(model) == []
    model(torch.ones(1, 2)).sum().backward()
    assert nonfinite_gradients(model) == []
    model[1].weight.grad[0, 1] = math.nan
    model[0].bias.grad[0] = -math.inf
    assert nonfinite_gradients(model) == ["0.bias", "1.weight"]


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_a_limit_must_be_positive(limit):
    with pytest.raises(ValueError, match="max_norm must be positive, got"):
        clip_grad_norm_(some_parameters(), limit)


# ---- accumulation: the big batch


@pytest.mark.parametrize("size", [None, 1, 2, 3, 4, 5, 6, 100])
def test_parts_equal_the_big_batch(size):
    x, y = uneven_batch()
    big, parts = a_model(), a_model()
    expected = F.cross_entropy(big(x).flatten(0, 1), y.flatten())
    expected.backward()
    loss, counted = backward_in_parts(
        sum_of(parts), x, y, micro_batch_size=size
    )
    assert counted == 1 + 2 + 3 + 4 + 5 + 6
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for name, grad in gradients(parts).items():
        assert_close(grad, gradients(big)[name], rtol=1e-10, atol=1e-14)


def test_a_mean_of_means_is_another_gradient():
    """The well-known bug: each part divided by its own count."""
    x, y = uneven_batch()
    right, wrong = a_model(), a_model()
    loss, _ = backward_in_parts(sum_of(right), x, y, micro_batch_size=2)
    means = []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        logits = wrong(x[rows]).flatten(0, 1)
        mean = F.cross_entropy(logits, y[rows].flatten()) / 3
        mean.backward()
        means.append(mean.item())
    assert abs(sum(means) - loss.item()) > 1e-3
    gap = [
        (gradients(wrong)[n] - g).norm() / g.norm()
        for n, g in gradients(right).items()
    ]
    assert min(gap) > 0.05


def test_equal_counts_hide_the_bug():
    x, y = torch.randint(17, (2, 6, 8))
    right, wrong = a_model(), a_model()
    backward_in_parts(sum_of(right), x, y, micro_batch_size=2)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        logits = wrong(x[rows]).flatten(0, 1)
        (F.cross_entropy(logits, y[rows].flatten()) / 3).backward()
    for name, grad in gradients(right).items():
        assert_close(gradients(wrong)[name], grad, rtol=1e-10, atol=1e-14)


@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0.05, 0.9))
def test_any_mask_and_any_size(seed, size, share):
    torch.manual_seed(seed)
    x, y = torch.randint(17, (2, 5, 4))
    y[torch.rand(5, 4) < share] = -100
    y[0, 0] = 3
    table = nn.Parameter(torch.randn(17, 17, dtype=torch.float64))

    def loss_sum(inputs, targets):
        return F.cross_entropy(
            table[inputs].flatten(0, 1), targets.flatten(), reduction="sum"
        )

    loss, counted = backward_in_parts(loss_sum, x, y, micro_batch_size=size)
    mean = F.cross_entropy(table[x].flatten(0, 1), y.flatten())
    (expected,) = torch.autograd.grad(mean, table)
    assert counted == (y != -100).sum()
    assert loss.item() == pytest.approx(mean.item())
    assert_close(table.grad, expected)


def test_gradients_are_added_to_what_is_there():
    x, y = uneven_batch()
    model = a_model()
    backward_in_parts(sum_of(model), x, y)
    once = {n: g.clone() for n, g in gradients(model).items()}
    backward_in_parts(sum_of(model), x, y, micro_batch_size=3)
    for name, grad in gradients(model).items():
        assert_close(grad, 2 * once[name])


def test_several_machines_divide_by_the_count_of_all():
    x, y = uneven_batch()
    alone, shared = a_model(), a_model()
    mean, total = backward_in_parts(sum_of(alone), x, y)
    losses = []
    for rows in (slice(0, 2), slice(2, 6)):
        loss, counted = backward_in_parts(
            sum_of(shared), x[rows], y[rows], counted=total
        )
        losses.append(loss.item())
        assert counted == total
    assert sum(losses) == pytest.approx(mean.item())
    for name, grad in gradients(shared).items():
        assert_close(grad, gradients(alone)[name])


def test_a_part_in_which_nothing_counts_adds_nothing():
    x, y = uneven_batch()
    y[4:] = -100
    model, without = a_model(), a_model()
    loss, counted = backward_in_parts(sum_of(model), x, y, micro_batch_size=2)
    backward_in_parts(sum_of(without), x[:4], y[:4])
    assert counted == 1 + 2 + 3 + 4
    assert loss.isfinite()
    for name, grad in gradients(model).items():
        assert_close(grad, gradients(without)[name])


def test_other_tensors_are_cut_by_the_same_rows():
    x, y = uneven_batch()
    seen, w = [], torch.zeros((), requires_grad=True)

    def loss_sum(inputs, targets, documents, absent):
        assert absent is None
        seen.append((inputs, targets, documents))
        return w * 1.0

    backward_in_parts(loss_sum, x, y, 10 * x, None, micro_batch_size=4)
    assert [len(a) for a, _, _ in seen] == [4, 2]
    for number, whole in enumerate((x, y, 10 * x)):
        assert torch.equal(torch.cat([part[number] for part in seen]), whole)


def test_the_scale_is_on_the_gradient_and_not_on_the_report():
    x, y = uneven_batch()
    plain, scaled = a_model(), a_model()
    a, _ = backward_in_parts(sum_of(plain), x, y, micro_batch_size=2)
    b, _ = backward_in_parts(
        sum_of(scaled), x, y, micro_batch_size=2, scale=lambda v: v * 1024
    )
    assert a == b
    for name, grad in gradients(scaled).items():
        assert_close(grad, 1024 * gradients(plain)[name])


def test_what_is_returned_holds_no_graph():
    x, y = uneven_batch()
    loss, counted = backward_in_parts(sum_of(a_model()), x, y)
    assert not loss.requires_grad
    assert isinstance(counted, int)


def test_another_mark_for_what_does_not_count():
    x, y = uneven_batch()
    y[y == -100] = 0
    model = a_model()

    def loss_sum(inputs, targets):
        return F.cross_entropy(
            model(inputs).flatten(0, 1),
            targets.flatten(),
            reduction="sum",
            ignore_index=0,
        )

    _, counted = backward_in_parts(loss_sum, x, y, ignore_index=0)
    assert counted == (y != 0).sum()


def test_errors_name_the_value():
    x, y = uneven_batch()
    loss_sum = sum_of(a_model())
    with pytest.raises(ValueError, match=r"micro_batch_size >= 1.* 0 and 21"):
        backward_in_parts(loss_sum, x, y, micro_batch_size=0)
    nothing = torch.full_like(y, -100)
    with pytest.raises(ValueError, match=r"a target that counts.* 0 of 48"):
        backward_in_parts(loss_sum, x, nothing)
    with pytest.raises(ValueError, match="a target that counts"):
        backward_in_parts(loss_sum, x[:0], y[:0])

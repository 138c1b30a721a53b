"""Narrow formats: their arithmetic, PyTorch's scaler and checkpoints."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from llm_from_scratch.infer import generate
from llm_from_scratch.model import (
    ModelConfig,
    PeakMemory,
    TransformerLM,
    saved_bytes,
)
from llm_from_scratch.train.gradients import clip_grad_norm_
from llm_from_scratch.train.precision import (
    LossScaler,
    autocast,
    checkpoint_blocks,
    spacing,
    stalls_at,
)

HALF = [torch.bfloat16, torch.float16]
BITS = {torch.bfloat16: 8, torch.float16: 11, torch.float32: 24}


def a_model(layers=3, width=32):
    config = ModelConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(0))


def loss_of(model, x):
    logits = model(x[:, :-1]).flatten(0, 1).float()
    return F.cross_entropy(logits, x[:, 1:].flatten())


def gradients(model):
    return {n: p.grad for n, p in model.named_parameters()}


# ---- numbers


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.0, torch.bfloat16, 2**-7),
        (1.99, torch.bfloat16, 2**-7),
        (2.0, torch.bfloat16, 2**-6),
        (0.125, torch.bfloat16, 2**-10),
        (256.0, torch.bfloat16, 2.0),
        (-1.0, torch.float16, 2**-10),
        (1.0, torch.float32, 2**-23),
        (0.0, torch.float16, 2**-24),
        (1e-40, torch.bfloat16, 2.0**-133),
    ],
)
def test_spacing_by_hand(value, dtype, expected):
    assert spacing(value, dtype) == expected


@given(st.floats(1e-6, 6e4), st.sampled_from(list(BITS)))
def test_spacing_is_the_way_to_the_next_number(value, dtype):
    x = torch.tensor(value).to(dtype)
    kind = torch.int32 if dtype == torch.float32 else torch.int16
    above = (x.view(kind) + 1).view(dtype)
    assert spacing(x.item(), dtype) == above.item() - x.item()


@given(st.floats(1e-3, 900.0), st.sampled_from(HALF))
def test_a_change_below_half_the_spacing_is_lost(value, dtype):
    x = torch.tensor(value, dtype=dtype)
    step = spacing(x.item(), dtype)
    assert (x.double() + 0.49 * step).to(dtype) == x
    assert (x.double() + 0.51 * step).to(dtype) != x


def summed(increment, dtype, most):
    """The running sum when it stops, or after `most` additions."""
    d = torch.tensor(increment, dtype=dtype)
    total = torch.zeros((), dtype=dtype)
    for _ in range(most):
        if torch.equal(total + d, total):
            break
        total = total + d
    return total.item()


@pytest.mark.parametrize(
    ("increment", "dtype", "stall"),
    [
        (1.0, torch.bfloat16, 256.0),
        (1.0, torch.float16, 2048.0),
        (3.0, torch.bfloat16, 1024.0),
        (2.007, torch.bfloat16, 512.0),  # rounds to 2
        (2.02, torch.bfloat16, 1024.0),  # rounds to 2 + 2**-6
        (1.0, torch.float32, 2.0**24),
        (32.0, torch.float16, math.inf),  # 65536 is no float16
        (31.9, torch.float16, math.inf),
        (15.9, torch.float16, 32768.0),
        (1e-3, torch.bfloat16, 0.5),
    ],
)
def test_stalls_by_hand(increment, dtype, stall):
    assert stalls_at(increment, dtype) == stall


@pytest.mark.parametrize("increment", [1.0, 0.7, 3.25, 1e-3, 1.99, 5e-5])
def test_a_running_sum_stalls_where_it_should(increment):
    for dtype, most in ((torch.bfloat16, 600), (torch.float16, 5000)):
        assert summed(increment, dtype, most) == stalls_at(increment, dtype)


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.bfloat16, 600), (torch.float16, 5000)]
)
def test_sums_of_every_number_of_a_format_stall_where_they_should(dtype, most):
    last = torch.tensor(torch.finfo(dtype).max, dtype=dtype)
    patterns = torch.arange(1, last.view(torch.int16).item() + 1)
    numbers = patterns.to(torch.int16).view(dtype)  # all that are positive
    total = torch.zeros_like(numbers)
    for _ in range(most):
        total += numbers
    assert torch.equal(total + numbers, total)
    stalls = [stalls_at(d, dtype) for d in numbers.tolist()]
    assert total.tolist() == stalls


def test_a_float32_sum_of_ones_stalls():
    # All numbers on the way are whole: start a few before the end.
    total = torch.tensor(stalls_at(1.0, torch.float32) - 3)
    for _ in range(9):
        total = total + 1.0
    assert total == stalls_at(1.0, torch.float32)


def test_pytorchs_own_sum_does_not_stall():
    ones = torch.ones(4096, dtype=torch.bfloat16)
    assert ones.sum() == 4096  # it adds in float32
    assert stalls_at(1.0, torch.bfloat16) == 256


def test_a_slow_average_in_bfloat16_never_falls():
    """A factor of 0.999 changes v by less than half its spacing."""
    for value in (1.0, 1.5, 3e-6, 1.99):
        v = torch.tensor(value, dtype=torch.bfloat16)
        assert v * 0.999 == v
        assert v * 0.95 < v


def test_what_cannot_be_added():
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="increment must be positive"):
            stalls_at(bad, torch.bfloat16)


# ---- autocast


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", HALF[0]), ("fp16", HALF[1])],
)
def test_products_run_in_the_precision_and_weights_stay(precision, dtype):
    layer, x = nn.Linear(8, 8), torch.randn(4, 8)
    with autocast("cpu", precision):
        y = layer(x)
    assert y.dtype == dtype
    y.float().sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32
    assert (x @ x.T).dtype == torch.float32  # outside


def test_autocast_is_pytorchs():
    model, x = a_model(), torch.randint(64, (2, 9))
    for precision, dtype in (("bf16", HALF[0]), ("fp16", HALF[1])):
        with autocast(torch.device("cpu"), precision):
            ours = model(x)
        with torch.autocast("cpu", dtype):
            assert torch.equal(ours, model(x))


def test_fp32_inside_another_autocast_is_fp32():
    x = torch.randn(4, 4)
    with autocast("cpu", "bf16"), autocast("cpu", "fp32"):
        assert (x @ x).dtype == torch.float32


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"fp32, bf16, fp16, got 'half'"):
        autocast("cpu", "half")


# ---- loss scaling


def scaled_run(scaler, overflows, growth_scale=1.0):
    """Weights after steps of which some overflow, and the scale of each."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    history = []
    for number, overflow in enumerate(overflows):
        optimizer.zero_grad()
        loss = (weight * torch.tensor([0.3, 0.7 + number])).sum()
        scaler.scale(loss).backward()
        if overflow:
            weight.grad[1] = math.inf if number % 2 else math.nan
        scaler.step(optimizer)
        scaler.update()
        history.append((scaler.get_scale(), weight.tolist()))
    return history


@given(st.lists(st.booleans(), min_size=1, max_size=24), st.integers(1, 4))
def test_the_scaler_is_pytorchs(overflows, interval):
    options = {"init_scale": 2.0**10, "growth_interval": interval}
    theirs = torch.amp.GradScaler("cpu", **options)
    ours = LossScaler(**options)
    assert scaled_run(ours, overflows) == scaled_run(theirs, overflows)
    assert ours.state_dict() == theirs.state_dict()


@pytest.mark.parametrize(("growth", "backoff"), [(4.0, 0.25), (2.0, 0.125)])
def test_other_factors_are_pytorchs_too(growth, backoff):
    options = {
        "init_scale": 1.0,
        "growth_factor": growth,
        "backoff_factor": backoff,
        "growth_interval": 2,
    }
    overflows = [False, False, True, False, True, False, False, False, False]
    theirs = torch.amp.GradScaler("cpu", **options)
    ours = LossScaler(**options)
    assert scaled_run(ours, overflows) == scaled_run(theirs, overflows)


def test_defaults_are_pytorchs():
    theirs = torch.amp.GradScaler("cpu").state_dict()
    assert LossScaler().state_dict() == theirs


def test_the_scale_stays_a_float32():
    options = {"init_scale": 2.0**126, "growth_interval": 1}
    theirs = torch.amp.GradScaler("cpu", **options)
    ours = LossScaler(**options)
    small = [False] * 4
    for scaler in (ours, theirs):
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        for _ in small:
            weight.grad = torch.zeros(1)
            scaler.scale(weight.sum())
            scaler.step(optimizer)
            scaler.update()
    assert ours.get_scale() == theirs.get_scale() == 2.0**127


def test_scaling_by_a_power_of_two_changes_no_bit():
    model, x = a_model(), torch.randint(64, (2, 17))
    loss_of(model, x).backward()
    plain = {n: g.clone() for n, g in gradients(model).items()}
    model.zero_grad()
    scaler = LossScaler(2.0**12)
    scaler.scale(loss_of(model, x)).backward()
    scaler.unscale_(torch.optim.SGD(model.parameters(), lr=1.0))
    for name, grad in gradients(model).items():
        assert torch.equal(grad, plain[name])


def test_float16_loses_small_gradients_and_scaling_saves_them():
    x = torch.randn(4, 8)
    exact, plain, scaled = (nn.Linear(8, 8) for _ in range(3))
    for other in (plain, scaled):
        other.load_state_dict(exact.state_dict())
    tiny = 2.0**-26  # a gradient's size; float16 ends at 2**-24
    (exact(x).sum() * tiny).backward()
    for layer, scaler in (
        (plain, LossScaler(enabled=False)),
        (scaled, LossScaler(2.0**16)),
    ):
        with autocast("cpu", "fp16"):
            y = layer(x)
        # The product is taken in float16, as inside a deeper model.
        scaler.scale((y * y.new_tensor(1.0)).float().sum() * tiny).backward()
        scaler.unscale_(torch.optim.SGD(layer.parameters(), lr=1.0))
    assert not plain.weight.grad.any()
    assert_close(scaled.weight.grad, exact.weight.grad, rtol=2e-3, atol=1e-12)


def test_clipping_comes_after_unscaling():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = LossScaler(2.0**10)
    scaler.scale((weight * torch.tensor([3.0, 4.0])).sum()).backward()
    scaler.unscale_(optimizer)
    assert clip_grad_norm_([weight], 1.0) == 5.0
    assert scaler.step(optimizer)  # does not unscale again
    assert_close(weight.data, -torch.tensor([0.6, 0.8]))


def test_a_step_that_overflowed_is_skipped_and_says_so():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=1.0)
    scaler = LossScaler(4.0)
    weight.grad = torch.tensor([1.0, math.inf])
    assert scaler.step(optimizer) is False
    scaler.update()
    assert weight.tolist() == [1.0, 1.0]
    assert not optimizer.state  # Adam's averages are clean
    assert scaler.get_scale() == 2.0
    weight.grad = torch.tensor([1.0, 1.0])
    assert scaler.step(optimizer) is True
    assert weight[0] < 1


def test_one_overflow_among_many_gradients_is_enough():
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    for w in weights:
        w.grad = torch.ones(2)
    weights[1].grad[1] = math.inf
    optimizer = torch.optim.SGD(weights, lr=1.0)
    assert LossScaler(2.0).step(optimizer) is False
    assert not any(w.any() for w in weights)


def test_one_overflow_among_two_optimizers_lowers_the_common_scale():
    a, b = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    one, two = (torch.optim.SGD([p], lr=1.0) for p in (a, b))
    scaler = LossScaler(8.0)
    a.grad, b.grad = torch.tensor([math.nan]), torch.tensor([8.0])
    assert [scaler.step(one), scaler.step(two)] == [False, True]
    scaler.update()
    assert b.item() == -1.0
    assert scaler.get_scale() == 4.0
    assert scaler.state_dict()["_growth_tracker"] == 0


def test_a_scaler_resumes():
    first = LossScaler(2.0**8, growth_interval=3)
    scaled_run(first, [False, True, False, False])
    second = LossScaler(growth_factor=4.0)
    second.load_state_dict(first.state_dict())
    pattern = [False, False, True, False]
    assert scaled_run(second, pattern) == scaled_run(first, pattern)
    theirs = torch.amp.GradScaler("cpu")
    theirs.load_state_dict(first.state_dict())  # and into PyTorch's
    assert theirs.get_scale() == first.get_scale()


@pytest.mark.parametrize(
    "make", [LossScaler, partial(torch.amp.GradScaler, "cpu")]
)
def test_a_forgotten_update_is_an_error_and_no_giant_step(make):
    weight = nn.Parameter(torch.zeros(1))
    optimizer, scaler = torch.optim.SGD([weight], lr=1.0), make(init_scale=8.0)
    for step in range(2):
        optimizer.zero_grad()
        scaler.scale(weight.sum()).backward()
        if step == 0:
            scaler.step(optimizer)
        else:
            with pytest.raises(RuntimeError, match=r"update\(\)"):
                scaler.step(optimizer)
    assert weight.item() == -1.0


def test_a_scaler_loads_only_what_it_would_be_made_with():
    theirs = torch.amp.GradScaler("cpu", init_scale=1000.0).state_dict()
    ours = LossScaler(8.0)
    with pytest.raises(ValueError, match=r"power of two, got 1000\.0"):
        ours.load_state_dict(theirs)
    assert ours.get_scale() == 8.0  # nothing was taken over


def test_a_state_is_a_copy():
    scaler = LossScaler(8.0)
    state = scaler.state_dict()
    scaled_run(scaler, [True])
    assert state["scale"] == 8.0


def test_a_disabled_scaler_is_not_there():
    scaler, plain = LossScaler(enabled=False), nn.Parameter(torch.ones(1))
    assert scaler.scale(torch.tensor(3.0)) == 3.0
    optimizer = torch.optim.SGD([plain], lr=1.0)
    plain.grad = torch.tensor([math.inf])
    for _ in range(2):
        assert scaler.step(optimizer)
        scaler.update()
    assert plain.isinf().all()  # it does not look
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict()["scale"] == 2.0**16


def test_parameters_without_gradients_and_no_step():
    scaler, weight = LossScaler(2.0), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.update()  # nothing happened
    assert scaler.state_dict()["_growth_tracker"] == 0
    assert scaler.step(optimizer)
    assert weight.item() == 1.0


def test_scaler_errors():
    for bad in (
        {"init_scale": 3.0},
        {"growth_factor": 1.5},
        {"init_scale": 0.0},
    ):
        with pytest.raises(ValueError, match=r"must be a power of two, got"):
            LossScaler(**bad)
    for bad in (
        {"growth_factor": 1.0},
        {"backoff_factor": 1.0},
        {"growth_interval": 0},
    ):
        with pytest.raises(ValueError, match=r"backoff_factor < 1 < growth"):
            LossScaler(**bad)
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = LossScaler()
    weight.grad = torch.ones(1)
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="unscaled already"):
        scaler.unscale_(optimizer)
    half = nn.Parameter(torch.ones(1, dtype=torch.float16))
    half.grad = torch.ones_like(half)
    with pytest.raises(ValueError, match="float32 and use autocast"):
        scaler.unscale_(torch.optim.SGD([half], lr=1.0))


# ---- activation checkpointing


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("every", [1, 2])
def test_checkpointing_changes_no_bit(precision, every):
    x = torch.randint(64, (2, 17))
    plain, lean = a_model(), a_model()
    assert checkpoint_blocks(lean, every) == (3 if every == 1 else 2)
    for model in (plain, lean):
        with autocast("cpu", precision):
            loss = loss_of(model, x)
        loss.backward()
    for name, grad in gradients(lean).items():
        assert torch.equal(grad, gradients(plain)[name]), name


def test_checkpointing_is_pytorchs():
    x = torch.randint(64, (2, 17))
    ours, theirs = a_model(), a_model()
    checkpoint_blocks(ours)

    def by_hand(model):
        h = model.model.embed_tokens(x[:, :-1])
        rotation = model.model.rotary.tables(torch.arange(16))
        for layer in model.model.layers:
            h = checkpoint(layer, h, rotation, use_reentrant=False)
        logits = model.lm_head(model.model.norm(h)).flatten(0, 1)
        return F.cross_entropy(logits, x[:, 1:].flatten())

    loss_of(ours, x).backward()
    by_hand(theirs).backward()
    for name, grad in gradients(ours).items():
        assert torch.equal(grad, gradients(theirs)[name])


def test_checkpointing_keeps_less():
    x = torch.randint(64, (8, 33))
    plain, lean = a_model(8), a_model(8)
    checkpoint_blocks(lean)
    kept = [saved_bytes(m, lambda m=m: loss_of(m, x)) for m in (plain, lean)]
    assert kept[1] < kept[0] / 4

    def peak(model):
        with PeakMemory() as memory:
            loss_of(model, x).backward()
        return memory.peak

    assert peak(lean) < 0.6 * peak(plain)


def test_each_block_runs_twice_in_training_and_once_without_gradients():
    model, calls = a_model(), []
    inside = model.model.layers[1].mlp
    inside.register_forward_pre_hook(lambda *_: calls.append(1))
    checkpoint_blocks(model)
    x = torch.randint(64, (1, 9))
    loss_of(model, x).backward()
    assert len(calls) == 2
    with torch.no_grad():
        model(x)
    assert len(calls) == 3


def test_names_and_files_stay():
    plain, lean = a_model(), a_model()
    checkpoint_blocks(lean)
    assert list(lean.state_dict()) == list(plain.state_dict())
    lean.load_state_dict(plain.state_dict(), strict=True)
    names = [n for n, _ in lean.named_modules()]
    assert names == [n for n, _ in plain.named_modules()]


def test_twice_is_once():
    model, calls = a_model(), []
    inside = model.model.layers[0].mlp
    inside.register_forward_pre_hook(lambda *_: calls.append(1))
    checkpoint_blocks(model)
    wrapped = [layer.forward for layer in model.model.layers]
    checkpoint_blocks(model)
    assert wrapped == [layer.forward for layer in model.model.layers]
    loss_of(model, torch.randint(64, (1, 9))).backward()
    assert len(calls) == 2


def test_a_copy_recomputes_with_its_own_weights():
    x = torch.randint(64, (2, 17))
    model = a_model()
    checkpoint_blocks(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(1.5)
    assert not torch.equal(model(x), twin(x))
    loss_of(twin, x).backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in twin.parameters())


def test_a_model_with_checkpoints_still_generates():
    plain, lean = a_model(), a_model()
    checkpoint_blocks(lean)
    prompt = torch.randint(64, (1, 5))
    a, b = (generate(m, prompt, 8) for m in (plain, lean))
    assert torch.equal(a, b)


def test_every_must_be_positive():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        checkpoint_blocks(a_model(), 0)

"""AdamW by hand, bit for bit against PyTorch's, and its state dict."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optimizer_steps import run_steps, same, saved
from torch.testing import assert_close

from llm_from_scratch.train.adamw import AdamW, adamw_update

SHAPES = ((), (3,), (4, 5), (2, 3, 4), (1, 700))


def weights(dtype=torch.float32, seed=0):
    """Weights of many shapes, the same for one seed."""
    g = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=g).to(dtype))
        for shape in SHAPES
    ]


def groups(params):
    """Three groups that differ in everything that a group can set."""
    return [
        {"params": params[:2], "weight_decay": 0.0},
        {"params": params[2:4], "lr": 0.03, "betas": (0.8, 0.95)},
        {"params": params[4:], "eps": 1e-4, "weight_decay": 0.3},
    ]


def gradients(params, step):
    """Set gradients of very different sizes, some zero, now and then none."""
    g = torch.Generator().manual_seed(step)
    for i, p in enumerate(params):
        noise = torch.randn(p.shape, generator=g) * 10.0 ** (i - 3)
        noise = noise.where(torch.rand(p.shape, generator=g) < 0.9, 0)
        absent = (step + i) % 7 == 3
        p.grad = None if absent else noise.to(p.dtype)


def run(params, optimizer, steps, start=0):
    """Steps with these gradients and a moving rate."""
    run_steps(optimizer, lambda step: gradients(params, step), steps, start)


def theirs(params, fused=False, **more):
    """PyTorch's, with one tensor at a time unless fused."""
    kind = {"fused": True} if fused else {"foreach": False}
    return torch.optim.AdamW(params, **kind, **more)


# ---- by hand


def test_two_steps_by_hand():
    p = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = AdamW([p], lr=0.1, betas=(0.5, 0.75), eps=0.0, weight_decay=0.2)
    p.grad = torch.tensor([4.0], dtype=torch.float64)
    optimizer.step()
    # decay: 1 - 0.02; m = 2, v = 4; corrected 4 and 16: a step of 0.1
    assert p.item() == pytest.approx(0.98 - 0.1)
    p.grad = torch.tensor([-2.0], dtype=torch.float64)
    optimizer.step()
    # m = 0, v = 3 + 1: no step, only decay
    assert p.item() == pytest.approx(0.88 * 0.98)
    state = optimizer.state[p]
    assert state["step"].item() == 2
    assert state["exp_avg"].item() == 0
    assert state["exp_avg_sq"].item() == 4


def test_eps_stands_outside_the_root():
    p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    p.grad = torch.full((1,), 1e-6, dtype=torch.float64)
    AdamW([p], lr=1.0, eps=1e-6).step()
    assert p.item() == pytest.approx(-0.5)  # inside it would be nearly 0


# ---- against PyTorch


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.bfloat16]
)
def test_hundreds_of_steps_have_pytorchs_bits(dtype, fused):
    a, b = weights(dtype), weights(dtype)
    ours = AdamW(groups(a), lr=0.01, weight_decay=0.1, fused=fused)
    other = theirs(groups(b), fused, lr=0.01, weight_decay=0.1)
    run(a, ours, 300)
    run(b, other, 300)
    assert same(a, b)
    assert not same(a, weights(dtype))
    for p, q in zip(a, b, strict=True):
        assert ours.state[p].keys() == other.state[q].keys()
        assert same(ours.state[p].values(), other.state[q].values())


def test_defaults_are_pytorchs():
    ours, other = AdamW(weights()), theirs(weights())
    for key, value in ours.defaults.items():
        assert bool(value) == bool(other.defaults[key])
        assert value == other.defaults[key] or key == "fused"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("direction", ["to ours", "to theirs", "to itself"])
def test_state_goes_on_as_if_nothing_had_happened(direction, fused):
    a, b = weights(), weights()
    make = {"ours": AdamW, "theirs": theirs}
    first = "theirs" if direction == "to ours" else "ours"
    second = "theirs" if direction == "to theirs" else "ours"
    one = make[first](groups(a), lr=0.01, fused=fused)
    run(a, one, 20)
    two = make[second](groups(weights(seed=9)), lr=7.0, fused=fused)
    two.load_state_dict(saved(one))
    for p, q in zip(b, a, strict=True):
        p.data.copy_(q.data)
    two = make[second](groups(b), lr=7.0, fused=fused)
    two.load_state_dict(saved(one))
    run(a, one, 50, start=20)
    run(b, two, 50, start=20)
    assert same(a, b)


def test_the_kernel_takes_weights_of_several_dtypes():
    pair = [weights(torch.float64) + weights(torch.bfloat16) for _ in "ab"]
    run(pair[0], AdamW(pair[0], lr=0.01, fused=True), 20)
    run(pair[1], theirs(pair[1], True, lr=0.01), 20)
    assert same(*pair)


def test_a_state_from_the_kernel_serves_the_loop():
    a, b = weights(torch.float64), weights(torch.float64)
    one, two = AdamW(a, fused=True), AdamW(b, fused=True)
    run(a, one, 10)
    run(b, two, 10)
    two.param_groups[0]["fused"] = False
    run(a, one, 10, start=10)
    run(b, two, 10, start=10)
    for p, q in zip(a, b, strict=True):
        assert_close(p, q, rtol=1e-12, atol=1e-14)


def test_a_real_model_has_pytorchs_bits():
    torch.manual_seed(0)
    a = torch.nn.Sequential(
        torch.nn.Embedding(11, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 11)
    )
    b = copy.deepcopy(a)
    ours = AdamW(a.parameters(), lr=0.01)
    other = theirs(b.parameters(), lr=0.01)
    for _ in range(200):
        ids = torch.randint(11, (16,))
        for model, optimizer in ((a, ours), (b, other)):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(ids), ids)
            loss.backward()
            optimizer.step()
    assert same(a.parameters(), b.parameters())
    assert loss < 1


# ---- properties


@given(st.floats(1e-3, 1e3), st.floats(1e-4, 1.0), st.sampled_from([1.0, -1.0]))
def test_the_first_step_is_the_learning_rate_whatever_the_gradient(
    size, lr, sign
):
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    p.grad = torch.full((3,), sign * size, dtype=torch.float64)
    AdamW([p], lr=lr, weight_decay=0.0).step()
    assert_close(p, torch.full_like(p, -sign * lr), rtol=1e-4, atol=0)


def test_the_scale_of_gradients_does_not_matter():
    a, b = weights(torch.float64), weights(torch.float64)
    one, two = AdamW(a, eps=0.0), AdamW(b, eps=0.0)
    for step in range(30):
        for params, factor in ((a, 1.0), (b, 1024.0)):
            g = torch.Generator().manual_seed(step)
            for p in params:
                noise = torch.randn(p.shape, generator=g, dtype=p.dtype)
                p.grad = factor * noise
        one.step()
        two.step()
    assert same(a, b)  # 1024 is a power of two


def test_decay_does_not_ask_for_the_gradient():
    p = torch.nn.Parameter(torch.tensor([2.0, 2.0], dtype=torch.float64))
    p.grad = torch.zeros(2, dtype=torch.float64)
    optimizer = AdamW([p], lr=0.1, weight_decay=0.5)
    for _ in range(10):
        optimizer.step()
    assert_close(p, torch.full_like(p, 2 * 0.95**10))


def test_weights_without_a_gradient_stay():
    params = weights()
    before = [p.detach().clone() for p in params]
    optimizer = AdamW(params, weight_decay=0.5)
    optimizer.step()
    assert same(params, before)
    assert not optimizer.state


def test_gradients_are_left_as_they_were():
    params = weights()
    gradients(params, 0)
    before = [None if p.grad is None else p.grad.clone() for p in params]
    AdamW(params).step()
    for p, grad in zip(params, before, strict=True):
        assert (p.grad is None) == (grad is None)
        assert grad is None or torch.equal(p.grad, grad)


def test_the_update_works_in_place():
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = AdamW([p])
    optimizer.step()
    state = optimizer.state[p]
    places = [x.data_ptr() for x in (p, state["exp_avg"], state["exp_avg_sq"])]
    optimizer.step()
    assert places == [
        x.data_ptr() for x in (p, state["exp_avg"], state["exp_avg_sq"])
    ]


def test_one_tensor_alone():
    p = torch.tensor([1.0, -1.0])
    state = {
        "step": torch.zeros(()),
        "exp_avg": torch.zeros(2),
        "exp_avg_sq": torch.zeros(2),
    }
    adamw_update(
        p,
        torch.tensor([5.0, -5.0]),
        state,
        lr=0.25,
        betas=(0.9, 0.99),
        eps=0.0,
        weight_decay=0.0,
    )
    assert_close(p, torch.tensor([0.75, -0.75]))


def test_a_closure_is_called_with_gradients_on():
    p = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = AdamW([p], lr=0.1, weight_decay=0.0)

    def closure():
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9
    assert p.item() == pytest.approx(2.9)


# ---- error messages


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": -1e-3}, "lr must be at least 0, got -0.001"),
        ({"lr": math.nan}, "lr must be at least 0, got nan"),
        ({"eps": -1.0}, "eps must be at least 0, got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"betas": (1.0, 0.9)}, r"betas .* \[0, 1\), got 1.0"),
        ({"betas": (0.9, -0.1)}, r"betas .* \[0, 1\), got -0.1"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        AdamW(weights(), **settings)
    with pytest.raises(ValueError, match=message):
        AdamW([{"params": weights(), **settings}])


@pytest.mark.parametrize(
    "key", ["amsgrad", "maximize", "capturable", "differentiable"]
)
def test_a_state_of_another_algorithm_is_refused(key):
    other = theirs(weights(), **{key: True})
    with pytest.raises(ValueError, match=f"{key} is not supported"):
        AdamW(weights()).load_state_dict(other.state_dict())


def test_a_weight_that_is_given_twice():
    p = weights()
    with pytest.raises(ValueError, match="more than one parameter group"):
        AdamW([{"params": p}, {"params": p[:1]}])


def test_complex_weights_are_refused():
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"complex, \(2,\)"):
        AdamW([p])

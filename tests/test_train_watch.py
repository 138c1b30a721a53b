"""What is unusual in a run, and what is not."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from llm_from_scratch.train.parts import StepResult
from llm_from_scratch.train.watch import Watch, suspects


def result(loss: float, norm: float = 1.0, step: int = 0) -> StepResult:
    finite = math.isfinite(loss) and math.isfinite(norm)
    return StepResult(step, loss, 100, norm, 1e-3, finite)


def calm(watch: Watch, steps: int = 64, level: float = 3.0) -> None:
    """Losses that scatter by 0.1, none of them unusual."""
    rng = np.random.default_rng(0)
    for step, noise in enumerate(rng.normal(0, 0.1, steps)):
        assert watch.judge(result(level + float(noise), 1.0, step)) is None


def test_a_calm_run_and_a_falling_one_are_usual():
    calm(Watch(), 500)
    watch = Watch()
    assert all(
        watch.judge(result(8 * math.exp(-s / 100))) is None for s in range(500)
    )


def test_a_spike_is_told_with_both_numbers():
    watch = Watch()
    calm(watch)
    said = watch.judge(result(9.0, 1.0, 64))
    assert said is not None
    assert said.startswith("the loss is 9.000, it was 3.0")
    assert (watch.bad_steps, watch.bad_since) == (1, 64)


def test_the_limit_is_ten_deviations():
    watch = Watch()
    calm(watch)
    middle = float(np.median(watch.losses))
    far = np.abs(np.array(watch.losses) - middle)
    spread = 1.4826 * float(np.median(far))
    assert watch.judge(result(middle + 9.99 * spread)) is None
    watch = Watch()
    calm(watch)
    assert watch.judge(result(middle + 10.01 * spread)) is not None


def test_a_run_without_scatter_does_not_cry_at_nothing():
    watch = Watch()
    for _ in range(64):
        watch.judge(result(2.0))
    assert watch.judge(result(2.09)) is None
    assert watch.judge(result(2.11)) is not None


def test_a_spike_does_not_judge_the_next():
    watch = Watch()
    calm(watch)
    before = list(watch.losses)
    for step in range(200):
        assert watch.judge(result(9.0, 1.0, step)) is not None
    assert list(watch.losses) == before
    assert watch.bad_steps == 200
    assert watch.judge(result(3.0)) is None
    assert (watch.bad_steps, watch.bad_since) == (0, None)


def test_the_first_steps_are_not_judged():
    watch = Watch()
    for loss in [9.0] + [3.0] * 14 + [20.0]:
        assert watch.judge(result(loss)) is None
    assert watch.judge(result(40.0)) is not None


def test_a_slow_rise_is_told():
    watch, said = Watch(), None
    calm(watch, 100)
    for step in range(2000):
        said = watch.judge(result(3.0 + 0.002 * step))
        if said:
            break
    assert said is not None
    assert "has risen to" in said
    assert 1.0 < 0.002 * step < 1.3


def test_a_large_gradient_is_told_but_is_no_bad_step():
    watch = Watch()
    calm(watch)
    assert watch.judge(result(3.0, 9.9)) is None
    said = watch.judge(result(3.0, 50.0))
    assert said is not None
    assert "norm is 50" in said
    assert watch.bad_steps == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_told_from_the_first_step(bad):
    assert Watch().judge(result(bad)) == f"the loss is {bad}"
    assert Watch().judge(result(1.0, bad)) == f"the gradient's norm is {bad}"


def test_a_state_goes_on_judging_alike():
    watch, other = Watch(window=32), Watch(window=32)
    calm(watch, 40)
    watch.judge(result(9.0, 1.0, 40))
    other.load_state_dict(watch.state_dict())
    assert vars(other) == vars(watch)
    for loss in (3.0, 9.0, 3.9, math.nan, 3.1):
        assert other.judge(result(loss)) == watch.judge(result(loss))
    assert other.losses.maxlen == 32


def test_a_state_is_a_copy():
    watch = Watch()
    calm(watch, 20)
    state = watch.state_dict()
    watch.judge(result(3.0))
    assert len(state["losses"]) == 20


def test_suspects_names_where_it_began():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model(torch.ones(2)).sum().backward()
    assert "not finite: none" in suspects(model)
    model[1].weight.grad[0, 0] = math.nan
    assert "1.weight first of 1" in suspects(model)

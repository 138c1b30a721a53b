"""Schedules: by hand, against PyTorch and transformers, and their claims."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR
from transformers import (
    get_cosine_with_min_lr_schedule_with_warmup,
    get_wsd_schedule,
)

from llm_from_scratch.train.schedule import (
    Schedule,
    get_lr_cosine_schedule,
    get_lr_linear_schedule,
    get_lr_wsd_schedule,
    set_lr,
)

KINDS = ["cosine", "linear", "wsd", "constant"]


def an_optimizer(lr=1.0, **options):
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.zeros(2)
    return torch.optim.SGD([{"params": [weight], **options}], lr=lr)


def rates_of(make_scheduler, steps, lr=1.0):
    """The rates that a scheduler of PyTorch's interface goes through."""
    optimizer = an_optimizer(lr)
    scheduler, rates = make_scheduler(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


# ---- by hand


def test_cosine_by_hand():
    rates = [get_lr_cosine_schedule(i, 1.0, 0.2, 2, 6) for i in range(9)]
    root = 0.5**0.5
    fall = [0.6 + 0.4 * c for c in (1, root, 0, -root, -1)]
    assert rates == pytest.approx([0.0, 0.5, *fall, 0.2, 0.2])


def test_linear_by_hand():
    rates = [get_lr_linear_schedule(i, 1.0, 0.2, 2, 6) for i in range(9)]
    assert rates == pytest.approx([0, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2])


def test_wsd_by_hand():
    rates = [get_lr_wsd_schedule(i, 1.0, 0.2, 2, 4, 9) for i in range(11)]
    flat = [0, 0.5, 1, 1, 1]
    assert rates == pytest.approx([*flat, 1, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_constant_by_hand():
    schedule = Schedule(kind="constant", max_lr=2.0, steps=8, warmup=4)
    rates = [schedule(i) for i in range(10)]
    assert rates == pytest.approx([0, 0.5, 1, 1.5] + [2] * 6)


# ---- against a reference


@pytest.mark.parametrize(("rise", "steps"), [(0, 40), (3, 40), (17, 50)])
def test_cosine_is_pytorchs_after_warm_up(rise, steps):
    theirs = rates_of(
        lambda o: CosineAnnealingLR(o, steps - rise, eta_min=0.03),
        steps - rise + 1,
        lr=0.3,
    )
    ours = [
        get_lr_cosine_schedule(i, 0.3, 0.03, rise, steps)
        for i in range(rise, steps + 1)
    ]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_linear_is_pytorchs_after_warm_up():
    theirs = rates_of(lambda o: LinearLR(o, 1.0, 0.1, 30), 40, lr=0.5)
    ours = [get_lr_linear_schedule(i + 5, 0.5, 0.05, 5, 35) for i in range(40)]
    assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_drives_lambda_lr(kind):
    schedule = Schedule(kind=kind, max_lr=0.7, steps=30, warmup=4)
    theirs = rates_of(lambda o: LambdaLR(o, schedule), 35)
    assert theirs == [schedule(i) for i in range(35)]


@pytest.mark.parametrize("rise", [0, 1, 7])
def test_cosine_is_that_of_transformers(rise):
    theirs = rates_of(
        lambda o: get_cosine_with_min_lr_schedule_with_warmup(
            o, rise, 60, min_lr_rate=0.1
        ),
        61,
        lr=3e-3,
    )
    schedule = Schedule(max_lr=3e-3, steps=60, warmup=rise)
    assert [schedule(i) for i in range(61)] == pytest.approx(theirs)


@pytest.mark.parametrize("rise", [0, 5])
def test_wsd_is_that_of_transformers(rise):
    theirs = rates_of(
        lambda o: get_wsd_schedule(
            o, rise, 20, num_training_steps=100, decay_type="linear"
        ),
        101,
    )
    schedule = Schedule(
        kind="wsd", max_lr=1.0, steps=100, warmup=rise, final_fraction=0.0
    )
    assert [schedule(i) for i in range(101)] == pytest.approx(theirs)


# ---- properties that the text states


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warmup", [0, 1, 9, 49])
def test_a_rate_rises_to_the_peak_and_never_again(kind, warmup):
    schedule = Schedule(kind=kind, max_lr=0.4, steps=50, warmup=warmup)
    rates = [schedule(i) for i in range(60)]
    rise, fall = rates[: warmup + 1], rates[warmup:]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    assert rates[0] == (0.0 if warmup else 0.4)
    assert max(rates) == pytest.approx(0.4)
    assert min(fall) == pytest.approx(0.4 if kind == "constant" else 0.04)


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_the_floor_is_one_step_past_the_last_and_kept(kind):
    schedule = Schedule(kind=kind, max_lr=1.0, steps=1000)
    assert schedule(999) > 0.1
    assert schedule(1000) == schedule(5000) == pytest.approx(0.1)


def test_cosine_and_linear_meet_halfway():
    for kind in ("cosine", "linear"):
        schedule = Schedule(kind=kind, max_lr=1.0, steps=100, warmup=0)
        assert schedule(50) == pytest.approx(0.55)


def test_wsd_does_not_know_how_long_the_run_is_until_it_falls():
    short, long = (
        Schedule(kind="wsd", max_lr=1.0, steps=n, warmup=10) for n in (100, 300)
    )
    assert [short(i) for i in range(80)] == [long(i) for i in range(80)]
    assert short(81) < long(81) == 1.0


def test_no_warm_up_begins_at_the_peak():
    for kind in KINDS:
        assert Schedule(kind=kind, max_lr=0.5, steps=9, warmup=0)(0) == 0.5


def test_the_warm_up_is_a_share_of_the_run_unless_given():
    assert Schedule(max_lr=1.0, steps=1000).warmup_steps == 20
    assert Schedule(max_lr=1.0, steps=10).warmup_steps == 0
    assert Schedule(max_lr=1.0, steps=1000, warmup=7).warmup_steps == 7
    half = Schedule(max_lr=1.0, steps=10, warmup_fraction=0.5)
    assert half(4) == pytest.approx(0.8)
    assert half(5) == 1.0


def test_set_lr_honors_the_scale_of_each_group():
    optimizer = an_optimizer()
    other = torch.nn.Parameter(torch.zeros(1))
    optimizer.add_param_group({"params": [other], "lr_scale": 0.25})
    set_lr(optimizer, 0.2)
    set_lr(optimizer, 0.8)  # not compounded
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == pytest.approx([0.8, 0.2])


def test_a_rate_that_is_a_tensor_stays_where_it_is():
    weight = torch.nn.Parameter(torch.zeros(1))
    rate = torch.tensor(1.0)
    optimizer = torch.optim.Adam([weight], lr=rate, foreach=False)
    set_lr(optimizer, 0.125)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.125


# ---- edges


def test_a_warm_up_as_long_as_the_run_ends_at_the_floor():
    for f in (get_lr_cosine_schedule, get_lr_linear_schedule):
        assert f(9, 1.0, 0.1, 10, 10) == pytest.approx(0.9)
        assert f(10, 1.0, 0.1, 10, 10) == 0.1


def test_wsd_whose_fall_would_begin_in_the_warm_up():
    rates = [get_lr_wsd_schedule(i, 1.0, 0.0, 4, 10, 8) for i in range(10)]
    assert rates == pytest.approx(
        [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0]
    )


def test_wsd_without_a_fall_drops_at_the_end():
    assert get_lr_wsd_schedule(9, 1.0, 0.1, 0, 0, 10) == 1.0
    assert get_lr_wsd_schedule(10, 1.0, 0.1, 0, 0, 10) == 0.1


def test_decay_fraction_sets_where_wsd_falls():
    schedule = Schedule(
        kind="wsd", max_lr=1.0, steps=100, warmup=0, decay_fraction=0.5
    )
    assert schedule(50) == 1.0
    assert schedule(51) < 1.0


def test_a_run_of_one_step_learns():
    for kind in KINDS:
        assert Schedule(kind=kind, max_lr=1.0, steps=1)(0) == 1.0


def test_a_schedule_is_frozen_and_spells_its_arguments():
    with pytest.raises(AttributeError):
        Schedule(max_lr=1.0, steps=1).steps = 2
    with pytest.raises(TypeError):
        Schedule("cosine", 1.0, 10)


# ---- error messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_lr": -1.0}, "max_lr >= 0.*-1.0"),
        ({"max_lr": math.inf}, "finite max_lr.*inf"),
        ({"max_lr": math.nan}, "finite max_lr.*nan"),
        ({"steps": 0}, "steps >= 1.* 0"),
        ({"warmup": 11}, "between 0 and 10 steps, got 11"),
        ({"warmup": -1}, "between 0 and 10 steps, got -1"),
        ({"warmup_fraction": 1.5}, "warmup_fraction.*1.5"),
        ({"final_fraction": -0.1}, "final_fraction.*-0.1"),
        ({"decay_fraction": 2.0}, "decay_fraction.*2.0"),
    ],
)
def test_errors_name_the_value(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**{"max_lr": 1.0, "steps": 10, **options})


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"cosine, wsd.*got 'step'"):
        Schedule(kind="step", max_lr=1.0, steps=10)

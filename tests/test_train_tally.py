"""What rows say, and batches that a thread makes early."""

import threading

import pytest
import torch
from run_small import heldout, small

from llm_from_scratch.core.runtime import matmul_peak
from llm_from_scratch.model.account import training_flops
from llm_from_scratch.train.parts import StepResult, make_parts
from llm_from_scratch.train.tally import (
    Ahead,
    Tally,
    heldout_loss,
    work_and_peak,
)


def step(number, loss, counted, norm=1.0):
    return StepResult(number, loss, counted, norm, 1e-3, True)


def test_a_row_weighs_losses_by_their_targets():
    tally = Tally()
    tally.add(step(0, 4.0, 300, 2.0), 0.5)
    tally.add(step(1, 2.0, 100, 5.0), 1.5)
    row = tally.row(2, 1e-3)
    assert row == {
        "kind": "train",
        "step": 2,
        "loss": 3.5,
        "loss_max": 4.0,
        "grad_norm": 5.0,
        "lr": 1e-3,
        "tokens": 400,
        "seconds": 2.0,
        "tokens_per_second": 200.0,
    }


def test_the_next_row_begins_anew_but_sums_go_on():
    tally = Tally()
    tally.add(step(0, 9.0, 100), 1.0)
    tally.row(1, 1e-3)
    tally.add(step(1, 3.0, 50), 1.0)
    row = tally.row(2, 1e-3)
    assert (row["loss"], row["loss_max"]) == (3.0, 3.0)
    assert (row["tokens"], row["seconds"]) == (150, 2.0)
    assert row["tokens_per_second"] == 50


def test_utilization_is_work_over_what_was_possible():
    tally = Tally(flops=30, peak=100.0)
    tally.add(step(0, 1.0, 10), 1.0)
    tally.add(step(1, 1.0, 10), 1.0)
    assert tally.row(2, 1e-3)["mfu"] == 0.3


def test_a_state_finishes_the_row_that_was_begun():
    tally, other = Tally(5, 10.0), Tally(7, 70.0)
    tally.add(step(0, 4.0, 300, 2.0), 0.5)
    other.load_state_dict(tally.state_dict())
    assert (other.flops, other.peak) == (7, 70.0)  # of this machine
    tally.add(step(1, 2.0, 100), 0.5)
    other.add(step(1, 2.0, 100), 0.5)
    rows = tally.row(2, 1e-3), other.row(2, 1e-3)
    assert rows[0].pop("mfu") == 10.0 * 0.1
    assert rows[1].pop("mfu") == 14 / 70
    assert rows[0] == rows[1]


def test_a_state_is_a_copy():
    tally = Tally()
    tally.add(step(0, 4.0, 300), 0.5)
    state = tally.state_dict()
    tally.row(1, 1e-3)
    assert len(state["recent"]) == 1


def test_held_out_loss_is_the_mean_over_all_targets():
    model, loader, config = small()
    parts = make_parts(model, loader, config, heldout=heldout)
    batches = heldout()
    batches[0].targets[0] = -100
    nats = sum(parts.loss(model, batch).item() for batch in batches)
    parts = make_parts(model, loader, config, heldout=lambda: batches)
    assert heldout_loss(parts) == pytest.approx(nats / (3 * 64 - 16))
    with pytest.raises(ValueError, match="no held-out batches"):
        heldout_loss(make_parts(model, loader, config))


def test_work_is_that_of_a_step():
    parts = make_parts(*small())
    flops, peak = work_and_peak(parts)
    assert flops == training_flops(parts.model.config, 4, 16)
    real = matmul_peak(torch.device("cpu"), torch.float32)
    assert 0.1 < peak / real < 10


def test_batches_come_in_order_and_early():
    made = []
    gate = threading.Event()

    def make(number):
        made.append(number)
        if number == 4:
            gate.set()
        return number

    ahead = Ahead(make, depth=2)
    assert [ahead(s) for s in (2, 3)] == [2, 3]
    assert gate.wait(5)  # 4 is made before anyone asks
    assert ahead(4) == 4
    ahead.close()


def test_another_step_than_the_next_is_made_too():
    ahead = Ahead(lambda number: number * 10)
    assert [ahead(s) for s in (0, 1, 1, 7, 8, 3)] == [0, 10, 10, 70, 80, 30]
    ahead.close()


def test_an_error_in_the_thread_arrives_with_its_batch():
    def make(number):
        if number == 2:
            raise OSError("the shard is gone")
        return number

    ahead = Ahead(make)
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(OSError, match="the shard is gone"):
        ahead(2)
    ahead.close()


def test_closing_ends_the_thread():
    before = threading.active_count()
    ahead = Ahead(lambda number: number)
    ahead(0)
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
    ahead.close()

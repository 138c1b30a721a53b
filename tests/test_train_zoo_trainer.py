"""Around the step: what a trainer is asked, and what it tells, in order."""

import time
from dataclasses import replace

import pytest
import torch
from run_small import heldout, same_bits, small, weights

from llm_from_scratch.core.metrics import read_metrics
from llm_from_scratch.train import store, trainer
from llm_from_scratch.train.parts import token_loss
from llm_from_scratch.train.session import look
from llm_from_scratch.train.trainer import Trainer


def run_of(folder=None, given=None, **settings):
    return Trainer(*small(**settings), folder, **(given or {}))


def rows_of(folder, kind):
    rows = read_metrics(folder / "metrics.jsonl")
    return [row for row in rows if row["kind"] == kind]


@pytest.fixture(scope="module")
def whole():
    """The weights of a run that nothing happened to."""
    run = run_of()
    run.run()
    return weights(run)


def test_a_run_in_memory_can_go_back_to_a_step(tmp_path, whole):
    run = run_of(tmp_path, checkpoint_every=10)
    run.run(stop_at=20)
    assert run.run(from_step=10, stop_at=12).step == 12
    assert run.run().status == "done"
    assert same_bits(weights(run), whole)
    steps = [row["step"] for row in rows_of(tmp_path, "train")]
    assert steps == list(range(1, 31))


def test_no_run_is_longer_than_its_schedule(whole):
    run = run_of()
    result = run.run(stop_at=99)
    assert (result.status, result.step) == ("done", 30)
    assert same_bits(weights(run), whole)


def test_the_threads_are_those_of_the_settings(monkeypatch):
    asked = []
    monkeypatch.setattr(trainer, "set_threads", asked.append)
    run_of(threads=3)
    run_of(threads=None)
    assert asked == [3, None]


def test_a_failed_save_is_told_before_the_next_one(tmp_path, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    def report(row):
        if row["kind"] == "train" and row["step"] == 12:
            time.sleep(0.2)  # the thread that writes has failed by now
        if row["kind"] == "train" and row["step"] == 16:
            monkeypatch.undo()

    monkeypatch.setattr(store, "write_state", full)
    run_of(tmp_path, {"report": report}, checkpoint_every=10).run()
    told = [
        row["step"]
        for row in rows_of(tmp_path, "event")
        if row["event"] == "checkpoint_failed"
    ]
    assert len(told) == 1
    assert told[0] <= 13


def test_what_is_installed_sees_the_bug():
    seen = []

    def install(parts):
        seen.append(parts.zero_grad)
        return replace(parts, zero_grad=trainer.make_parts(*small()).zero_grad)

    run = run_of(given={"install": install}, bug="no-zero-grad")
    healthy = run_of()
    assert seen[0] is not healthy.parts.zero_grad
    assert run.parts.zero_grad is not seen[0]
    run.run(stop_at=3), healthy.run(stop_at=3)
    assert same_bits(weights(run), weights(healthy))


def test_a_spike_is_told_with_its_rate(tmp_path):
    def install(parts):
        count = iter(range(100))

        def loss(model, batch):
            return token_loss(model, batch) * (5 if next(count) == 20 else 1)

        return replace(parts, loss=loss)

    run_of(tmp_path, {"install": install}).run()
    (spike,) = [r for r in rows_of(tmp_path, "event") if r["event"] == "spike"]
    rate = run_of().parts.schedule(21)
    assert spike["step"] == 21
    assert spike["message"].endswith(f", lr {rate:.3g}")


def test_looking_leaves_the_mode_as_it_was():
    run = run_of(given={"heldout": heldout})
    for training in (True, False):
        run.parts.model.train(training)
        look(run, evaluate=True, sample=False)
        assert run.parts.model.training is training
    assert set(run.metrics) == {"heldout_loss"}


def test_two_ways_of_looking_are_one_row(tmp_path):
    given = {"heldout": heldout, "evaluate": lambda model: {"bits": 1.5}}
    result = run_of(tmp_path, given, steps=3).run()
    (row,) = rows_of(tmp_path, "eval")
    assert set(row) == {"kind", "step", "bits", "heldout_loss"}
    assert result.metrics == {k: row[k] for k in ("bits", "heldout_loss")}


def test_dice_in_the_model_are_those_of_the_seed():
    """Whatever the process has drawn before."""

    def run_with(drawn, **settings):
        run = run_of(steps=4, **settings)
        hook = torch.nn.Dropout(0.2)
        table = run.parts.model.model.embed_tokens
        table.register_forward_hook(lambda module, args, out: hook(out))
        torch.rand(drawn)
        run.run()
        return weights(run)

    assert same_bits(run_with(1), run_with(7))
    assert not same_bits(run_with(1), run_with(1, seed=1))


def test_samples_are_not_taken_at_the_start_unless_asked_for(tmp_path):
    given = {"sample": lambda model: ["a"], "heldout": heldout}
    run_of(tmp_path, given, eval_every=10).run()
    assert [row["step"] for row in rows_of(tmp_path, "sample")] == [30]
    assert [row["step"] for row in rows_of(tmp_path, "eval")] == [0, 10, 20, 30]


def test_who_listens_hears_what_the_log_holds(tmp_path):
    heard = []
    run_of(tmp_path, {"report": heard.append}, steps=5).run()
    assert heard == read_metrics(tmp_path / "metrics.jsonl")
    kinds = [row["kind"] for row in heard]
    assert kinds == ["event", *["train"] * 5, "event"]
    assert all(row["mfu"] > 0 for row in heard if row["kind"] == "train")


def test_a_stop_that_was_asked_for_is_no_signal(tmp_path):
    run = run_of(tmp_path)
    result = run.run(stop_at=4)
    assert result.message == "stop_at after step 4"
    assert result.tokens == 4 * 64
    state = run.store.load(4)
    assert state["loader"]["step"] == 4
    assert run.saved == 4


def test_what_was_saved_is_not_written_again(tmp_path):
    run_of(tmp_path, checkpoint_every=10).run(stop_at=10)
    again = run_of(tmp_path, checkpoint_every=10)
    path = again.store.path(10)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    again.run(stop_at=10)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before

"""A run: whole, interrupted, resumed, looked at, and in trouble."""

import errno
import math
import os
import random
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clean_process import in_clean_process
from run_small import heldout, same_bits, small, weights

from llm_from_scratch.core.metrics import MetricsLog, read_metrics
from llm_from_scratch.data.loader import TokenLoader
from llm_from_scratch.train import session
from llm_from_scratch.train import store as store_module
from llm_from_scratch.train.checkpoint import CheckpointError, load_model_state
from llm_from_scratch.train.parts import token_loss
from llm_from_scratch.train.trainer import Trainer

SAME = ("step", "loss", "loss_max", "grad_norm", "lr", "tokens")


def trainer(folder=None, given=None, **settings):
    return Trainer(*small(**settings), folder, **(given or {}))


def rows_of(path, kind="train"):
    return [
        r for r in read_metrics(path / "metrics.jsonl") if r["kind"] == kind
    ]


def events(path):
    return [(r["event"], r["step"]) for r in rows_of(path, "event")]


def comparable(rows):
    return [{k: row[k] for k in SAME} for row in rows]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run that nothing happened to: its weights and its rows."""
    folder = tmp_path_factory.mktemp("straight")
    run = trainer(folder, log_every=4, given={"heldout": heldout})
    result = run.run()
    assert (result.status, result.step, result.signal) == ("done", 30, None)
    assert result.tokens == 30 * 64
    return weights(run), comparable(rows_of(folder)), result


def test_a_run_learns_and_tells(straight):
    _, rows, result = straight
    assert [row["step"] for row in rows] == [*range(4, 30, 4), 30]
    assert rows[0]["loss"] - rows[-1]["loss"] > 0.1
    assert result.metrics["heldout_loss"] < math.log(64)
    assert result.seconds > 0


@pytest.mark.parametrize("stops", [(1,), (29,), (13,), (5, 6, 22)])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, straight, stops):
    given = {"heldout": heldout}
    for stop in stops:
        random.random(), torch.rand(stop)  # another process draws otherwise
        run = trainer(tmp_path, given, log_every=4)
        result = run.run(stop_at=stop)
        assert (result.status, result.step) == ("interrupted", stop)
    run = trainer(tmp_path, given, log_every=4)
    result = run.run()
    assert same_bits(weights(run), straight[0])
    assert result.metrics == straight[2].metrics
    assert comparable(rows_of(tmp_path)) == straight[1]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "muon"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"micro_batch_size": 3},
        {"activation_checkpointing": True},
        {"schedule": "wsd", "z_loss": 1e-3},
    ],
)
def test_every_way_of_training_resumes_exactly(tmp_path, settings):
    whole = trainer(steps=12, **settings)
    whole.run()
    trainer(tmp_path, steps=12, **settings).run(stop_at=7)
    again = trainer(tmp_path, steps=12, **settings)
    again.run()
    assert same_bits(weights(again), weights(whole))


def test_a_run_without_a_folder_goes_on_in_memory(straight):
    run = trainer()
    run.run(stop_at=11)
    assert run.step == 11
    run.run()
    assert same_bits(weights(run), straight[0])


def test_randomness_in_the_model_resumes_too(tmp_path):
    def shaky(run):
        hook = torch.nn.Dropout(0.2)
        model = run.parts.model
        model.model.embed_tokens.register_forward_hook(
            lambda module, args, out: hook(out) if model.training else out
        )
        return run

    given = {"heldout": heldout}
    whole = shaky(trainer(given=given, eval_every=5))
    whole.run()
    shaky(trainer(tmp_path, given, eval_every=3)).run(stop_at=8)
    torch.rand(100)
    again = shaky(trainer(tmp_path, given))
    again.run()
    assert same_bits(weights(again), weights(whole))


def test_looking_does_not_change_the_run(straight):
    modes = []

    def evaluate(model):
        modes.append((model.training, torch.is_grad_enabled()))
        return {"luck": torch.rand(()).item() + random.random()}

    def sample(model):
        model.eval()
        torch.manual_seed(5)
        return ["text"]

    given = {"evaluate": evaluate, "sample": sample, "heldout": heldout}
    run = trainer(given=given, eval_every=3, sample_every=2)
    run.run()
    assert same_bits(weights(run), straight[0])
    assert modes == [(False, False)] * 11  # before the first, and ten times
    assert run.parts.model.training


def test_rows_of_evaluation_and_samples_come_when_due(tmp_path):
    given = {
        "evaluate": lambda model: {"bits": 1.5},
        "sample": lambda model: ["a", "b"],
    }
    trainer(tmp_path, given, eval_every=10, sample_every=15).run()
    looks = rows_of(tmp_path, "eval")
    assert [row["step"] for row in looks] == [0, 10, 20, 30]
    assert looks[0] == {"kind": "eval", "step": 0, "bits": 1.5}
    samples = rows_of(tmp_path, "sample")
    assert [row["step"] for row in samples] == [0, 15, 30]
    assert samples[0]["samples"] == ["a", "b"]


def test_zero_means_only_at_the_end(tmp_path):
    given = {
        "evaluate": lambda model: {"bits": 1.5},
        "sample": lambda model: ["a"],
    }
    trainer(tmp_path, given).run()
    assert [row["step"] for row in rows_of(tmp_path, "eval")] == [30]
    trainer(tmp_path / "looked", given, eval_every=10).run()
    samples = rows_of(tmp_path / "looked", "sample")
    assert [row["step"] for row in samples] == [30]
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [
        "step-00000030.safetensors"
    ]


def test_an_error_while_looking_brings_the_mode_back():
    def evaluate(model):
        raise RuntimeError("no texts")

    run = trainer(given={"evaluate": evaluate})
    with pytest.raises(RuntimeError, match="no texts"):
        run.run()
    assert run.parts.model.training


def test_checkpoints_come_when_due_and_rotate(tmp_path):
    run = trainer(tmp_path, checkpoint_every=7, keep_checkpoints=2)
    run.run()
    assert run.store.steps() == [28, 30]
    state = load_model_state(run.store.path(30))
    assert torch.equal(state["model.norm.weight"], weights(run)[-1])


def test_a_resumed_log_has_each_step_once(tmp_path):
    run = trainer(tmp_path, checkpoint_every=10)
    run.run(stop_at=17)
    run.store.path(17).unlink()  # as if killed after 17, saved at 10
    trainer(tmp_path, checkpoint_every=10).run()
    assert [r["step"] for r in rows_of(tmp_path)] == list(range(1, 31))
    told = [row for row in events(tmp_path) if row[0] != "checkpoint"]
    assert told == [("start", 0), ("resume", 10), ("done", 30)]


def test_a_finished_run_is_not_trained_again(tmp_path, straight):
    first = trainer(tmp_path, {"heldout": heldout})
    first.run()
    written = first.store.path(30).stat().st_mtime_ns
    again = trainer(tmp_path, {"heldout": heldout})
    result = again.run()
    assert (result.status, result.step) == ("done", 30)
    assert again.store.path(30).stat().st_mtime_ns == written
    assert again.loader.state_dict()["step"] == 30
    assert result.metrics == straight[2].metrics
    assert result.tokens == 1920
    assert same_bits(weights(again), straight[0])


def test_a_log_without_checkpoint_is_begun_anew_and_says_so(tmp_path):
    run = trainer(tmp_path)
    run.run(stop_at=4)
    run.store.path(4).unlink()
    trainer(tmp_path).run(stop_at=6)
    first = rows_of(tmp_path, "event")[0]
    assert first["event"] == "start"
    assert "6 rows of an attempt without checkpoint dropped" in first["message"]
    assert [r["step"] for r in rows_of(tmp_path)] == list(range(1, 7))


def test_an_older_step_can_be_taken_up(tmp_path, straight):
    run = trainer(tmp_path, checkpoint_every=10)
    run.run(stop_at=25)
    again = trainer(tmp_path, checkpoint_every=10)
    result = again.run(from_step=10, stop_at=12)
    assert result.step == 12
    assert again.store.steps() == [10, 12]
    aside = sorted(p.name for p in again.store.folder.glob("aside-*"))
    assert aside == [
        "aside-step-00000020.safetensors",
        "aside-step-00000025.safetensors",
    ]
    again.run()
    assert same_bits(weights(again), straight[0])


def test_a_run_that_goes_on_can_go_back_too(tmp_path):
    run = trainer(tmp_path, checkpoint_every=10)
    run.run(stop_at=20)
    assert run.run(from_step=10, stop_at=11).step == 11


def test_a_resumed_watch_knows_what_was_usual(tmp_path):
    def install(parts):
        count = iter(range(1000))

        def loss(model, batch):
            bad = next(count) == 1
            return token_loss(model, batch) * (5.0 if bad else 1.0)

        return replace(parts, loss=loss)

    trainer(tmp_path).run(stop_at=20)
    trainer(tmp_path, {"install": install}).run(stop_at=24)
    assert ("spike", 22) in events(tmp_path)


def test_an_error_leaves_no_thread_behind():
    def install(parts):
        def update(parts):
            raise RuntimeError("no update today")

        return replace(parts, update=update)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no update today") as caught:
        trainer(given={"install": install}).run()
    assert threading.active_count() == before
    assert caught.tb is not None  # frames of the run are still alive


def test_a_step_that_was_never_saved_is_refused(tmp_path):
    trainer(tmp_path).run(stop_at=5)
    with pytest.raises(CheckpointError, match=r"no checkpoint .*\[5\]"):
        trainer(tmp_path).run(from_step=4)
    with pytest.raises(ValueError, match="needs a folder"):
        trainer().run(from_step=4)


def test_other_settings_are_refused_with_what_differs(tmp_path):
    trainer(tmp_path).run(stop_at=5)
    with pytest.raises(ValueError, match=r"lr: 0.005 -> 0.01.*another folder"):
        trainer(tmp_path, lr=0.01).run()
    trainer(tmp_path, log_every=3, checkpoint_every=2).run(stop_at=8)


def test_other_data_are_refused(tmp_path):
    model, _, config = small()
    trainer(tmp_path).run(stop_at=5)
    from run_small import tokens

    loader = TokenLoader(tokens(3), batch_size=4, context=16, seed=0)
    with pytest.raises(ValueError, match="another loader"):
        Trainer(model, loader, config, tmp_path).run()


def test_another_machine_is_told(tmp_path, monkeypatch):
    trainer(tmp_path).run(stop_at=5)
    monkeypatch.setattr(session, "describe_machine", lambda device: "an abacus")
    trainer(tmp_path).run(stop_at=6)
    said = [r["message"] for r in rows_of(tmp_path, "event")]
    assert any("not bit for bit" in s and "an abacus" in s for s in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_step(tmp_path, straight, number):
    def send(parts):
        def update(parts_):
            if parts_.optimizer.state_dict()["state"][0]["step"] == 9:
                os.kill(os.getpid(), number)  # in the middle of step 10
            return parts.update(parts_)

        def wait(parts_):
            started = parts_.optimizer.state_dict()["state"]
            return update(parts_) if started else parts.update(parts_)

        return replace(parts, update=wait)

    result = trainer(tmp_path, {"install": send}).run()
    assert (result.status, result.signal) == ("interrupted", number)
    assert result.step == 10
    assert "signal" in result.message
    again = trainer(tmp_path)
    again.run()
    assert same_bits(weights(again), straight[0])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_weights(
    tmp_path, value
):
    def install(parts):
        count = iter(range(1000))

        def loss(model, batch):
            bad = next(count) == 12
            return token_loss(model, batch) * (value if bad else 1.0)

        return replace(parts, loss=loss)

    run = trainer(tmp_path, {"install": install})
    result = run.run()
    assert (result.status, result.step) == ("diverged", 12)
    assert f"the loss is {value} at step 12" in result.message
    assert "Gradients that are not finite" in result.message
    assert "lower lr" in result.message
    assert "[12]" in result.message
    healthy = trainer()
    healthy.run(stop_at=12)
    saved = load_model_state(run.store.path(12))
    names = dict(healthy.parts.model.named_parameters())
    assert all(torch.equal(saved[n], p) for n, p in names.items())
    assert events(tmp_path)[-1] == ("diverged", 12)


def test_spikes_are_told_and_many_in_a_row_end_the_run(tmp_path):
    def install(parts):
        count = iter(range(1000))

        def loss(model, batch):
            bad = next(count) >= 20
            return token_loss(model, batch) * (5.0 if bad else 1.0)

        return replace(parts, loss=loss)

    run = trainer(
        tmp_path, {"install": install}, patience=4, checkpoint_every=10
    )
    result = run.run()
    assert (result.status, result.step) == ("diverged", 24)
    assert "for 4 steps" in result.message
    assert run.store.steps() == [10, 20]  # nothing is saved over what is good
    spikes = [step for event, step in events(tmp_path) if event == "spike"]
    assert spikes == [21, 22, 23, 24]
    given = {"install": install}
    assert trainer(given=given, patience=0).run().status == "done"


def test_a_run_under_suspicion_keeps_its_good_checkpoints(tmp_path):
    def install(parts):
        count = iter(range(1000))

        def loss(model, batch):
            bad = next(count) >= 20
            return token_loss(model, batch) * (5.0 if bad else 1.0)

        return replace(parts, loss=loss)

    run = trainer(
        tmp_path,
        {"install": install},
        steps=60,
        patience=30,
        checkpoint_every=5,
    )
    assert run.run().status == "diverged"
    assert run.store.steps() == [10, 15, 20]


def test_an_overflow_in_fp16_is_told_and_not_averaged(tmp_path):
    def install(parts):
        count = iter(range(1000))

        def loss(model, batch):
            bad = next(count) == 3
            return token_loss(model, batch) * (1e37 if bad else 1.0)

        return replace(parts, loss=loss)

    result = trainer(
        tmp_path, {"install": install}, precision="fp16", steps=8
    ).run()
    assert result.status == "done"
    assert ("skipped", 4) in events(tmp_path)
    assert [r["step"] for r in rows_of(tmp_path)] == [1, 2, 3, 5, 6, 7, 8]
    assert all(math.isfinite(row["loss"]) for row in rows_of(tmp_path))
    assert result.tokens == 7 * 64


def full(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_and_training_goes_on(
    tmp_path, straight, monkeypatch
):
    def report(row):
        if row["kind"] == "train" and row["step"] == 15:
            monkeypatch.undo()  # somebody makes room

    monkeypatch.setattr(store_module, "write_state", full)
    run = trainer(tmp_path, {"report": report}, checkpoint_every=5)
    assert run.run().status == "done"
    assert same_bits(weights(run), straight[0])
    failed = [r for r in rows_of(tmp_path, "event") if "failed" in r["event"]]
    assert 1 <= len(failed) <= 3
    assert "No space left" in failed[0]["message"]
    assert run.store.steps() == [20, 25, 30]


def test_a_last_save_that_fails_is_an_error(tmp_path, monkeypatch):
    trainer(tmp_path).run(stop_at=8)
    monkeypatch.setattr(store_module, "write_state", full)
    with pytest.raises(OSError, match=r"step 30.*No space left.*\[8\]"):
        trainer(tmp_path).run()
    monkeypatch.undo()
    again = trainer(tmp_path)
    assert again.run().status == "done"


def test_rows_that_waited_are_written_at_the_end(tmp_path, monkeypatch):
    def report(row):
        if row.get("event") == "done":
            monkeypatch.undo()  # somebody makes room, after the last row

    monkeypatch.setattr(MetricsLog, "_flush", full)
    trainer(tmp_path, {"report": report}).run()
    assert [row["step"] for row in rows_of(tmp_path)] == list(range(1, 31))
    assert events(tmp_path) == [("start", 0), ("done", 30)]


def test_a_last_save_that_failed_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "write_state", full)
    run = trainer(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        run.run()
    monkeypatch.undo()  # somebody makes room
    assert run.run().status == "done"
    assert run.store.steps() == [30]


def test_a_failed_save_is_told_before_the_next_is_due(tmp_path, monkeypatch):
    def report(row):
        if row["kind"] == "train" and row["step"] == 11:
            assert run.store._written.exception(timeout=60)
            monkeypatch.undo()

    monkeypatch.setattr(store_module, "write_state", full)
    run = trainer(tmp_path, {"report": report}, checkpoint_every=10)
    run.run(stop_at=13)
    assert ("checkpoint_failed", 11) in events(tmp_path)


def test_a_damaged_checkpoint_stops_with_a_way_out(tmp_path, straight):
    run = trainer(tmp_path, checkpoint_every=10)
    run.run(stop_at=20)
    path = run.store.path(20)
    path.write_bytes(path.read_bytes()[:-1])
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"is damaged.*--from-step 10"):
        trainer(tmp_path).run()
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    again = trainer(tmp_path)
    again.run(from_step=10)
    assert same_bits(weights(again), straight[0])


def test_a_run_computes_on_the_threads_it_asks_for():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        trainer(threads=None)
        assert torch.get_num_threads() == 2
        trainer(threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_bug_is_installed_by_its_name():
    healthy, sick = trainer(steps=5), trainer(steps=5, bug="no-zero-grad")
    healthy.run(), sick.run()
    assert not same_bits(weights(healthy), weights(sick))
    with pytest.raises(ValueError, match="no_such_bug"):
        trainer(bug="no_such_bug")


def test_a_step_is_made_of_few_calls(monkeypatch):
    """Beside the step itself the trainer does next to nothing."""
    calls = []
    for name in ("tell_event", "describe_machine", "rng_state"):
        real = getattr(session, name)
        monkeypatch.setattr(
            session,
            name,
            lambda *a, real=real, name=name, **k: (
                calls.append(name) or real(*a, **k)
            ),
        )
    run = trainer(log_every=30)
    run.run()
    assert calls.count("rng_state") == 0
    assert calls.count("describe_machine") == 0
    assert calls.count("tell_event") == 2


def compiled_resume():
    settings = {"compile": True, "precision": "bf16", "steps": 10}
    whole = trainer(**settings)
    whole.run()
    with tempfile.TemporaryDirectory() as name:
        trainer(Path(name), **settings).run(stop_at=6)
        again = trainer(Path(name), **settings)
        again.run()
    assert same_bits(weights(again), weights(whole))


@pytest.mark.slow
def test_a_compiled_run_resumes_exactly(tmp_path):
    in_clean_process(tmp_path, compiled_resume)

"""A process that is killed again and again, and what it leaves."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from run_small import child, same_bits, small, weights

from llm_from_scratch.core.metrics import read_metrics
from llm_from_scratch.train.checkpoint import load_model_state
from llm_from_scratch.train.store import CheckpointStore
from llm_from_scratch.train.trainer import Trainer

STEPS = 240
SETTINGS = {"steps": STEPS, "checkpoint_every": 7, "eval_every": 50}
# A server that has imported everything forks each child from itself.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["run_small"])


def start(folder: Path):
    process = SERVER.Process(target=child, args=(str(folder), SETTINGS))
    process.start()
    return process


def log_size(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.stat().st_size if path.exists() else 0


def wait_for_steps(folder: Path, process, size: int) -> None:
    """Until the child has written something more."""
    before = log_size(folder)
    while process.is_alive() and log_size(folder) in range(
        before, before + size
    ):
        time.sleep(0.002)


def kills(folder: Path, times: int, seed: int) -> list[int | None]:
    """End children at random moments, the last one not; their exit codes."""
    rng, codes = random.Random(seed), []
    store = CheckpointStore(folder / "checkpoints")
    for number in range(times):
        process = start(folder)
        wait_for_steps(folder, process, 1)
        time.sleep(rng.uniform(0.0, 0.3))
        how = signal.SIGTERM if number % 3 == 2 else signal.SIGKILL
        if process.is_alive():
            os.kill(process.pid, how)
        process.join(60)
        codes.append(process.exitcode)
        for step in store.steps():
            store.load(step)  # all that are there are whole
    process = start(folder)
    process.join(120)
    return [*codes, process.exitcode]


def check(folder: Path) -> None:
    """The folder ends as that of a run that nobody disturbed."""
    whole = Trainer(*small(steps=STEPS))
    whole.run()
    store = CheckpointStore(folder / "checkpoints")
    assert store.latest() == STEPS
    state = load_model_state(store.path(STEPS))
    names = dict(whole.parts.model.named_parameters())
    assert same_bits([state[name] for name in names], weights(whole))
    rows = read_metrics(folder / "metrics.jsonl")
    steps = [row["step"] for row in rows if row["kind"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    assert not list((folder / "checkpoints").glob(".*"))


@pytest.mark.parametrize(
    ("times", "seed"), [(4, 1), pytest.param(10, 2, marks=pytest.mark.slow)]
)
def test_a_killed_run_ends_with_the_same_bits(tmp_path, times, seed):
    codes = kills(tmp_path, times, seed)
    assert codes[-1] == 0
    assert set(codes) <= {-9, -15, 143, 0}
    assert codes.count(-9) >= 2
    check(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_sees_the_signal_in_the_exit_code(tmp_path, number):
    process = start(tmp_path)
    wait_for_steps(tmp_path, process, 3000)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    step = CheckpointStore(tmp_path / "checkpoints").latest()
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert (rows[-1]["event"], rows[-1]["step"]) == ("interrupted", step)
    assert rows[-2]["step"] == step

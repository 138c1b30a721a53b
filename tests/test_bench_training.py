"""The arithmetic of the benchmark of training, and nanoGPT's loop."""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    """Let the tests import what is no package."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])


@pytest.fixture
def bench():
    import bench_training

    return bench_training


def turns(*pairs):
    return [{"step": s, "seconds": t, "cpu": t} for s, t in pairs]


def test_shard_rates_are_medians_and_shares_of_pairs(bench):
    times = {"tokenizer": (1.0, 2.0, 4.0), "shards": (2.0, 2.0, 5.0)}
    rows = [
        {"way": way, "threads": 1, "seconds": seconds}
        for way, all_of_it in times.items()
        for seconds in all_of_it
    ]
    [found] = bench.shard_rates(rows, 10_000_000)
    assert found["tokenizer"] == 5.0  # 10 MB in the median 2 s
    assert found["shards"] == 5.0
    assert found["share"] == 0.8  # of 0.5, 1 and 0.8


def test_per_step_divides_by_steps_and_leaves_out_the_first(bench):
    rows = turns((1, 0.0), (5, 2.0), (5, 2.0), (7, 5.0))
    assert bench.per_step(rows) == [0.5, 1.5]


def test_overheads_compare_turns_of_equal_threads(bench):
    rows = [
        {"way": "bare", "threads": 1, "turns": turns((1, 0), (3, 2), (5, 4))},
        {
            "way": "trainer",
            "threads": 1,
            "turns": turns((1, 0), (3, 2.2), (5, 4.2)),
        },
    ]
    [found] = bench.overheads(rows)
    assert found["seconds"]["overhead"] == pytest.approx(0.05)
    assert found["seconds"]["turns"] == 2


def test_race_is_read_between_two_looks(bench):
    rows = [
        {
            "name": "ours",
            "tokens_per_step": 10,
            "turns": [
                {
                    "step": step,
                    "seconds": seconds,
                    "bits_per_byte": {"a": bits, "b": bits + 1},
                }
                for step, seconds, bits in ((1, 0, 4), (3, 4, 2), (5, 8, 1))
            ],
        }
    ]
    [found] = bench.race_table(rows, 8)
    assert found["at"] == {"0.125": 4.0, "0.25": 3.5, "0.5": 2.5, "1": 1.5}
    assert found["final_mean"] == 1.5
    assert found["tokens"] == 50
    assert found["tokens_per_second"] == 6


def test_clock_stands_still_while_others_run(monkeypatch):
    from peers import race

    now = itertools.count(0, 1.0)  # one second between any two looks
    monkeypatch.setattr(race.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(race.time, "process_time", lambda: 0.0)
    rows = []

    def over(row):
        rows.append(row)
        for _ in range(100):
            next(now)
        return 2.0

    clock = race.Clock(over, lambda: {"a": 1.0}, steps=5)
    for step in range(1, 6):
        clock(step, float(step))
    assert [row["step"] for row in rows] == [1, 3, 5]
    assert [row["seconds"] for row in rows] == [0.0, 2.0, 4.0]
    assert [row["loss"] for row in rows] == [1.0, 2.5, 4.5]


def test_held_bits_are_those_of_every_window():
    from peers import race

    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 7, 40)  # 4 windows of 9, and 3 tokens over
    table = torch.randn(7, 7, generator=torch.Generator().manual_seed(0))

    def loss_of(x, y):
        return F.cross_entropy(table[x].flatten(0, 1), y.flatten())

    found = race.held_bits(loss_of, {"a": (tokens, 78)}, 9)
    x, y = torch.from_numpy(tokens[:36]), torch.from_numpy(tokens[1:37])
    nats = F.cross_entropy(table[x], y, reduction="sum").item()
    assert found["a"] == pytest.approx(nats / math.log(2) / 72, abs=1e-3)


def test_batches_are_windows_and_what_follows():
    from peers import loop

    data = np.arange(100, dtype=np.uint16)
    torch.manual_seed(0)
    x, y = loop.get_batch(data, 50, 90)
    assert x.shape == (50, 90)
    assert torch.equal(x + 1, y)
    assert x[:, 0].min() == 0
    assert y[:, -1].max() == 99


def test_learning_rate_warms_up_and_falls_to_a_tenth():
    from peers import loop

    config = loop.LoopConfig(steps=1000, batch_size=1, context=1, lr=1.0)
    rates = [loop.get_lr(step, config) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / 101)
    assert max(rates) == rates[100] == 1.0
    assert rates[550] == pytest.approx(0.55)
    assert rates[1000] == pytest.approx(0.1)


def test_the_peer_learns_a_line_of_numbers():
    from peers import loop

    sizes = {"vocab": 16, "width": 16, "layers": 1, "heads": 2, "context": 8}
    config = loop.LoopConfig(
        steps=60, batch_size=8, context=8, lr=1e-2, bf16=False, compile=False
    )
    losses = []
    loop.train(
        loop.make_gpt(sizes, 0),
        np.arange(400, dtype=np.uint16) % 16,
        config,
        lambda step, loss: losses.append((step, loss)),
    )
    assert losses[0][0] == 1
    assert losses[-1][0] == 60
    assert losses[0][1] == pytest.approx(math.log(16), abs=0.3)
    assert losses[-1][1] < 0.5


def test_folder_of_a_run_is_read(bench, tmp_path):
    rows = [
        {
            "kind": "train",
            "step": step,
            "tokens": 10 * step,
            "seconds": float(step),
            "tokens_per_second": rate,
            "mfu": 0.25,
        }
        for step, rate in ((1, 1.0), (2, 10.0), (3, 10.0), (4, 12.0))
    ]
    rows.insert(2, {"kind": "eval", "step": 2, "bits_per_byte": 2.0})
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    (tmp_path / "config.toml").write_text("[train]\nsteps = 4\n")
    (tmp_path / "seconds.json").write_text('{"corpus": 1.0}')
    (tmp_path / "evaluation.json").write_text('{"facts": {}}')
    found = bench.read_run(tmp_path)
    assert found["steps"] == 4
    assert found["tokens"] == 40
    assert found["tokens_per_second"] == 10
    assert found["stage_seconds"] == {"corpus": 1.0}
    assert [row["step"] for row in found["curve"]] == [2]


def test_a_failure_in_a_process_is_told(bench):
    def fail(task, over):
        raise ValueError("this is what went wrong")

    with (
        pytest.raises(RuntimeError, match="went wrong"),
        bench.runners({"a": (fail, {"quick": False})}) as started,
    ):
        started[0].turn(True)


def test_processes_take_turns_until_all_have_ended(bench):
    def count(task, over):
        for number in range(task["count"]):
            over({"number": number})

    tasks = {
        name: (count, {"quick": False, "count": n})
        for name, n in (("a", 3), ("b", 1))
    }
    with bench.runners(tasks) as started:
        bench.take_turns(started, 1.0)
    numbers = [[row["number"] for row in one.rows] for one in started]
    assert numbers == [[0, 1, 2], [0]]


def test_adamw_steps_at_the_tuned_rate_and_muon_at_its_own(bench, tmp_path):
    from types import SimpleNamespace

    options = SimpleNamespace(out=tmp_path)
    assert bench.tuned(options) is None
    found = json.dumps({"tune": {"lr": 0.5}})
    (tmp_path / "training.json").write_text(found)
    lr = bench.tuned(options)
    settings = {
        name: bench.settings_of(spec, False, lr)
        for name, spec in bench.SYSTEMS.items()
    }
    assert settings["ours"] == {}
    assert settings["ours, AdamW"]["lr"] == settings["nanoGPT"]["lr"] == 0.5
    assert bench.SYSTEMS["nanoGPT"]["settings"]["lr"] != 0.5


def test_two_processes_run_abreast(bench):
    def count(task, over):
        for number in range(task["count"]):
            over({"number": number})

    tasks = {
        name: (count, {"quick": False, "count": n})
        for name, n in (("a", 1), ("b", 2))
    }
    with bench.runners(tasks) as started:
        bench.abreast(started, 1.0)
    assert [len(one.rows) for one in started] == [1, 2]

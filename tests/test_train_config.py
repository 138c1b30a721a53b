"""Settings of a run: what is refused, and what may change."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest

from llm_from_scratch.train.config import TrainConfig, changes

ROOT = Path(__file__).resolve().parents[1]
GOOD = TrainConfig(steps=10)
MAY_CHANGE = (
    *("log_every", "eval_every", "sample_every", "checkpoint_every"),
    *("keep_checkpoints", "patience", "threads", "device"),
)


def test_tokens_are_steps_times_batch_times_context():
    config = TrainConfig(steps=7, batch_size=3, context=11)
    assert config.tokens == 231


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("steps", 0, "steps must be an int of at least 1, got 0"),
        ("steps", True, "steps must be an int of at least 1, got True"),
        ("batch_size", -2, "batch_size must be an int of at least 1"),
        ("context", -1, "context must be an int of at least 1, got -1"),
        ("log_every", 0, "log_every must be an int of at least 1"),
        (
            "keep_checkpoints",
            0,
            "keep_checkpoints must be an int of at least 1",
        ),
        ("eval_every", -1, "eval_every must be an int of at least 0"),
        ("patience", -3, "patience must be an int of at least 0"),
        ("micro_batch_size", 0, "micro_batch_size must be an int of at least"),
        ("threads", 0, "threads must be an int of at least 1"),
        ("lr", 0.0, "lr must be above 0 and finite, got 0.0"),
        ("lr", float("nan"), "lr must be above 0 and finite, got nan"),
        ("lr", float("inf"), "lr must be above 0 and finite, got inf"),
        ("clip_norm", -1.0, "clip_norm must be at least 0"),
        ("z_loss", -1e-4, "z_loss must be at least 0"),
        ("eps", -1.0, "eps must be at least 0"),
        ("weight_decay", -0.1, "weight_decay must be at least 0"),
        ("warmup_fraction", 1.5, "warmup_fraction must be at least 0 and at"),
        ("final_fraction", -0.1, "final_fraction must be at least 0"),
        (
            "decay_fraction",
            2.0,
            "decay_fraction must be at least 0 and at most 1",
        ),
        ("betas", (0.9, 1.0), "betas must be at least 0"),
        ("seed", -1, "seed must be an int of at least 0, got -1"),
        ("optimizer", "sgd", "optimizer must be one of adamw, muon, got 'sgd'"),
        ("schedule", "step", "schedule must be one of cosine, wsd"),
        ("precision", "int8", "precision must be one of fp32, bf16, fp16"),
    ],
)
def test_nonsense_is_refused_by_name(setting, value, said):
    with pytest.raises(ValueError, match=said):
        replace(GOOD, **{setting: value})


def test_a_configuration_does_not_change():
    with pytest.raises(FrozenInstanceError):
        GOOD.lr = 1.0


def test_zero_and_none_mean_off():
    config = replace(
        GOOD, clip_norm=0.0, patience=0, eval_every=0, threads=None
    )
    assert config.clip_norm == config.patience == 0


def test_only_what_moves_weights_counts_as_a_change():
    other = replace(GOOD, lr=0.5, log_every=7, threads=2, eval_every=3)
    assert changes(asdict(GOOD), other) == ["lr: 0.001 -> 0.5"]
    assert changes(asdict(GOOD), GOOD) == []


@pytest.mark.parametrize("name", asdict(GOOD))
def test_each_setting_either_moves_weights_or_not(name):
    saved = asdict(GOOD) | {name: "another"}
    said = [f"{name}: 'another' -> {getattr(GOOD, name)!r}"]
    assert changes(saved, GOOD) == ([] if name in MAY_CHANGE else said)


def test_a_setting_that_a_checkpoint_did_not_know_counts():
    old = asdict(GOOD)
    del old["schedule"]
    assert changes(old, GOOD) == ["schedule: None -> 'cosine'"]


def test_nonsense_of_another_type_is_refused_where_nothing_checks_types():
    code = """if True:
        from llm_from_scratch.train.config import TrainConfig
        for wrong in ({"betas": (0.9,)}, {"betas": (0.9,) * 3}, {"seed": "x"}):
            try:
                TrainConfig(steps=1, **wrong)
            except ValueError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:-1] == [
        "betas must be two numbers, got (0.9,)",
        "betas must be two numbers, got (0.9, 0.9, 0.9)",
        "seed must be an int of at least 0, got 'x'",
    ]

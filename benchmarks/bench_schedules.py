"""Four schedules at three lengths, and bfloat16 at a higher rate.

    python benchmarks/bench_schedules.py           all of it, 7 minutes
    python benchmarks/bench_schedules.py --resume  what the file lacks
    python benchmarks/bench_schedules.py --quick   few steps, stores nothing

Writes results/schedules.json: held-out bits per byte of three seeds, by
length, schedule and peak rate. The file is written after each rate, so that
--resume continues a sweep that was cut off. The model, its training and the
runs in bfloat16 are not written again here: they are cells of the chapter.
"""

import argparse
import itertools
import json
import math
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "chapters" / "15_schedules_batch_precision.md"
RESULT = ROOT / "benchmarks" / "results" / "schedules.json"
sys.path.insert(0, str(ROOT))

import jupytext  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.peers.machine import machine  # noqa: E402
from llm_from_scratch.train.gradients import clip_grad_norm_  # noqa: E402
from llm_from_scratch.train.precision import autocast  # noqa: E402
from llm_from_scratch.train.schedule import Schedule, set_lr  # noqa: E402

CELLS = ("def small_model(", "def grouped(", "def go(", "def trained_in(")
KINDS = ("constant", "linear", "cosine", "wsd")
RATES = (2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 12e-3, 16e-3)
LENGTHS = (150, 400, 600)
AROUND = {  # at 400 and 600 steps
    "constant": RATES[:4],
    "linear": RATES[1:6],
    "cosine": RATES[1:6],
    "wsd": RATES[:4],
}
SEEDS = range(3)
PARTS = (*map(str, LENGTHS), "bfloat16")
HIGHER = 6e-3  # the peak rate of the runs in bfloat16


def from_the_chapter() -> dict:
    """The names that the chapter's cells define."""
    names = {
        "math": math,
        "np": np,
        "torch": torch,
        "Schedule": Schedule,
        "set_lr": set_lr,
        "clip_grad_norm_": clip_grad_norm_,
        "autocast": autocast,
    }
    cells = [c.source for c in jupytext.read(CHAPTER).cells]
    for start in CELLS:
        [cell] = [source for source in cells if start in source]
        exec(cell, names)
    return names


def at_rate(names: dict, kind: str, lr: float, steps: int) -> list[float]:
    """Bits per byte of a schedule at one peak rate, three seeds."""
    rule = Schedule(kind=kind, max_lr=lr, steps=steps)
    runs = [names["go"](names["Run"](seed), rule) for seed in SEEDS]
    bits = [round(run.bits(), 4) for run in runs]
    print(f"{steps} {kind:9}{lr:.3f} {np.mean(bits):.3f}", flush=True)
    return bits


def in_bfloat16(names: dict, quick: bool) -> dict:
    """Bits per byte and norm weights that moved, at the higher rate."""
    steps = 2 if quick else names["PURE_STEPS"]
    names["PURE_STEPS"] = steps
    names["gentle"] = Schedule(max_lr=HIGHER, steps=steps)
    found: dict = {"rate": HIGHER}
    for mode in ("float32", "pure"):
        runs = [names["trained_in"](mode, seed) for seed in SEEDS]
        found[mode] = {
            "bits": [round(run[0], 4) for run in runs],
            "norm_weights_moved": [run[1] for run in runs],
        }
        print(mode, found[mode], flush=True)
    return found


def write(found: dict) -> None:
    """Store what has been measured so far."""
    result = {
        "command": "python benchmarks/bench_schedules.py",
        "machine": machine(["torch", "numpy"]),
        **{part: found[part] for part in PARTS if part in found},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names, quick, found = from_the_chapter(), arguments.quick, {}
    if arguments.resume and RESULT.exists():
        found = json.loads(RESULT.read_text())
    for steps, kind in itertools.product(LENGTHS, KINDS):
        scores = found.setdefault(str(steps), {}).setdefault(kind, {})
        for lr in RATES if steps == LENGTHS[0] else AROUND[kind]:
            if f"{lr:.3f}" not in scores:
                length = 2 if quick else steps
                scores[f"{lr:.3f}"] = at_rate(names, kind, lr, length)
                if not quick:
                    write(found)
    if "bfloat16" not in found:
        found["bfloat16"] = in_bfloat16(names, quick)
        if not quick:
            write(found)


if __name__ == "__main__":
    main()

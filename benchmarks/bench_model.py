"""Our model beside `transformers` and nanoGPT: training steps and tokens.

    python benchmarks/bench_model.py                all of it, 20-25 minutes
    python benchmarks/bench_model.py --rounds 3     fewer rounds
    python benchmarks/bench_model.py --quick        tiny sizes, one round
    python benchmarks/bench_model.py --only levers  training, levers, parts
                                                    or generation alone
    python benchmarks/bench_model.py --cuda 124M    a GPU: prints, stores not

Every setting has a process of its own, which builds its model, compiles and
warms up, and then makes one step each time it is told to. The settings take
turns, round after round, one step at a time, so that a busy minute hits them
all; start-up, compilation and warm-up are outside of every time. Peak memory
is that of the timed steps. Results go to benchmarks/results/model_*.json,
from which the book prints.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SIZES = dict(
    vocab=8192, width=320, hidden=896, layers=6, heads=5, context=256, batch=16
)
SIZES |= dict(prompt=16, new=128)
TINY = dict(
    vocab=512, width=64, hidden=128, layers=2, heads=2, context=64, batch=2
)
TINY |= dict(prompt=4, new=12)
GPU = {
    "124M": dict(width=768, hidden=2048, layers=12, heads=12),
    "350M": dict(width=1024, hidden=2816, layers=24, heads=16),
    "tiny": dict(TINY),
}


def spec(system, precision, **more):
    return {"system": system, "precision": precision, **more}


TRAINING = [
    spec("ours", "fp32"),
    spec("ours", "medium"),
    spec("ours", "medium", compile=True),
    spec("ours", "bf16"),
    spec("ours", "bf16", compile=True),
    spec("hf", "fp32", attention="sdpa", default=True),
    spec("hf", "fp32", attention="eager"),
    spec("hf", "medium", attention="sdpa"),
    spec("hf", "medium", attention="sdpa", compile=True),
    spec("hf", "bf16", attention="sdpa"),
    spec("hf", "bf16", attention="eager"),
    spec("hf", "bf16", attention="sdpa", compile=True),
    spec("hf", "bf16", attention="eager", compile=True),
    spec("hf", "bf16", attention="eager", compile="max-autotune"),
    spec("hf", "bf16 weights", attention="eager", compile=True),
    spec("nanogpt", "fp32", default=True),
    spec("nanogpt", "bf16"),
    spec("nanogpt", "bf16", compile=True),
]
# One lever at a time: put to a plain step, and taken from the full one.
PLAIN = spec(
    "ours", "fp32", head="plain", attention="fused", adamw="loop", lever="none"
)
FULL = spec("ours", "bf16", compile=True, lever="all")
LEVERS = [
    PLAIN,
    PLAIN | {"precision": "medium", "lever": "+ medium"},
    PLAIN | {"precision": "bf16", "lever": "+ bf16"},
    PLAIN | {"compile": True, "lever": "+ compile"},
    PLAIN | {"head": "chunked", "lever": "+ head"},
    PLAIN | {"adamw": "fused", "lever": "+ optimizer"},
    FULL,
    FULL | {"precision": "medium", "lever": "- bf16"},
    FULL | {"compile": False, "lever": "- compile"},
    FULL | {"attention": "fused", "lever": "- attention"},
    FULL | {"head": "plain", "lever": "- head"},
    FULL | {"adamw": "loop", "lever": "- optimizer"},
]
FAST = [
    spec("ours", "fp32"),
    spec("ours", "bf16"),
    spec("ours", "fp32", way="compiled"),
    spec("ours", "bf16", way="compiled"),
    spec("hf", "fp32", attention="sdpa", default=True),
    spec("hf", "fp32", attention="eager"),
    spec("hf", "bf16", attention="sdpa"),
    spec("hf", "bf16", attention="eager"),
    spec("hf", "fp32", attention="sdpa", way="static"),
    spec("hf", "bf16", attention="eager", way="static compiled"),
    spec("hf", "fp32", attention="sdpa", way="static compiled frozen"),
    spec("hf", "bf16", attention="sdpa", way="static compiled frozen"),
    spec("hf", "bf16", attention="eager", way="static compiled frozen"),
    spec("hf", "bf16", attention="eager", way="static compiled frozen wrapped"),
]


# --- one process


def memory_mb(name="VmHWM"):
    """Peak (VmHWM) or present (VmRSS) memory of this process, in MB."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = status.read_text().splitlines()
    return next(int(x.split()[1]) / 1024 for x in lines if x.startswith(name))


def forget_peak():
    """Let the peak count from here; Linux only."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def worker(task):
    """Build what `task` says, then obey lines of standard input."""
    out, sys.stdout = sys.stdout, sys.stderr
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    import torch

    torch.set_num_threads(task["threads"])
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.enable_grad():
        if task["kind"] == "training":
            from peers.training import Training

            case = Training(task["spec"], task["sizes"])
        else:
            from peers.generation import Generation

            case = Generation(task["spec"], task["sizes"])
        warm = [case.step() for _ in range(task["warm"])]
    if task["kind"] == "training":
        found = {"losses": [round(x.item(), 5) for x in warm]}
        count = sum(p.numel() for p in case.model.parameters())
        found["parameters"] = count
    else:
        found = {"tokens": warm[-1][:, task["sizes"]["prompt"] :].tolist()}
    found["warm_wall"] = round(time.perf_counter() - wall, 2)
    found["warm_cpu"] = round(time.process_time() - cpu, 2)
    forget_peak()
    print(json.dumps(found), file=out, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        case.step()
        found = {
            "wall": round(time.perf_counter() - wall, 4),
            "cpu": round(time.process_time() - cpu, 4),
            "peak_mb": round(memory_mb()),
        }
        print(json.dumps(found), file=out, flush=True)


class Case:
    """A worker process, seen from the one that leads."""

    def __init__(self, task):
        self.task = task
        threads = str(task["threads"])
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", json.dumps(task)],
            env=os.environ | limits | {"HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("LOUD") else None,
            text=True,
        )
        self.runs = {}

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.task['spec']} ended early; LOUD=1 shows why"
            )
        return json.loads(line)

    def start(self):
        self.first = self.read()

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        for key, value in self.read().items():
            self.runs.setdefault(key, []).append(value)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()

    def row(self):
        return {
            **self.task["spec"],
            "threads": self.task["threads"],
            **self.first,
            **self.runs,
            "peak_mb": max(self.runs["peak_mb"]),
        }


def in_turns(tasks, rounds):
    """Start all, two at a time; then let them take turns; return the rows."""
    gate, cases = threading.Semaphore(2), []

    def start(task):
        with gate:
            case = Case(task)
            cases.append((tasks.index(task), case))
            case.start()

    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            list(pool.map(start, tasks))
        cases.sort()
        for _ in range(rounds):
            for _, case in cases:
                case.step()
        return [case.row() for _, case in cases]
    finally:
        for _, case in cases:
            case.stop()


# --- what is measured


def run_training(sizes, rounds, quick):
    rows = []
    for threads in (1, 2):
        base = {"kind": "training", "sizes": sizes, "threads": threads}
        tasks = [base | {"spec": s, "warm": 3} for s in TRAINING]
        rows += in_turns(tasks[:5] + tasks[9:10] if quick else tasks, rounds)
        note(rows)
    check_losses(rows)
    return rows


def run_levers(sizes, rounds, quick):
    base = {"kind": "training", "sizes": sizes, "threads": 1, "warm": 3}
    tasks = [base | {"spec": s} for s in (LEVERS[:3] if quick else LEVERS)]
    rows = in_turns(tasks, rounds)
    check_losses(rows)
    return rows


def run_generation(sizes, rounds, quick):
    rows = []
    plan = [(1, 1, 3), (16, 1, 2), (1, 2, 1), (16, 2, 1)]
    for batch, threads, processes in plan[:1] if quick else plan:
        for number in range(1 if quick else processes):
            base = {"kind": "generation", "sizes": sizes, "threads": threads}
            tasks = [
                base | {"spec": s | {"batch": batch}, "warm": 2}
                for s in (FAST[:5] if quick else FAST)
            ]
            new = in_turns(tasks, rounds)
            rows += [row | {"process": number} for row in new]
            note(new)
    check_tokens(rows)
    return rows


def check_losses(rows):
    """The same weights and texts gave the same losses, before any update."""
    for row in rows:
        if row["system"] == "nanogpt":
            continue
        same = [r for r in rows if r["system"] != "nanogpt"]
        wide = row["precision"] in ("fp32", "medium")
        exact = next(r for r in same if r["precision"] == "fp32")
        for ours, theirs in zip(row["losses"], exact["losses"], strict=True):
            assert abs(ours - theirs) < (1e-3 if wide else 2e-2), row


def check_tokens(rows):
    """In float32 all gave the same tokens; else count how many agree."""
    for batch in {row["batch"] for row in rows}:
        same = [r for r in rows if r["batch"] == batch]
        exact = next(r["tokens"] for r in same if r["precision"] == "fp32")
        for row in same:
            pairs = [
                (a, b)
                for x, y in zip(row["tokens"], exact, strict=True)
                for a, b in zip(x, y, strict=True)
            ]
            row["agree"] = round(sum(a == b for a, b in pairs) / len(pairs), 3)
            assert row["precision"] != "fp32" or row["agree"] == 1, row
    for row in rows:
        del row["tokens"]


def note(rows):
    for row in rows:
        name = " ".join(
            str(v)
            for k, v in row.items()
            if k
            in ("system", "precision", "attention", "way", "lever", "threads")
        )
        flag = f" compile={row['compile']}" if row.get("compile") else ""
        print(
            f"{name}{flag}: {median(row['wall']):.3f} s "
            f"({min(row['wall']):.3f}-{max(row['wall']):.3f}) "
            f"{row['peak_mb']} MB, ready after {row['warm_wall']} s",
            flush=True,
        )


def machine():
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [x.split(":")[1].strip() for x in lines if "model name" in x]
        model = names[0] if names else model
    names = ("torch", "transformers")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {n: importlib.metadata.version(n) for n in names},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def run_parts(sizes, rounds, quick):
    """Measurements inside one process: see benchmarks/peers/parts.py."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    task = json.dumps({"sizes": sizes, "quick": quick})
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/peers/parts.py"), task],
        env=os.environ | limits | {"PYTHONPATH": f"{ROOT}:{ROOT}/benchmarks"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


RUN = {
    "training": run_training,
    "levers": run_levers,
    "parts": run_parts,
    "generation": run_generation,
}


def run(options):
    """Measure what was asked for and write one file for each."""
    sizes = TINY if options.quick else SIZES
    for name in options.only or RUN:
        before = machine()
        start = time.perf_counter()
        rows = RUN[name](
            sizes, 1 if options.quick else options.rounds, options.quick
        )
        out = {"machine": before, "sizes": sizes, "rows": rows}
        out["seconds"] = round(time.perf_counter() - start)
        path = RESULTS / f"model_{name}.json"
        if options.quick:
            path = RESULTS.parent.parent / "_build" / f"quick_{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(out, indent=1) + "\n", "utf-8")
        if name == "levers":
            note(rows)
        print(f"{name}: {out['seconds']} s, {path}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=RUN)
    parser.add_argument("--cuda", choices=GPU)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
    elif options.cuda:
        sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
        from peers.gpu import measure

        measure(SIZES | GPU[options.cuda], options.device)
    else:
        run(options)

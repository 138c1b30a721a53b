"""Our model beside `transformers` and nanoGPT: training steps and tokens.

    python benchmarks/bench_model.py                all of it, 20 minutes
    python benchmarks/bench_model.py --rounds 5     more rounds (than 3)
    python benchmarks/bench_model.py --quick        tiny, once, not compiled
    python benchmarks/bench_model.py --only levers  one section (see below)

Sections, stored one by one: training (steps of all systems), generation,
levers (ours, one at a time), training-parts, generation-parts. Let nothing
else run beside it.

Every setting has a process of its own, which builds its model, compiles and
warms up, and then makes one step each time it is told to. The settings take
turns, round after round, one step at a time, so that a busy minute hits them
all; start-up, compilation and warm-up are outside of every time. Peak memory
is that of the timed steps. A first pass on one thread tries every setting;
on two threads, and in further processes, the peers' settings that were far
behind their best are left out. Results go to
benchmarks/results/model_training.json and model_generation.json, from which
the book prints.
"""

import argparse
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from peers.machine import machine, memory_bytes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
PACKAGES = ("torch", "transformers")
PATIENCE = 200  # seconds in which a setting must be compiled and warm
# Where it is safe, processes are copies of one that has imported everything.
LINUX = sys.platform == "linux"
PROCESSES = multiprocessing.get_context("fork" if LINUX else "spawn")
SIZES = {
    "vocab": 8192,
    "width": 320,
    "hidden": 896,
    "layers": 6,
    "heads": 5,
    "context": 256,
    "batch": 16,
    "prompt": 16,
    "new": 128,
}
TINY = {
    "vocab": 512,
    "width": 64,
    "hidden": 128,
    "layers": 2,
    "heads": 2,
    "context": 64,
    "batch": 2,
    "prompt": 4,
    "new": 12,
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
    spec("hf", "bf16 weights", attention="sdpa", compile=True),
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
    return round(memory_bytes(name) / 2**20)


def forget_peak():
    """Let the peak count from here; Linux only."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def worker(task, pipe):
    """Build what `task` says when told to, then make a step at each word."""
    words = tempfile.TemporaryFile("w+")  # noqa: SIM115
    os.dup2(words.fileno(), 1)
    os.dup2(words.fileno(), 2)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = task["cache"]
    if task["quick"]:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"
    try:
        pipe.recv()
        case, found = build(task)
        pipe.send(found)
        while pipe.recv():
            wall, cpu = time.perf_counter(), time.process_time()
            case.step()
            found = {
                "wall": round(time.perf_counter() - wall, 4),
                "cpu": round(time.process_time() - cpu, 4),
                "peak_mb": memory_mb(),
                "rest_mb": memory_mb("VmRSS"),
            }
            pipe.send(found)
    except Exception as error:
        pipe.send({"failed": f"{type(error).__name__}: {error}"[:400]})
    os._exit(0)  # nothing to tidy up; some threads of compilers never end


def build(task):
    """Make the model and warm it up; what is known of it by then."""
    import torch
    import transformers  # noqa: F401  (for all, so that imports_mb is equal)
    from peers.generation import Generation
    from peers.training import Training

    torch.set_num_threads(task["threads"])
    found = {"imports_mb": memory_mb("VmRSS")}
    wall, cpu = time.perf_counter(), time.process_time()
    make = Training if task["kind"] == "training" else Generation
    case = make(task["spec"], task["sizes"])
    warm = [case.step() for _ in range(task["warm"])]
    if task["kind"] == "training":
        found["losses"] = [round(x.item(), 5) for x in warm]
        count = sum(p.numel() for p in case.model.parameters())
        found["parameters"] = count
    else:
        found["tokens"] = warm[-1][:, task["sizes"]["prompt"] :].tolist()
    found["warm_wall"] = round(time.perf_counter() - wall, 2)
    found["warm_cpu"] = round(time.process_time() - cpu, 2)
    forget_peak()
    return case, found


class Case:
    """A worker process, seen from the one that leads."""

    def __init__(self, task):
        self.task, self.first, self.runs, self.failed = task, {}, {}, None
        self.pipe, end = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=worker, args=(task, end))
        self.process.start()
        end.close()

    def read(self):
        """Its next answer; empty if it failed, which is kept."""
        try:
            found = self.pipe.recv()
        except EOFError:
            self.process.join()
            found = {"failed": f"ended with {self.process.exitcode}"}
        self.failed = found.pop("failed", None)
        if self.failed:
            print(f"FAILED: {title(self.task['spec'])}: {self.failed}")
        return found

    def begin(self):
        self.begun = time.monotonic()
        self.pipe.send(True)

    def late(self):
        return time.monotonic() - self.begun > PATIENCE

    def give_up(self):
        self.failed = f"not ready after {PATIENCE} s"
        print(f"FAILED: {title(self.task['spec'])}: {self.failed}")
        self.process.kill()

    def step(self):
        if not self.failed:
            self.pipe.send(True)
            for key, value in self.read().items():
                self.runs.setdefault(key, []).append(value)

    def stop(self):
        with contextlib.suppress(OSError):
            self.pipe.send(False)
        self.process.join(5)
        self.process.kill()

    def row(self):
        row = {**self.task["spec"], "threads": self.task["threads"]}
        if self.failed:
            return row | {"failed": self.failed}
        peak = max(self.runs["peak_mb"])
        return {**row, **self.first, **self.runs, "peak_mb": peak}


def in_turns(tasks, rounds, cache):
    """Start all, two at a time; then let them take turns; return the rows."""
    cases = []
    try:
        for task in tasks:
            # A cache of its own: compilations of others change nothing.
            name = "".join(filter(str.isalnum, json.dumps(task["spec"])))
            where = f"{cache}/{name}{task['threads']}"
            quick = task["sizes"] == TINY
            cases.append(Case(task | {"cache": where, "quick": quick}))
        waiting, busy = list(cases), []
        while waiting or busy:
            while waiting and len(busy) < 2:
                busy.append(waiting.pop(0))
                busy[-1].begin()
            pipes = [c.pipe for c in busy]
            ready = multiprocessing.connection.wait(pipes, timeout=5)
            for case in [c for c in busy if c.pipe in ready]:
                case.first = case.read()
                busy.remove(case)
            for case in [c for c in busy if c.late()]:
                case.give_up()
                busy.remove(case)
        for _ in range(rounds):
            for case in cases:
                case.step()
        return [case.row() for case in cases]
    finally:
        for case in cases:
            case.stop()


# --- what is measured


def run_training(sizes, rounds, cache):
    """Narrow precisions in one pool, wide in another: memory is limited."""
    rows, specs = [], TRAINING
    for threads in (1, 2):
        new = []
        for narrow in (True, False):
            base = {"kind": "training", "sizes": sizes, "threads": threads}
            tasks = [
                base | {"spec": s, "warm": 2}
                for s in specs
                if s["precision"].startswith("bf16") == narrow
            ]
            new += in_turns(tasks, rounds, cache)
        note(new, sizes["batch"] * sizes["context"])
        rows += new
        specs = worth_more(TRAINING, new)
    return {"rows": rows, "ratios": training_ratios(rows)}


def run_levers(sizes, rounds, cache):
    base = {"kind": "training", "sizes": sizes, "threads": 1, "warm": 2}
    rows = in_turns([base | {"spec": s} for s in LEVERS], rounds, cache)
    note(rows, sizes["batch"] * sizes["context"])
    return {"rows": rows, "ratios": lever_ratios(rows)}


def run_generation(sizes, rounds, cache):
    rows = []
    for batch, threads, processes in (
        (1, 1, 3),
        (16, 1, 3),
        (1, 2, 1),
        (16, 2, 1),
    ):
        tried = [r for r in rows if r["batch"] == batch]
        specs = worth_more(FAST, tried) if tried else FAST
        for number in range(processes):
            base = {"kind": "generation", "sizes": sizes, "threads": threads}
            tasks = [
                base | {"spec": s | {"batch": batch}, "warm": 2} for s in specs
            ]
            new = in_turns(tasks, max(1, rounds - 1), cache)
            rows += [row | {"process": number} for row in new]
            note(new, batch * sizes["new"])
            if not tried and not number:
                specs = worth_more(FAST, new)
    count_agreeing(rows)
    return {"rows": rows, "ratios": generation_ratios(rows)}


def run_parts(of):
    """Measurements inside one process: see benchmarks/peers/parts.py."""

    def run(sizes, rounds, cache):
        limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        limits["TORCHINDUCTOR_CACHE_DIR"] = f"{cache}/parts"
        if sizes == TINY:
            limits["TORCHDYNAMO_DISABLE"] = "1"
        limits["PYTHONPATH"] = f"{ROOT}:{ROOT}/benchmarks"
        task = {"sizes": sizes, "quick": sizes == TINY, "of": of}
        script = str(ROOT / "benchmarks" / "peers" / "parts.py")
        done = subprocess.run(
            [sys.executable, script, json.dumps(task)],
            env=os.environ | limits,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return json.loads(done.stdout.splitlines()[-1])

    return run


# --- what follows from it


def kind(row):
    """Settings that stand for one another: who, compiled, frozen or not."""
    way = row.get("way", "")
    return row["system"], bool(row.get("compile")), "comp" in way, "fro" in way


def worth_more(specs, rows):
    """All of ours, defaults, and what is near the best of its kind."""
    kept = []
    for one in specs:
        same = [r for r in rows if kind(r) == kind(one) and "wall" in r]
        me = [r for r in same if one.items() <= r.items()]
        if not me:
            continue
        best = min(median(r["wall"]) for r in same)
        near = median(me[0]["wall"]) < 1.2 * best
        if near or one["system"] == "ours" or "default" in one:
            kept.append(one)
    return kept


def fastest(rows, **wanted):
    """The row of least median time among those that have what is wanted."""
    fit = [
        r
        for r in rows
        if "wall" in r and all(r.get(k) == v for k, v in wanted.items())
    ]
    return min(fit, key=lambda r: median(r["wall"]), default=None)


def ratio(ours, peer, against, pairs=None):
    """How many times as long the peer takes, round by round."""
    if not ours or not peer:
        return []
    pairs = pairs or zip(ours["wall"], peer["wall"], strict=True)
    times = [theirs / mine for mine, theirs in pairs]
    found = {
        "threads": ours["threads"],
        "ours": title(ours),
        "peer": title(peer),
        "against": against,
        "ratio": round(median(times), 3),
        "least": round(min(times), 3),
        "most": round(max(times), 3),
    }
    if "peak_mb" in ours:
        found["peak_mb"] = [ours["peak_mb"], peer["peak_mb"]]
    return [found]


def training_ratios(rows):
    found = []
    for threads in (1, 2):
        here = [r for r in rows if r["threads"] == threads]
        theirs = [r for r in here if r["system"] == "hf"]
        eager = fastest(here, system="ours", precision="bf16", compile=None)
        best = fastest(here, system="ours")
        for mine in (eager, best):
            for name in ("hf", "nanogpt"):
                default = fastest(here, system=name, default=True)
                plain = [r for r in here if not r.get("compile")]
                half = fastest(plain, system=name, precision="bf16")
                found += ratio(mine, default, f"{name} default")
                found += ratio(mine, half, f"{name} bf16 eager")
        found += ratio(best, fastest(theirs), "hf best")
        found += ratio(best, fastest(here, system="nanogpt"), "nanogpt best")
    return found


def lever_ratios(rows):
    none, everything = rows[0], fastest(rows, lever="all")
    found = []
    for row in rows:
        if row["lever"].startswith("+") or row["lever"] == "all":
            found += ratio(row, none, "none")
        if row["lever"].startswith("-"):
            found += ratio(everything, row, "all")
    return [
        one | {"lever": row["lever"]}
        for one, row in zip(found, rows[1:], strict=False)
    ]


def generation_ratios(rows):
    """Medians of each process; ours and theirs of the same turn."""
    found = []
    for threads in (1, 2):
        for batch in (1, 16):
            here = [
                r
                for r in rows
                if r["threads"] == threads
                and r["batch"] == batch
                and "wall" in r
            ]

            def turns(spec, here=here):
                return [
                    median(r["wall"]) for r in here if title(r) == title(spec)
                ]

            def best(here=here, turns=turns, **wanted):
                fit = [r for r in here if wanted.items() <= r.items()]
                whole = max((len(turns(r)) for r in fit), default=0)
                fit = [r for r in fit if len(turns(r)) == whole]
                return min(fit, key=lambda r: median(turns(r)), default=None)

            plain = [r for r in here if r["system"] == "ours"]
            plain = [r for r in plain if "way" not in r]
            narrow = next(r for r in plain if r["precision"] == "fp32")
            default = best(default=True)
            wide = best(system="hf", precision="fp32")
            plain = [r for r in here if "frozen" not in r.get("way", "")]
            theirs = best(plain, turns, system="hf")
            for mine, peer, against in (
                (narrow, default, "fp32 default"),
                (best(system="ours", precision="fp32"), wide, "fp32 best"),
                (best(system="ours"), default, "fp32 default"),
                (best(system="ours"), theirs, "best not frozen"),
                (best(system="ours"), best(system="hf"), "best"),
            ):
                pairs = zip(turns(mine), turns(peer), strict=True)
                new = ratio(mine, peer, against, list(pairs))
                found += [one | {"batch": batch} for one in new]
    return found


def count_agreeing(rows):
    """Say of each row how many tokens are those of float32."""
    for row in rows:
        texts = row.pop("tokens", None)
        if texts is None:
            continue
        key = row["batch"]
        exact = EXACT.setdefault(key, texts)  # the first row is float32
        pairs = [
            (a, b)
            for x, y in zip(texts, exact, strict=True)
            for a, b in zip(x, y, strict=True)
        ]
        row["agree"] = round(sum(a == b for a, b in pairs) / len(pairs), 3)


EXACT = {}


def complaints(rows):
    """What cannot be right: other losses, other tokens, a failed process."""
    exact = fastest(rows, system="ours", precision="fp32")
    for row in rows:
        if "failed" in row:
            yield f"{title(row)} failed: {row['failed']}"
        elif row.get("agree", 1) < 1 and row["precision"] == "fp32":
            yield f"{title(row)}: {row['agree']} of the tokens agree"
        elif "losses" in row and row["system"] != "nanogpt":
            wide = row["precision"] in ("fp32", "medium")
            steps = 1 if row["precision"] == "bf16 weights" else None
            far = [
                abs(a - b)
                for a, b in zip(
                    row["losses"][:steps], exact["losses"], strict=False
                )
            ]
            if max(far) > (1e-3 if wide else 2e-2):
                yield f"{title(row)}: losses {row['losses']}"


def title(row):
    """A setting in words."""
    words = [row["system"], row["precision"]]
    if row["system"] == "hf":
        words.append(f"{row['attention']} attention")
    words += [row[k] for k in ("way", "lever") if k in row]
    if row.get("compile"):
        words.append("compiled")
    if isinstance(row.get("compile"), str):
        words.append(row["compile"])
    return " ".join(words)


def note(rows, tokens):
    for row in rows:
        if "wall" not in row:
            continue
        batch = f" batch {row['batch']}" if "batch" in row else ""
        print(
            f"{title(row)}{batch}, {row['threads']} threads: "
            f"{tokens / median(row['wall']):.0f} tokens/s, "
            f"{median(row['wall']):.3f} s "
            f"({min(row['wall']):.3f}-{max(row['wall']):.3f}), "
            f"{row['peak_mb']} MB, ready after {row['warm_wall']} s",
            flush=True,
        )


RUN = {
    "training": run_training,
    "generation": run_generation,
    "levers": run_levers,
    "training-parts": run_parts("training"),
    "generation-parts": run_parts("generation"),
}
FILES = {
    "training": ("training", "training"),
    "levers": ("training", "levers"),
    "training-parts": ("training", "parts"),
    "generation": ("generation", "generation"),
    "generation-parts": ("generation", "parts"),
}


def run(options):
    """Measure what was asked for, and store each section when it is there."""
    sizes, wrong = TINY if options.quick else SIZES, []
    rounds = 1 if options.quick else options.rounds
    begun = time.perf_counter()
    for name in options.only or RUN:
        start, before = time.perf_counter(), machine(PACKAGES)
        with tempfile.TemporaryDirectory() as cache:
            found = RUN[name](sizes, rounds, cache)
        seconds = round(time.perf_counter() - start)
        section = {"machine": before, "sizes": sizes, "quick": options.quick}
        section |= {"rounds": rounds, "seconds": seconds} | found
        file, key = FILES[name]
        path = options.out / f"model_{file}.json"
        path.parent.mkdir(exist_ok=True)
        all_of_it = json.loads(path.read_text()) if path.exists() else {}
        all_of_it[key] = section
        path.write_text(json.dumps(all_of_it, indent=1) + "\n", "utf-8")
        for one in found.get("ratios", []):
            print(json.dumps(one), flush=True)
        wrong += complaints(found.get("rows", []))
        print(f"{name}: {seconds} s, {path}", flush=True)
    print(f"all: {time.perf_counter() - begun:.0f} s")
    if wrong:
        raise SystemExit("\n".join(["NOT AS IT SHOULD BE:", *wrong]))


def import_all():
    """Import what workers need, without computing anything."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    from peers import generation, training  # noqa: F401
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: F401

    from llm_from_scratch.infer import compiled  # noqa: F401
    from llm_from_scratch.model import head, transformer  # noqa: F401


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=RUN)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    import_all()
    run(options)

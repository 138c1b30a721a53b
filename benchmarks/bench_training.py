"""The run of the book measured: shards, loader, trainer, and a race.

    python benchmarks/bench_training.py               all of it, 30 minutes
    python benchmarks/bench_training.py --only race   one part (see below)
    python benchmarks/bench_training.py --quick       tiny, not compiled

Parts, stored one by one in benchmarks/results/training.json:

laptop      `llm run --preset laptop` in a clean folder, as a reader does it;
            also stored as laptop.json and laptop_metrics.jsonl
tune        nanoGPT's learning rate for the race, on few tokens
race        the same configuration beside nanoGPT's loop, at equal seconds
trainer     our trainer beside a bare loop of forward, backward, update
checkpoint  saving and loading 100M parameters with AdamW's state
shards      writing shards beside the tokenizer alone
loader      tokens a second, and memory for shards of 2 GB

Let nothing else run beside it. What is compared takes turns, so that a busy
minute hits both; imports and compilation are outside of every time, except
in `laptop`, which is timed from the command to its end.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from peers.machine import cores, machine, memory_bytes  # noqa: E402

PACKAGES = ("torch", "numpy", "numba")
LINUX = sys.platform == "linux"
PROCESSES = multiprocessing.get_context("fork" if LINUX else "spawn")
PATIENCE = 300  # seconds in which a process must answer
SYSTEMS = {
    "ours": {"system": "ours", "settings": {}},
    "ours, AdamW": {
        "system": "ours",
        "settings": {"optimizer": "adamw", "lr": 4e-3},
    },
    "nanoGPT": {
        "system": "nanogpt",
        "settings": {"lr": 4e-3, "batch_size": 16},
    },
}
# What `tune` tries with nanoGPT; ours runs with what its preset says.
RATES = (5e-4, 1e-3, 2e-3, 4e-3)


# --- processes that take turns


def memory_mb(name):
    """VmHWM, VmRSS, RssAnon or RssFile of this process in MB; Linux only."""
    return round(memory_bytes(name) / 2**20, 1)


def worker(make, task, pipe):
    """Call `make(task, over)`; `over(row)` sends a row and waits for a word."""
    words = tempfile.TemporaryFile("w+")  # noqa: SIM115
    os.dup2(words.fileno(), 1)
    os.dup2(words.fileno(), 2)
    if task["quick"]:
        os.environ["TORCHDYNAMO_DISABLE"] = "1"

    def over(row):
        pipe.send(row)
        return pipe.recv()

    try:
        over({"begin": True})
        make(task, over)
        pipe.send({"end": True})
    except Exception as error:
        import traceback

        traceback.print_exc()
        words.seek(0)
        said = words.read()[-2000:]
        failed = f"{type(error).__name__}: {error}"[:400]
        pipe.send({"failed": failed, "said": said})
    os._exit(0)


class Runner:
    """A worker process, seen from the one that leads."""

    def __init__(self, name, make, task):
        self.name, self.rows, self.done = name, [], False
        self.pipe, end = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=worker, args=(make, task, end))
        self.process.start()
        end.close()
        self.read()

    def read(self):
        """Its next row. RuntimeError if it failed."""
        if not self.pipe.poll(PATIENCE):
            raise RuntimeError(f"{self.name}: silent for {PATIENCE} s")
        try:
            row = self.pipe.recv()
        except EOFError:
            self.process.join()
            row = {"failed": f"ended with {self.process.exitcode}"}
        if "failed" in row:
            said = row.get("said", "")
            raise RuntimeError(f"{self.name}: {row['failed']}\n{said}")
        if "end" in row:
            self.done = True
        return row

    def turn(self, word):
        """Let it go on with a word; keep and return the row that comes."""
        self.pipe.send(word)
        return self.keep(self.read())

    def keep(self, row):
        """Add a row, unless it says that this was the end."""
        if not self.done:
            self.rows.append(row)
        return row

    def stop(self):
        self.process.kill()
        self.process.join()


@contextlib.contextmanager
def runners(named):
    """Start one after another, each up to its first stop."""
    started = []
    try:
        for name, (make, task) in named.items():
            started.append(Runner(name, make, task))
        yield started
    finally:
        for one in started:
            one.stop()


def take_turns(started, word):
    """Turn after turn until all have ended."""
    waiting = list(started)
    while waiting:
        for one in waiting:
            one.turn(word)
        waiting = [one for one in waiting if not one.done]


def abreast(started, word):
    """All at the same time, until all have ended."""
    waiting = list(started)
    while waiting:
        for one in waiting:
            one.pipe.send(word)
        for one in waiting:
            one.keep(one.read())
        waiting = [one for one in waiting if not one.done]


# --- what everything here reads


def configuration(quick, **train):
    """The preset that readers run, without what only a folder needs."""
    from llm_from_scratch.runs.presets import preset

    config = preset("tiny" if quick else "laptop")
    if quick:
        train = {"precision": "bf16", **train}
    return dataclasses.replace(
        config, train=dataclasses.replace(config.train, **train)
    )


def prepare(config, folder, held_tokens):
    """Corpus, tokenizer and shards as `llm run` makes them, for both systems.

    nanoGPT's train.bin has the tokens of all our shards, one after another,
    and held.npz what both are examined on.
    """
    from llm_from_scratch.corpus.paths import read_jsonl
    from llm_from_scratch.data.shard_set import ShardSet
    from llm_from_scratch.runs import stages
    from llm_from_scratch.runs.folder import RunFolder

    folder.mkdir(parents=True, exist_ok=True)
    run = stages.Run(folder=RunFolder(folder), config=config)
    for make in (stages.make_corpus, stages.make_tokenizer, stages.make_shards):
        make(run)
    tokenizer = run.tokenizer()
    end = tokenizer.special_tokens[stages.END]
    with (folder / "train.bin").open("wb") as file:
        for path in sorted((folder / "shards").iterdir()):
            shards = ShardSet(path)
            file.write(shards.window(0, len(shards)).astype("<u2").tobytes())
    held = {}
    for source in config.corpus.chosen:
        ids, size = [end], 0
        for one in read_jsonl(run.texts(source, "heldout")):
            ids += tokenizer.encode(one.text, allowed_special="none")
            ids.append(end)
            size += len(one.text.encode())
            if len(ids) > held_tokens:
                break
        held[source], held[f"{source}.bytes"] = np.array(ids), size
    np.savez(folder / "held.npz", **held)
    # The vocabulary may be smaller than what was asked for.
    vocab = dataclasses.replace(
        config.tokenizer, vocab_size=len(tokenizer.vocab)
    )
    return dataclasses.replace(config, tokenizer=vocab)


# --- shards


def run_shards(options):
    """Tokens of the same texts: counted only, or written as shards."""
    from llm_from_scratch.corpus.documents import documents
    from llm_from_scratch.data.write import write_shards
    from llm_from_scratch.tokenizer import Tokenizer, train_bpe

    pages = 500 if options.quick else 40_000
    texts = [d.text for d in documents("smallweb", pages=pages)]
    size = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.txt"
        raw.write_text("\n".join(texts[:4000]), "utf-8")
        vocab, merges = train_bpe(raw, 4096, ["<|endoftext|>"])
        tokenizer = Tokenizer(vocab, merges, ["<|endoftext|>"])

        def alone(threads):
            found = tokenizer.encode_documents(
                texts, allowed_special="none", num_threads=threads
            )
            return sum(map(len, found))

        def written(threads):
            out = Path(folder) / "shards"
            shutil.rmtree(out, ignore_errors=True)
            write_shards(texts, tokenizer, out, num_threads=threads)

        rows = []
        alone(2)  # compiles
        written(2)
        for _ in range(options.rounds):
            for threads in (1, 2):
                for way, call in (("tokenizer", alone), ("shards", written)):
                    start = time.perf_counter()
                    call(threads)
                    seconds = round(time.perf_counter() - start, 4)
                    row = {"way": way, "threads": threads, "seconds": seconds}
                    rows.append(row)
    found = {"bytes": size, "documents": len(texts), "rows": rows}
    return found | {"rates": shard_rates(rows, size)}


def shard_rates(rows, size):
    """MB a second of each way, and the share of the tokenizer's rate."""
    found = []
    for threads in sorted({row["threads"] for row in rows}):
        times = {
            way: [
                r["seconds"]
                for r in rows
                if r["threads"] == threads and r["way"] == way
            ]
            for way in ("tokenizer", "shards")
        }
        pairs = zip(times["tokenizer"], times["shards"], strict=True)
        found.append(
            {
                "threads": threads,
                "tokenizer": round(size / 1e6 / median(times["tokenizer"]), 2),
                "shards": round(size / 1e6 / median(times["shards"]), 2),
                "share": round(median(a / b for a, b in pairs), 3),
            }
        )
    return found


# --- loader


def load_batches(task, over):
    """Batches without a model: tokens a second, and memory."""
    from llm_from_scratch.data.loader import TokenLoader
    from llm_from_scratch.data.shard_set import ShardSet

    shards = ShardSet(task["data"])
    before = {n: memory_mb(n) for n in ("RssAnon", "RssFile")}
    loader = TokenLoader(
        shards,
        batch_size=task["batch_size"],
        context=task["context"],
        packing=task["packing"],
    )
    step, word = 0, over({"tokens": len(shards), "before": before})
    while word:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(task["steps"]):
            loader.batch(step)
            step += 1
        row = {
            "step": step,
            "seconds": round(time.perf_counter() - start, 4),
            "cpu": round(time.process_time() - cpu, 4),
        }
        names = ("RssAnon", "RssFile", "VmHWM")
        word = over(row | {n: memory_mb(n) for n in names})


def write_noise(folder, tokens):
    """Shards of random ids, in documents of 250: the rate is the same."""
    from llm_from_scratch.data.shard_set import INDEX
    from llm_from_scratch.data.shards import write_shard

    folder.mkdir()
    rng, shards, left = np.random.default_rng(0), [], tokens
    while left > 0:
        count = min(left, 1 << 26)
        path = folder / f"shard-{len(shards):05}.tokens"

        def texts(count=count):
            for _ in range(count // 250_000 + 1):
                block = rng.integers(0, 4000, (1000, 249), np.uint16)
                yield from block

        head = write_shard(path, texts(), vocab_size=4096, end_of_text=4095)
        shards.append(
            {
                "name": path.name,
                "tokens": head.tokens,
                "documents": head.documents,
                "sha256": head.sha256,
            }
        )
        left -= count
    index = {
        "tokenizer": "",
        "vocab_size": 4096,
        "end_of_text": 4095,
        "shards": shards,
        "fingerprint": "noise",
    }
    (folder / INDEX).write_text(json.dumps(index), "utf-8")


def run_loader(options):
    config = configuration(options.quick)
    sizes = (1 << 20, 1 << 22) if options.quick else (1 << 25, 1 << 30)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, tokens in enumerate(sizes):
            write_noise(Path(folder) / str(number), tokens)
        for packing in ("cut", "pad", "fit"):
            named = {}
            for number, tokens in enumerate(sizes):
                if packing != "cut" and number:
                    continue
                task = {
                    "data": str(Path(folder) / str(number)),
                    "packing": packing,
                    "steps": 20 if options.quick else 400,
                    "batch_size": config.train.batch_size,
                    "context": config.train.context,
                    "quick": options.quick,
                }
                named[f"{packing} {tokens}"] = (load_batches, task)
            with runners(named) as started:
                for one in started:
                    one.turn(True)
                for _ in range(2 * options.rounds):
                    for one in started:
                        one.turn(True)
                for one in started:
                    first, *rest = one.rows
                    rows.append(loader_row(packing, first, rest, task))
    return {"rows": rows}


def loader_row(packing, first, rest, task):
    """Raw turns of a loader, and its median rate."""
    tokens = task["steps"] * task["batch_size"] * task["context"]
    rate = tokens / median(r["seconds"] for r in rest)
    return {
        "packing": packing,
        **first,
        "turns": rest,
        "tokens_per_second": round(rate),
    }


# --- trainer


def bare_loop(task, over):
    """Forward, backward, clipping and update, and nothing else."""
    import torch
    from peers.race import Clock

    from llm_from_scratch.model.head import linear_cross_entropy
    from llm_from_scratch.train.optim import make_optimizer

    config, train = task["config"], task["config"].train
    torch.set_num_threads(task["threads"])
    model, loader = model_and_loader(task)
    batches = [loader.batch(step) for step in range(32)]
    optimizer = make_optimizer(
        model,
        name=train.optimizer,
        lr=train.lr,
        betas=train.betas,
        eps=train.eps,
        weight_decay=train.weight_decay,
    )

    def loss_of(x, y):
        hidden = model.hidden_states(x)
        return linear_cross_entropy(hidden, model.lm_head.weight, y)

    if train.compile:
        loss_of = torch.compile(loss_of)
    clock = Clock(over, lambda: None, task["steps"])
    for step in range(task["steps"]):
        batch = batches[step % len(batches)]
        with torch.autocast(
            "cpu", torch.bfloat16, enabled=config.train.precision == "bf16"
        ):
            loss = loss_of(batch.input_ids, batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock(step + 1, loss.item())


def whole_trainer(task, over):
    """The trainer with its log, its watch and its loader."""
    from peers.race import Clock, only_steps

    from llm_from_scratch.train.trainer import Trainer

    model, loader = model_and_loader(task)
    train = only_steps(task["config"].train, task)
    clock = Clock(over, lambda: None, task["steps"])

    def report(row):
        if row["kind"] == "train":
            clock(row["step"], row["loss"])

    with tempfile.TemporaryDirectory() as folder:
        Trainer(model, loader, train, folder, report=report).run()


def model_and_loader(task):
    """The model of the configuration, and batches from its shards."""
    import torch

    from llm_from_scratch.data.loader import TokenLoader
    from llm_from_scratch.data.shard_set import ShardSet
    from llm_from_scratch.model.transformer import TransformerLM

    config = task["config"]
    draw = torch.Generator().manual_seed(0)
    model = TransformerLM(config.model_config, generator=draw)
    sources = {}
    for path in sorted(Path(task["data"]).glob("shards/*")):
        shards = ShardSet(path)
        sources[path.name] = (shards, float(len(shards)))
    loader = TokenLoader(
        sources,
        batch_size=config.train.batch_size,
        context=config.train.context,
    )
    return model, loader


def run_trainer(options):
    config = configuration(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        config = prepare(small(config), data, 2000)
        rows = []
        for threads in threads_of(options):
            task = {
                "config": config,
                "data": str(data),
                "threads": threads,
                "steps": 12 if options.quick else 20 * threads * options.rounds,
                "quick": options.quick,
            }
            named = {
                "bare": (bare_loop, task),
                "trainer": (whole_trainer, task),
            }
            with runners(named) as started:
                take_turns(started, 0.1 if options.quick else 2.0)
            rows += [
                {"way": one.name, "threads": threads, "turns": one.rows}
                for one in started
            ]
    tokens = config.train.batch_size * config.train.context
    return {
        "tokens_per_step": tokens,
        "rows": rows,
        "overhead": overheads(rows),
    }


def small(config):
    """The same configuration on less text, where only speed counts."""
    corpus = dataclasses.replace(
        config.corpus, sources=("smallweb",), shares=(), pages=3000
    )
    return dataclasses.replace(config, corpus=corpus)


def per_step(turns, key="seconds"):
    """Seconds a step in each turn; the first row is the first step's."""
    found = []
    for before, row in pairwise(turns):
        if row["step"] > before["step"]:
            steps = row["step"] - before["step"]
            found.append((row[key] - before[key]) / steps)
    return found


def overheads(rows):
    """How much longer a step of the trainer takes, turn by turn."""
    found = []
    for threads in sorted({row["threads"] for row in rows}):
        here = {r["way"]: r["turns"] for r in rows if r["threads"] == threads}
        one = {"threads": threads}
        for key in ("seconds", "cpu"):
            bare, ours = (per_step(here[w], key) for w in ("bare", "trainer"))
            if bare and ours:
                # Both have almost the same number of turns.
                pairs = [b / a for a, b in zip(bare, ours, strict=False)]
                one[key] = {
                    "bare": round(median(bare), 5),
                    "trainer": round(median(ours), 5),
                    "overhead": round(median(ours) / median(bare) - 1, 4),
                    "by_turn": round(median(pairs) - 1, 4),
                    "turns": len(pairs),
                }
        found.append(one)
    return found


def threads_of(options):
    return (1,) if options.quick or cores() < 2 else (1, 2)


# --- checkpoint


def run_checkpoint(options):
    """In a process of its own, since it needs much memory."""
    task = {"quick": options.quick, "rounds": options.rounds}
    with runners({"checkpoint": (save_and_load, task)}) as started:
        rows = [started[0].turn(True)]
        while not started[0].done:
            started[0].turn(True)
        return rows[0] | {"rows": started[0].rows[1:]}


def save_and_load(task, over):
    """Copy, write and read; and how a small step fares meanwhile."""
    import torch

    from llm_from_scratch.model.config import ModelConfig
    from llm_from_scratch.model.transformer import TransformerLM
    from llm_from_scratch.train.optim import make_optimizer
    from llm_from_scratch.train.store import CheckpointStore

    torch.set_num_threads(1)
    quick = task["quick"]
    model = TransformerLM(
        ModelConfig(
            vocab_size=512 if quick else 20_480,
            hidden_size=64 if quick else 768,
            intermediate_size=128 if quick else 2048,
            num_hidden_layers=2 if quick else 12,
            num_attention_heads=2 if quick else 12,
            max_position_embeddings=64,
            tie_word_embeddings=True,
        )
    )
    optimizer = make_optimizer(model, name="adamw", lr=1e-6)
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    count = sum(p.numel() for p in model.parameters())
    over({"parameters": count})
    product = torch.randn(512, 512)

    def works(seconds, until=lambda: False):
        """Products of matrices a second, for so long or until told."""
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds and not until():
            torch.mm(product, product)
            done += 1
        return done / (time.perf_counter() - start)

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        store = CheckpointStore(folder, keep=2)
        for step in range(1, 2 * task["rounds"] + 2):
            busy = step % 2 == 0  # every other save has work beside it
            alone = works(0.3) if busy else None
            start = time.perf_counter()
            store.save(step, state)
            copied, beside = time.perf_counter(), None
            if busy:
                beside = works(60, lambda: store._written.done())
            store.wait()
            written = time.perf_counter()
            size = store.path(step).stat().st_size
            back = time.perf_counter()
            found = store.load(step)
            loaded = time.perf_counter()
            same = all(
                torch.equal(tensor, state["model"][name])
                for name, tensor in found["model"].items()
            )
            del found
            over(
                {
                    "copy": round(copied - start, 4),
                    "written_after": round(written - start, 4),
                    "load": round(loaded - back, 4),
                    "bytes": size,
                    "same": same,
                    "work_alone": alone,
                    "work_beside": beside,
                }
            )


# --- the run of the book


def run_laptop(options):
    """From a clean folder to a model, in the words that readers type."""
    name = "tiny" if options.quick else "laptop"
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        command = ["-m", "llm_from_scratch", "run", "--preset", name]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *command, "--out", str(folder)],
            env=own_threads(os.environ | {"PYTHONPATH": str(ROOT)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wall = round(time.perf_counter() - start, 1)
        if done.returncode:
            print(done.stdout[-4000:])
            raise RuntimeError(f"{command} ended with {done.returncode}")
        found = read_run(folder) | {
            "command": f"llm run --preset {name}",
            "wall_seconds": wall,
        }
        metrics = (folder / "metrics.jsonl").read_text("utf-8")
    if not options.quick or options.out != RESULTS:
        kept = {"machine": machine(PACKAGES)} | found
        write_json(options.out / "laptop.json", kept)
        (options.out / "laptop_metrics.jsonl").write_text(metrics, "utf-8")
    return {k: v for k, v in found.items() if k != "curve"}


def own_threads(environment):
    """Without the limits that a Makefile sets: a reader has none."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {k: v for k, v in environment.items() if k not in names}


def read_run(folder):
    """What the folder of a finished run says about it."""
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    train = [row for row in rows if row["kind"] == "train"]
    rates = [row["tokens_per_second"] for row in train[len(train) // 10 :]]
    config = (folder / "config.toml").read_text("utf-8")
    seconds = folder / "seconds.json"
    return {
        "config": config,
        "stage_seconds": json.loads(seconds.read_text("utf-8")),
        "steps": train[-1]["step"],
        "tokens": train[-1]["tokens"],
        "train_seconds": train[-1]["seconds"],
        "tokens_per_second": round(median(rates)),
        "mfu": median(row.get("mfu", 0) for row in train),
        "curve": [row for row in rows if row["kind"] in ("eval", "sample")],
        "evaluation": json.loads((folder / "evaluation.json").read_text()),
    }


# --- the race


def race_worker(task, over):
    from peers import race

    race.RUN[task["system"]](task, task["config"], over)


def race_tasks(options, config, data, steps, lr):
    """One task for each system; `steps` by name, `lr` for AdamW's."""
    return {
        name: (
            race_worker,
            {
                "system": spec["system"],
                "settings": settings_of(spec, options.quick, lr),
                "config": config,
                "data": str(data),
                "folder": str(data / f"run {name} {steps[name]}"),
                "threads": threads_of(options)[-1],
                "steps": steps[name],
                "quick": options.quick,
            },
        )
        for name, spec in SYSTEMS.items()
    }


def settings_of(spec, quick, lr):
    """The settings of a system; in a rehearsal batches are small."""
    settings = dict(spec["settings"])
    if lr and "lr" in settings:
        settings["lr"] = lr
    if quick and spec["system"] == "nanogpt":
        settings |= {"batch_size": 8, "compile": False}
    return settings


def run_race(options):
    """Measure each system's rate alone; then all run for equal seconds.

    Where AdamW steps, it does so at the rate that `tune` found.
    """
    lr = tuned(options)
    seconds, turn = (1.5, 0.5) if options.quick else (options.seconds, 12.5)
    config = configuration(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        config = prepare(config, data, 2000 if options.quick else 8_000)
        some = 6 if options.quick else 30
        steps, rates = dict.fromkeys(SYSTEMS, some), {}
        for name, one in race_tasks(options, config, data, steps, lr).items():
            with runners({name: one}) as started:
                take_turns(started, 3600)
            times = per_step(started[0].rows[1:])
            rates[name] = 1 / median(times)
            steps[name] = max(2, round(seconds * rates[name]))
        tasks = race_tasks(options, config, data, steps, lr)
        with runners(tasks) as started:
            take_turns(started, turn)
        rows = [
            {
                "name": one.name,
                "system": SYSTEMS[one.name]["system"],
                "settings": tasks[one.name][1]["settings"],
                "steps": steps[one.name],
                "tokens_per_step": tokens_of(one.name, config),
                **one.rows[0]["ready"],
                "turns": one.rows[1:],
            }
            for one in started
        ]
    return {
        "budget": seconds,
        "turn": turn,
        "threads": threads_of(options)[-1],
        "rows": rows,
        "table": race_table(rows, seconds),
    }


def tokens_of(name, config):
    rows = SYSTEMS[name]["settings"].get("batch_size", config.train.batch_size)
    return rows * config.train.context


def mean_bits(bits):
    """One number of several sources, each counting the same."""
    return sum(bits.values()) / len(bits)


def at_seconds(turns, seconds):
    """Mean bits per byte at a time, on the line between two looks."""
    points = [(t["seconds"], mean_bits(t["bits_per_byte"])) for t in turns]
    xs, ys = zip(*points, strict=True)
    return float(np.interp(seconds, xs, ys))


def race_table(rows, seconds):
    """Bits per byte of each system at shares of the budget, and its rate."""
    found, shares = [], [(x, x * seconds) for x in (0.125, 0.25, 0.5, 1)]
    for row in rows:
        last = row["turns"][-1]
        tokens = last["step"] * row["tokens_per_step"]
        found.append(
            {
                "name": row["name"],
                "seconds": last["seconds"],
                "tokens": tokens,
                "tokens_per_second": round(tokens / last["seconds"]),
                "final": last["bits_per_byte"],
                "final_mean": round(mean_bits(last["bits_per_byte"]), 4),
                "at": {
                    str(share): round(at_seconds(row["turns"], at), 4)
                    for share, at in shares
                },
            }
        )
    return found


# --- tuning


def run_tune(options):
    """A GPT at each learning rate, for equal tokens, two runs abreast."""
    config = configuration(options.quick)
    tokens = 20_000 if options.quick else options.tokens
    steps = max(2, tokens // (config.train.batch_size * config.train.context))
    rows, waiting = [], list(RATES)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        config = prepare(config, data, 2000 if options.quick else 8_000)
        tasks = race_tasks(
            options, config, data, dict.fromkeys(SYSTEMS, steps), None
        )
        make, task = tasks["nanoGPT"]
        while waiting:
            now, waiting = waiting[: cores()], waiting[cores() :]
            named = {}
            for lr in now:
                settings = task["settings"] | {"lr": lr}
                named[lr] = (make, task | {"threads": 1, "settings": settings})
            with runners(named) as started:
                abreast(started, 3600)
                for one in started:
                    bits = one.rows[-1]["bits_per_byte"]
                    row = {"lr": one.name, "steps": steps, "bits": bits}
                    row |= {"mean": round(mean_bits(bits), 4)}
                    row |= {"cpu": one.rows[-1]["cpu"]}
                    rows.append(row)
                    print(json.dumps(row), flush=True)
    best = min(rows, key=lambda row: row["mean"])
    return {"rows": rows, "lr": best["lr"]}


def tuned(options):
    """The learning rate that `tune` found best, if it was run."""
    path = options.out / "training.json"
    whole = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return whole.get("tune", {}).get("lr")


# --- all of it


RUN = {
    "laptop": run_laptop,
    "tune": run_tune,
    "race": run_race,
    "trainer": run_trainer,
    "checkpoint": run_checkpoint,
    "shards": run_shards,
    "loader": run_loader,
}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def run(options):
    """Measure what was asked for; store each part when it is there."""
    path, failed = options.out / "training.json", []
    begun = time.perf_counter()
    for name in options.only or RUN:
        start, before = time.perf_counter(), machine(PACKAGES)
        try:
            found = RUN[name](options)
        except Exception as error:  # the other parts are worth having
            import traceback

            traceback.print_exc()
            failed.append(f"{name}: {type(error).__name__}: {error}")
            continue
        seconds = round(time.perf_counter() - start)
        part = {"machine": before, "quick": options.quick, "seconds": seconds}
        whole = json.loads(path.read_text()) if path.exists() else {}
        whole[name] = part | found
        write_json(path, whole)
        for key in ("rates", "overhead", "table"):
            for one in found.get(key, []):
                print(json.dumps(one), flush=True)
        print(f"{name}: {seconds} s, {path}", flush=True)
    print(f"all: {time.perf_counter() - begun:.0f} s")
    if failed:
        raise SystemExit("\n".join(["NOT MEASURED:", *failed]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=RUN)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--seconds", type=float, default=200, help="of a race")
    parser.add_argument("--tokens", type=int, default=500_000)
    options = parser.parse_args()
    if options.out is None:  # a rehearsal must not replace measurements
        quick = Path(tempfile.gettempdir()) / "bench_training_quick"
        options.out = quick if options.quick else RESULTS
    run(options)

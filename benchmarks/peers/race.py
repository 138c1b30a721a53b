"""Two trainings that take turns: ours, and the loop of nanoGPT.

Each runs in a process of its own and stops between two steps when its turn
is over, so that a busy minute hits both. Its clock stands still while it
waits, compiles, or is examined on held-out text.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from peers import loop

LN2 = 0.6931471805599453


class Clock:
    """Seconds of training, in turns; asked after every step.

    The first step of a run compiles and is not counted. `over(row)` is
    called at the end of a turn and returns how long the next one is.
    """

    def __init__(self, over, examine, steps):
        self.over, self.examine, self.steps = over, examine, steps
        self.seconds, self.cpu, self.until, self.losses = 0.0, 0.0, 0.0, []
        self.since = None

    def __call__(self, step, loss):
        """Step `step` (from 1) is done, with that loss."""
        now = time.perf_counter(), time.process_time()
        self.losses.append(loss)
        if self.since is not None:
            self.seconds += now[0] - self.since[0]
            self.cpu += now[1] - self.since[1]
        if self.seconds >= self.until or step == self.steps:
            row = {
                "step": step,
                "seconds": round(self.seconds, 3),
                "cpu": round(self.cpu, 3),
                "loss": float(np.mean(self.losses)),
                "bits_per_byte": self.examine(),
            }
            self.losses.clear()
            self.until = self.seconds + self.over(row)
        self.since = time.perf_counter(), time.process_time()


def windows_of(tokens, context):
    """Inputs and targets of windows that follow one another."""
    count = (len(tokens) - 1) // context
    flat = torch.from_numpy(tokens[: count * context + 1].astype(np.int64))
    return flat[:-1].view(count, context), flat[1:].view(count, context)


def held_bits(loss_of, held, context):
    """Bits per byte of each held-out text, from nothing every `context`.

    `held` has for each name the tokens and the bytes in which they would
    be written. One way of counting for both systems; the evaluation of
    the book is another, in which every token sees a longer past.
    """
    found = {}
    for name, (tokens, size) in held.items():
        x, y = windows_of(tokens, context)
        size = size * y.numel() / (len(tokens) - 1)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            nats = sum(
                float(loss_of(a, b)) * b.numel()
                for a, b in zip(x.split(16), y.split(16), strict=True)
            )
        found[name] = round(nats / LN2 / size, 4)
    return found


def read_held(folder):
    """What `Prepared.save` in bench_training has written."""
    with np.load(Path(folder) / "held.npz") as file:
        names = [n for n in file.files if not n.endswith(".bytes")]
        return {n: (file[n], int(file[f"{n}.bytes"])) for n in names}


def sizes_of(config):
    """The sizes of the model of a RunConfig, as nanoGPT takes them."""
    shape = config.model_config
    return {
        "vocab": shape.vocab_size,
        "width": shape.hidden_size,
        "layers": shape.num_hidden_layers,
        "heads": shape.num_attention_heads,
        "context": config.train.context,
    }


def only_steps(train, task, **settings):
    """Settings of a run that logs each step and does nothing beside."""
    return replace(
        train,
        **settings,
        steps=task["steps"],
        threads=task["threads"],
        log_every=1,
        eval_every=0,
        sample_every=0,
        checkpoint_every=0,
    )


def run_ours(task, config, over):
    """The book's trainer on its own batches; task may change its settings."""
    from llm_from_scratch.data.loader import TokenLoader
    from llm_from_scratch.data.shard_set import ShardSet
    from llm_from_scratch.model.head import linear_cross_entropy
    from llm_from_scratch.model.transformer import TransformerLM
    from llm_from_scratch.train.trainer import Trainer

    train = only_steps(config.train, task, **task["settings"])
    sources = {}
    for path in sorted(Path(task["data"]).glob("shards/*")):
        shards = ShardSet(path)
        sources[path.name] = (shards, float(len(shards)))
    loader = TokenLoader(
        sources,
        batch_size=train.batch_size,
        context=train.context,
        seed=train.seed,
    )
    draw = torch.Generator().manual_seed(train.seed)
    model = TransformerLM(config.model_config, generator=draw)
    held = read_held(task["data"])

    def loss_of(x, y):
        hidden = model.hidden_states(x)
        return linear_cross_entropy(hidden, model.lm_head.weight, y)

    clock = Clock(
        over, lambda: held_bits(loss_of, held, train.context), train.steps
    )

    def report(row):
        if row["kind"] == "train":
            clock(row["step"], row["loss"])

    found = {"parameters": sum(p.numel() for p in model.parameters())}
    over({"ready": found})
    Trainer(model, loader, train, task["folder"], report=report).run()


def run_nanogpt(task, config, over):
    """The loop of peers.loop on the same tokens, as one file."""
    torch.set_num_threads(task["threads"])
    settings = loop.LoopConfig(
        steps=task["steps"],
        context=config.train.context,
        seed=config.train.seed,
        **task["settings"],
    )
    model = loop.make_gpt(sizes_of(config), settings.seed)
    data = np.memmap(Path(task["data"]) / "train.bin", np.uint16, "r")
    held = read_held(task["data"])
    clock = Clock(
        over, lambda: held_bits(model, held, settings.context), settings.steps
    )
    found = {"parameters": sum(p.numel() for p in model.parameters())}
    over({"ready": found})
    loop.train(model, data, settings, clock)


RUN = {"ours": run_ours, "nanogpt": run_nanogpt}

# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""What a run will cost, before it costs anything."""

import math
import time
from pathlib import Path

import torch
from torch import Tensor

from llm_from_scratch.core.files import format_size
from llm_from_scratch.core.runtime import pick_device, set_threads
from llm_from_scratch.corpus.fetch import slice_files
from llm_from_scratch.model.account import (
    activation_bytes,
    parameter_count,
    training_flops,
    training_memory,
)
from llm_from_scratch.model.head import CHUNK, linear_cross_entropy
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.runs.compiler import compiler_problem
from llm_from_scratch.runs.config import (
    RunConfig,
    how_to_fetch,
    missing_sets,
    needed_sets,
)
from llm_from_scratch.train.precision import autocast

__all__ = [
    "EAGER",
    "PAGE_BYTES",
    "PROBE_FLOPS",
    "SHARED",
    "SLACK",
    "bytes_per_token",
    "duration",
    "measured_rate",
    "memory_bytes",
    "plan",
    "text_bytes",
]


PAGE_BYTES = 1020  # of a page of Smallweb, on average
PROBE_FLOPS = 4e10  # of a step by which the machine is measured
SHARED = 0.7  # of its own speed that a further thread adds
EAGER = 1.2  # by which a step that is not compiled is slower than the probe
SLACK = 1.5  # of the time, for looks, checkpoints and other programs


def text_bytes(config: RunConfig) -> int:
    """About how much text the sources hold that are here."""
    size, absent = 0, missing_sets(config)
    for source in config.corpus.chosen:
        if source.startswith("smallweb"):
            size += config.corpus.pages * PAGE_BYTES
        elif Path(source).is_file():
            size += Path(source).stat().st_size
    for name in needed_sets(config):
        if name not in absent:
            size += sum(path.stat().st_size for path in slice_files(name))
    return size


def memory_bytes(config: RunConfig) -> int:
    """Weights, gradients, AdamW's moments, activations of a micro-batch.

    In float32; of the logits only a chunk is ever there.
    """
    train, model = config.train, config.model_config
    rows = train.micro_batch_size or train.batch_size
    parts = activation_bytes(model, rows, train.context)
    kept = parts.total - parts.head
    if train.activation_checkpointing:
        kept = kept // model.num_hidden_layers + 4 * (
            rows * train.context * model.hidden_size * model.num_hidden_layers
        )
    chunk = 4 * model.vocab_size * (min(CHUNK, rows * train.context))
    whole = training_memory(model, 1, 1)
    return whole.total - whole.activations + kept + chunk


def measured_rate(config: RunConfig, rounds: int = 3) -> float:
    """Floating-point operations a second of real steps on this machine.

    A few rows go forward and backward through the model itself, in the
    run's precision, not compiled. On a CPU one thread is timed by its own
    clock, which a busy machine does not disturb, and SHARED of the others
    is added.
    """
    train, shape = config.train, config.model_config
    device, threads = pick_device(train.device), set_threads(train.threads)
    each = training_flops(shape, 1, train.context)
    rows = max(1, min(train.batch_size, int(PROBE_FLOPS / each)))
    with torch.random.fork_rng():
        model = TransformerLM(shape).to(device)
        size = (rows, train.context + 1)
        ids = torch.randint(shape.vocab_size, size).to(device)
    on_cpu = device.type == "cpu"
    clock = time.thread_time if on_cpu else time.perf_counter
    seconds = []
    torch.set_num_threads(1 if on_cpu else threads)
    try:
        for _ in range(rounds + 1):
            start = clock()
            _probe(model, ids, train.precision)
            seconds.append(clock() - start)
    finally:
        torch.set_num_threads(threads)
    rate = rows * each / min(seconds[1:])
    return rate * (1 + SHARED * (threads - 1)) if on_cpu else rate


def _probe(model: TransformerLM, ids: Tensor, precision: str) -> None:
    """One forward and backward pass, waited for."""
    device = ids.device
    with autocast(device, precision):
        hidden = model.hidden_states(ids[:, :-1])
        loss = linear_cross_entropy(hidden, model.lm_head.weight, ids[:, 1:])
    loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def plan(config: RunConfig, *, measure: bool = True) -> dict[str, str]:
    """What the run will read, compute, hold and take.

    Sizes of the model, its operations and memory are computed, the texts
    are estimated, the time follows from a few steps that are measured.
    """
    train, model = config.train, config.model_config
    size, absent = text_bytes(config), missing_sets(config)
    tokens = size / bytes_per_token(model.vocab_size)
    count = parameter_count(model)
    flops = train.steps * training_flops(model, train.batch_size, train.context)
    disk = 2 * tokens + 16 * count.total * train.keep_checkpoints + 2 * size
    lines = {
        "sources": ", ".join(config.corpus.chosen),
        "text": f"about {format_size(size)}, {_big(tokens)} tokens",
        "vocabulary": f"{model.vocab_size:,} tokens",
        "model": f"{_big(count.total)} parameters, {_big(count.body)} of them "
        f"in {model.num_hidden_layers} blocks of width {model.hidden_size}",
        "training": f"{train.steps:,} steps of {train.batch_size} x "
        f"{train.context} tokens: {_big(train.tokens)}, "
        f"{train.tokens / max(tokens, 1):.1f} times the text",
        "operations": f"{flops:.2e} FLOPs",
        "memory": f"about {format_size(memory_bytes(config))}",
        "disk": f"about {format_size(int(disk))}",
    }
    problem = compiler_problem(config)
    if measure:
        lines["time"] = _time(config, flops, train.compile and not problem)
    if problem:
        lines["compiler"] = f"training will not be compiled: {problem}"
    if absent:
        lines["missing"] = how_to_fetch(absent)
    return lines


def _time(config: RunConfig, flops: int, compiled: bool) -> str:
    """How long so many operations take here, from a few steps."""
    rate = measured_rate(config) / (1 if compiled else EAGER)
    return (
        f"{duration(flops / rate)} to {duration(SLACK * flops / rate)} of "
        f"training, at the {rate / 1e9:.0f} GFLOP/s that a step reaches "
        "here while nothing else runs"
    )


def bytes_per_token(vocab_size: int) -> float:
    """About how much English a token holds: a law of thumb in log V."""
    return max(1.0, 0.3 * math.log2(vocab_size))


def duration(seconds: int | float) -> str:
    """Seconds for people: "50 s", "12 min", "3.4 h", "2.1 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def _big(number: int | float) -> str:
    """A count for people: "4.2 million"."""
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:.0f}"

"""Where time goes: matrix products, attention by length, the head, decoding.

Run by bench_model.py in a process of its own, on one thread.
"""

import json
import sys
import time
from statistics import median

import torch
import torch.nn.functional as F

from peers.training import Training, our_model


def seconds(call, repeats):
    """Wall seconds of one call: median, least and most of `repeats`."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return [median(times), min(times), max(times)]


def peak_rates(sizes, quick):
    """GFLOP/s of one large matrix product in each precision, and errors."""
    n = 256 if quick else 2048
    a, b = torch.randn(2, n, n).unbind()
    exact = a[:64].double() @ b.double().T
    rows = {}
    for name in ("fp32", "medium", "bf16"):
        precision = "medium" if name == "medium" else "highest"
        torch.set_float32_matmul_precision(precision)
        dtype = torch.bfloat16 if name == "bf16" else torch.float32
        x, y = a.to(dtype), b.to(dtype)
        times = seconds(lambda x=x, y=y: F.linear(x, y), 7)
        error = (F.linear(x, y)[:64].double() - exact).norm() / exact.norm()
        rows[name] = {
            "gflops": 2 * n**3 / times[1] / 1e9,
            "relative_error": error.item(),
        }
    torch.set_float32_matmul_precision("highest")
    return rows


def attention_by_length(sizes, quick):
    """Forward and backward of plain and fused attention, equal tokens."""
    from llm_from_scratch.model.attention import _plain

    def plain(q, k, v):
        return _plain(q, k, v, None, True)

    def fused(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    rows, heads, width = [], sizes["heads"], sizes["width"] // sizes["heads"]
    for dtype in (torch.float32, torch.bfloat16):
        wide = dtype == torch.float32
        for length in (16, 32) if quick else (64, 128, 256, 512, 1024, 2048):
            shape = (max(1, 2048 // length), heads, length, width)
            args = [
                torch.randn(shape, dtype=dtype, requires_grad=True)
                for _ in range(3)
            ]
            slope = torch.randn(shape, dtype=dtype)
            for name, one in {"plain": plain, "fused": fused}.items():
                for compiled in (False, True)[: 1 if wide or quick else 2]:
                    torch._dynamo.reset()
                    call = torch.compile(one) if compiled else one

                    def step(call=call, args=args, slope=slope):
                        torch.autograd.grad(call(*args), args, slope)

                    step()
                    rows.append(
                        {
                            "way": name,
                            "compiled": compiled,
                            "dtype": str(dtype)[6:],
                            "length": length,
                            "seconds": seconds(step, 3),
                        }
                    )
    return rows


def attention_one_token(sizes, quick):
    """One new token against the keys of a cache, without gradients."""
    from llm_from_scratch.model.attention import _plain

    ways = {
        "plain": lambda q, k, v: _plain(q, k, v, None, False),
        "fused": F.scaled_dot_product_attention,
    }
    rows, heads, width = [], sizes["heads"], sizes["width"] // sizes["heads"]
    for dtype in (torch.float32, torch.bfloat16):
        for batch in (1, 16):
            q = torch.randn(batch, heads, 1, width, dtype=dtype)
            k, v = torch.randn(2, batch, heads, 144, width, dtype=dtype)
            for name, call in ways.items():
                with torch.no_grad():

                    def ten(call=call, q=q, k=k, v=v):
                        for _ in range(10):
                            call(q, k, v)

                    times = [x / 10 for x in seconds(ten, 9)]
                rows.append(
                    {
                        "way": name,
                        "dtype": str(dtype)[6:],
                        "batch": batch,
                        "seconds": times,
                    }
                )
    return rows


def head_by_chunk(sizes, quick):
    """Loss and both gradients of the head: whole, and by chunks."""
    from llm_from_scratch.model.head import linear_cross_entropy

    tokens = sizes["batch"] * sizes["context"]
    hidden = torch.randn(tokens, sizes["width"], requires_grad=True)
    weight = torch.randn(sizes["vocab"], sizes["width"]).mul_(0.05)
    weight.requires_grad_()
    targets = torch.randint(sizes["vocab"], (tokens,))
    rows = []
    for bf16 in (False, True):
        for chunk in (0, 64) if quick else (0, 64, 256, 512, 1024, 4096):

            def step(chunk=chunk, bf16=bf16):
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    if chunk:
                        loss = linear_cross_entropy(
                            hidden, weight, targets, chunk_size=chunk
                        )
                    else:
                        loss = F.cross_entropy(
                            F.linear(hidden, weight), targets
                        )
                torch.autograd.grad(loss, (hidden, weight))

            precision = "bf16" if bf16 else "fp32"
            rows.append(
                {
                    "chunk": chunk,
                    "precision": precision,
                    "seconds": seconds(step, 3),
                }
            )
    return rows


def step_profile(sizes, quick):
    """Share of each kind of operation in a training step, eager, bf16."""
    from torch.profiler import ProfilerActivity, profile

    case = Training({"system": "ours", "precision": "bf16"}, sizes)
    for _ in range(3):
        case.step()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        case.step()
    return kinds_of(record)


def token_profile(sizes, quick):
    """The same for eager decoding in float32, one text and sixteen."""
    from torch.profiler import ProfilerActivity, profile

    from llm_from_scratch.infer.generation import generate

    model, found = our_model(sizes), {}
    for batch in (1, 16):
        ids = torch.randint(sizes["vocab"], (batch, sizes["prompt"]))
        generate(model, ids, 4)
        with profile(activities=[ProfilerActivity.CPU]) as record:
            generate(model, ids, 4 if quick else 32)
        found[str(batch)] = kinds_of(record)
    return found


KINDS = {
    "matrix products": ("mm", "addmm", "linear", "_linear_pointwise"),
    "attention products": ("bmm", "baddbmm"),
    "optimizer": ("_fused_adamw_",),
}


def kinds_of(record):
    """Microseconds by kind of operation, and how many operations ran."""
    found, calls = dict.fromkeys([*KINDS, "the rest"], 0.0), 0
    for event in record.key_averages():
        name = event.key.removeprefix("aten::").removeprefix("mkldnn::")
        kind = next((k for k, v in KINDS.items() if name in v), "the rest")
        if "scaled_dot_product" in name:
            kind = "attention products"
        found[kind] += event.self_cpu_time_total
        calls += event.count if event.key.startswith("aten::") else 0
    return {"microseconds": found, "operations": calls}


def decoding_by_batch(sizes, quick):
    """Milliseconds of one step for all texts, eager and compiled."""
    from llm_from_scratch.infer.compiled import CompiledDecoder
    from llm_from_scratch.infer.generation import generate

    rows, new = [], 4 if quick else 32
    for batch in (1, 2) if quick else (1, 2, 4, 8, 16, 32, 64):
        ids = torch.randint(sizes["vocab"], (batch, sizes["prompt"]))
        for precision in ("fp32", "bf16"):
            model = our_model(sizes)
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            model.to(dtype)
            ways = {"eager": lambda n, m=model, i=ids: generate(m, i, n)}
            if precision == "bf16" and batch in (1, 16, 64) and not quick:
                room = sizes["prompt"] + new
                maker = CompiledDecoder(model, batch, room, dtype=dtype)
                ways["compiled"] = lambda n, d=maker, i=ids: d.generate(i, n)
            for way, call in ways.items():
                start = seconds(lambda call=call: call(1), 5)[0]
                whole = seconds(lambda call=call: call(new), 5)
                rows.append(
                    {
                        "batch": batch,
                        "precision": precision,
                        "way": way,
                        "seconds": [(x - start) / (new - 1) for x in whole],
                    }
                )
    return rows


PARTS = {
    "training": {
        "peak": peak_rates,
        "step": step_profile,
        "attention": attention_by_length,
        "head": head_by_chunk,
    },
    "generation": {
        "token": token_profile,
        "one_token": attention_one_token,
        "decoding": decoding_by_batch,
    },
}


def main():
    """Measure everything and print it."""
    task = json.loads(sys.argv[1])
    sizes, quick = task["sizes"], task["quick"]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    out = {name: call(sizes, quick) for name, call in PARTS[task["of"]].items()}
    print(json.dumps(out))


if __name__ == "__main__":
    main()

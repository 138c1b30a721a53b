"""Our tokenizer beside rustbpe, tiktoken and Hugging Face `tokenizers`.

    python benchmarks/bench_tokenizer.py            all of it, about 8 minutes
    python benchmarks/bench_tokenizer.py --rounds 1 the whole text, but once
    python benchmarks/bench_tokenizer.py --quick    a small text, one round

Every measurement runs in a process of its own, since peers fix their number
of threads when they start. The tools take turns, round after round, so that
a busy minute hits them all. Loading text and imports are not timed; what is
timed is one call that trains or encodes, with machine code compiled before.
Results go to benchmarks/results/tokenizer.json, from which the book prints.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from peers.machine import machine, memory_bytes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tokenizer.json"
END = "<|endoftext|>"
PACKAGES = ("numba", "numpy", "regex", "rustbpe", "tiktoken", "tokenizers")
VOCAB = 32_768
PATTERNS = ("gpt2", "gpt4")
# tiktoken's own spellings, which it runs faster than ours; same pieces.
TIKTOKEN = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++"
    r"|\s++$|\s+(?!\S)|\s",
    "gpt4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
}


def our_pattern(name):
    from llm_from_scratch.tokenizer import pattern

    return {"gpt2": pattern.GPT2_PATTERN, "gpt4": pattern.CL100K_PATTERN}[name]


def clocked(call):
    """Run once; return wall and CPU seconds of all threads, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu}, result


def peak_mb():
    """Most memory this process has held, in MB."""
    # ru_maxrss would count what the parent held, too.
    known = memory_bytes() / 2**20
    return known or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def load(folder, name="text"):
    return (folder / f"{name}.txt").read_text("utf-8").split(END)


# --- workers, one process each


def train_ours(folder, pattern, threads):
    from llm_from_scratch.tokenizer import train_bpe

    def run(path, size):
        return train_bpe(
            path, size, [END], pattern=our_pattern(pattern), num_threads=threads
        )

    run(folder / "tiny.txt", 300)  # loads the machine code
    return clocked(lambda: run(folder / "text.txt", VOCAB))


def train_rustbpe(folder, pattern, threads):
    import rustbpe

    texts = load(folder)
    tool = rustbpe.Tokenizer()
    return clocked(
        lambda: tool.train_from_iterator(
            iter(texts), VOCAB - 1, pattern=TIKTOKEN[pattern]
        )
    )


def train_hf(folder, pattern, threads):
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    texts = load(folder)
    tool = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if pattern == "gpt4":  # GPT-2's is built in
        split = pre_tokenizers.Split(Regex(our_pattern("gpt4")), "isolated")
        level.use_regex = False
        level = pre_tokenizers.Sequence([split, level])
    tool.pre_tokenizer = level
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - 1,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    return clocked(lambda: tool.train_from_iterator(texts, trainer))


def saved(folder, pattern):
    from llm_from_scratch.tokenizer import Tokenizer

    return Tokenizer.from_hf(folder / f"{pattern}.json")


def tiktoken_of(folder, pattern):
    import tiktoken

    ours = saved(folder, pattern)
    return tiktoken.Encoding(
        pattern,
        pat_str=TIKTOKEN[pattern],
        mergeable_ranks=ours.plain,
        special_tokens=ours.special_tokens,
    )


def encode_ours(folder, pattern, threads, name="text"):
    tool, texts = saved(folder, pattern), load(folder, name)
    list(tool.encode_documents(["warm up"], num_threads=threads))
    fresh = saved(folder, pattern)  # it has met no piece yet
    times, ids = clocked(
        lambda: list(
            fresh.encode_documents(
                texts, allowed_special="none", num_threads=threads
            )
        )
    )
    return times, ids


def encode_tiktoken(folder, pattern, threads, name="text"):
    import numpy as np

    tool, texts = tiktoken_of(folder, pattern), load(folder, name)
    tool.encode_ordinary("warm up")
    ways = {
        "a call for each text": lambda: list(map(tool.encode_ordinary, texts)),
        "its batch": lambda: tool.encode_ordinary_batch(
            texts, num_threads=threads
        ),
    }
    if threads == 1:
        ways["arrays"] = lambda: [
            tool.encode_to_numpy(t, disallowed_special=()) for t in texts
        ]
    else:
        del ways["a call for each text"]
    best, ids = {"wall": float("inf")}, None
    for way, call in ways.items():  # its best setting counts
        times, got = clocked(call)
        if times["wall"] < best["wall"]:
            best, ids = times | {"way": way}, got
    return best, [np.asarray(i, np.uint32) for i in ids]


def encode_hf(folder, pattern, threads):
    from tokenizers import Tokenizer

    tool = Tokenizer.from_file(str(folder / f"{pattern}.json"))
    texts = load(folder, "part")
    tool.encode_batch_fast(["warm up"])
    times, found = clocked(lambda: tool.encode_batch_fast(texts))
    return times, [f.ids for f in found]


def encode_kind(folder, kind, tool):
    """Text of another kind, one thread; sizes of the pieces it has."""
    run = {"ours": encode_ours, "tiktoken": encode_tiktoken}[tool]
    return run(folder, "gpt2", 1, kind)


def first_call(folder, state):
    """Import, train on a few lines, encode them: seconds of each."""
    start, cpu = time.perf_counter(), time.process_time()
    from llm_from_scratch.tokenizer import Tokenizer, train_bpe

    imported = time.perf_counter()
    learned = train_bpe(folder / "tiny.txt", 300, [END], num_threads=1)
    trained = time.perf_counter()
    Tokenizer(*learned, [END]).encode("a first text")
    done = time.perf_counter()
    return {
        "import": imported - start,
        "train": trained - imported,
        "encode": done - trained,
        "cpu": time.process_time() - cpu,
    }, None


def prompts(folder, tool):
    """Microseconds of one call, by length of the prompt in characters."""
    text = load(folder)[0] + "".join(load(folder, "part")[:20])
    encode = saved(folder, "gpt2").encode
    if tool == "tiktoken":
        encode = tiktoken_of(folder, "gpt2").encode_ordinary
    out = {}
    for size in (10, 30, 100, 300, 1000, 3000, 10_000):
        prompt = text[:size]
        encode(prompt)
        calls, times = max(10, 100_000 // size), []
        for _ in range(7):
            start = time.perf_counter()
            for _ in range(calls):
                encode(prompt)
            times.append((time.perf_counter() - start) / calls * 1e6)
        out[str(size)] = median(times)
    return {"microseconds": out}, None


def memory(folder, task, copies):
    """Peak memory of training on, or encoding, a file of many copies."""
    path = folder / f"copies{copies}.txt"
    from llm_from_scratch.tokenizer import train_bpe

    tool = saved(folder, "gpt2")
    train_bpe(folder / "tiny.txt", 300, [END])
    before = peak_mb()
    count = 0
    if task == "train":
        train_bpe(path, VOCAB, [END])
    else:
        lines = (line for line in open(path, encoding="utf-8"))  # noqa: SIM115
        for ids in tool.encode_documents(lines):
            count += len(ids)
    return {
        "file_mb": path.stat().st_size / 1e6,
        "before_mb": before,
        "peak_mb": peak_mb(),
    }, None


# --- the run


def worker(folder, task, *arguments):
    """Measure in this process and print what was found."""
    typed = [int(a) if a.isdigit() else a for a in arguments]
    found, ids = globals()[task](folder, *typed)
    if ids is not None and task.startswith("encode"):
        import hashlib

        import numpy as np

        flat = np.concatenate([np.asarray(i, np.uint32) for i in ids])
        found["tokens"] = len(flat)
        found["sha256"] = hashlib.sha256(flat.tobytes()).hexdigest()[:16]
    found["peak_mb"] = found.get("peak_mb", peak_mb())
    print(json.dumps(found))


def measure(folder, task, *arguments, threads=1, env=None):
    """Run one worker; its threads are limited before it starts."""
    limits = {
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, __file__, "--worker", str(folder), task]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=os.environ | limits | (env or {}),
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def interleaved(folder, rounds, cases):
    """Measure all cases in turn, round after round; collect the lists."""
    runs = {case: {} for case in cases}
    for _ in range(rounds):
        for case, lists in runs.items():
            found = measure(folder, *case, threads=case[2])
            for key, value in found.items():
                lists.setdefault(key, []).append(value)
    return [summary(*case, lists) for case, lists in runs.items()]


def summary(name, pattern, threads, runs):
    """One row of the results: what was run, and the list of its times."""
    task, tool = name.split("_")
    ids = {key: runs[key][0] for key in ("tokens", "sha256") if key in runs}
    return {
        "task": task,
        "tool": tool,
        "pattern": pattern,
        "threads": threads,
        "wall": [round(x, 4) for x in runs["wall"]],
        "cpu": [round(x, 4) for x in runs["cpu"]],
        "peak_mb": round(max(runs["peak_mb"])),
        **ids,
        **({"way": runs["way"][-1]} if "way" in runs else {}),
    }


def prepare(folder, quick):
    """Write the texts and train the vocabularies that are measured."""
    from llm_from_scratch.corpus.documents import documents
    from llm_from_scratch.corpus.labeled import languages
    from llm_from_scratch.tokenizer import Tokenizer, train_bpe

    texts = [d.text for d in documents("bench")]
    random.Random(0).shuffle(texts)
    if quick:
        texts = texts[: len(texts) // 20]
    (folder / "text.txt").write_text(END.join(texts), "utf-8", newline="")
    (folder / "tiny.txt").write_text(END.join(texts[:3]), "utf-8", newline="")
    part = texts[: len(texts) // 5]
    (folder / "part.txt").write_text(END.join(part), "utf-8", newline="")
    declared = [d.text for d in languages()]
    (folder / "languages.txt").write_text(END.join(declared), "utf-8")
    rng = random.Random(1)
    codes = [
        " ".join(f"{rng.getrandbits(64):x}" for _ in range(400))
        for _ in range(20 if quick else 700)
    ]
    (folder / "codes.txt").write_text(END.join(codes), "utf-8")
    for pattern in PATTERNS:
        learned = train_bpe(
            folder / "text.txt", VOCAB, [END], pattern=our_pattern(pattern)
        )
        tool = Tokenizer(*learned, [END], pattern=our_pattern(pattern))
        tool.save_hf(folder / f"{pattern}.json")
    for copies in (1, 2, 4, 8):
        with open(folder / f"copies{copies}.txt", "wb") as file:
            for _ in range(copies):
                file.write((folder / "text.txt").read_bytes())
    return {
        "bytes": (folder / "text.txt").stat().st_size
        - len(END) * (len(texts) - 1),
        "documents": len(texts),
        "part_bytes": sum(len(t.encode()) for t in part),
    }


def kinds(folder, rounds):
    """Encoding rates on prose, on 532 languages and on random codes."""
    rows = []
    for kind in ("part", "languages", "codes"):
        row = {"kind": kind}
        texts = load(folder, kind)
        row["bytes"] = sum(len(t.encode()) for t in texts)
        for _ in range(rounds):
            for tool in ("ours", "tiktoken"):
                found = measure(folder, "encode_kind", kind, tool)
                row.setdefault(tool, []).append(round(found["wall"], 4))
                row.setdefault(f"{tool}_cpu", []).append(round(found["cpu"], 4))
        rows.append(row)
    return rows


def run(quick, rounds):
    """Measure everything and write the results."""
    rounds = 1 if quick else rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = {"machine": machine(PACKAGES), "text": prepare(folder, quick)}
        out["text"]["vocab_size"] = VOCAB
        train = [
            (f"train_{tool}", pattern, threads)
            for pattern in PATTERNS
            for threads in (1, 2)
            for tool in ("ours", "rustbpe", "hf")
            if tool != "hf" or threads == 2
        ]
        out["train"] = interleaved(folder, rounds, train)
        encode = [
            (f"encode_{tool}", pattern, threads)
            for pattern in PATTERNS
            for threads in (1, 2)
            for tool in ("ours", "tiktoken", "hf")
        ]
        out["encode"] = interleaved(folder, rounds, encode)
        out["kinds"] = kinds(folder, min(rounds, 3))
        out["prompts"] = {
            tool: measure(folder, "prompts", tool)["microseconds"]
            for tool in ("ours", "tiktoken")
        }
        out["memory"] = [
            {"task": task} | measure(folder, "memory", task, copies, threads=2)
            for task in ("train", "encode")
            for copies in (1, 2, 4, 8)
        ]
        with tempfile.TemporaryDirectory() as cache:
            env = {"NUMBA_CACHE_DIR": cache}
            out["first_call"] = {
                state: measure(folder, "first_call", state, env=env)
                for state in ("compile", "from_disk")
            }
    check(out)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n", "utf-8")
    report(out)


def check(out):
    """All tools that encoded the same text gave the same ids."""
    for pattern in PATTERNS:
        rows = [r for r in out["encode"] if r["pattern"] == pattern]
        for group in (("ours", "tiktoken"), ("hf",)):
            hashes = {r["sha256"] for r in rows if r["tool"] in group}
            assert len(hashes) == 1, (pattern, group, hashes)


def report(out):
    """Print the medians and how many times faster we are."""
    sizes = {"hf": out["text"]["part_bytes"]}
    for task in ("train", "encode"):
        for pattern in PATTERNS:
            for threads in (1, 2):
                rows = {
                    r["tool"]: r
                    for r in out[task]
                    if (r["pattern"], r["threads"]) == (pattern, threads)
                }
                for tool, row in rows.items():
                    whole = out["text"]["bytes"]
                    size = sizes.get(tool, whole) if task == "encode" else whole
                    wall, cpu = median(row["wall"]), median(row["cpu"])
                    ours = median(rows["ours"]["wall"]) / whole
                    print(
                        f"{task:6} {pattern} {threads} threads {tool:9}"
                        f"{wall:8.2f} s {cpu:8.2f} cpu-s"
                        f"{size / wall / 1e6:8.1f} MB/s"
                        f"  ours is {wall / size / ours:5.2f}x"
                        f"  {row['peak_mb']:5} MB"
                    )
    for name in ("kinds", "prompts", "memory", "first_call"):
        print(name, json.dumps(out[name], indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs="+")
    options = parser.parse_args()
    if options.worker:
        worker(Path(options.worker[0]), *options.worker[1:])
    else:
        run(options.quick, options.rounds)

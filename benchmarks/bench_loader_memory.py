"""Resident memory while windows are read from a shard of 4 GB.

python benchmarks/bench_loader_memory.py    writes results/loader_memory.json

Once through `ShardSet` and once through one `np.memmap`, as simple loaders
do it, each in a process of its own. The shard has holes for tokens, so it
takes no room on the disk. Linux only.
"""

import argparse
import json
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers.machine import machine, memory_bytes

RESULT = Path(__file__).parent / "results" / "loader_memory.json"
GB = 2**30


def hollow_set(folder: Path, size: int) -> Path:
    """A set of one shard whose tokens are all zero; return the shard."""
    from llm_from_scratch.data.shards import HEADER, ShardHeader

    tokens = size // 2
    header = ShardHeader(
        vocab_size=10,
        end_of_text=0,
        tokens=tokens,
        documents=1,
        tokenizer="",
        text="",
        sha256="",
    )
    path = folder / "shard-00000.tokens"
    with open(path, "wb") as file:
        file.write(header.to_bytes())
        file.truncate(HEADER + size)
        file.seek(header.starts_at)
        file.write(np.array([0, tokens], "<i8").tobytes())
    entry = {"name": path.name, "tokens": tokens, "documents": 1}
    index = {
        "tokenizer": "",
        "vocab_size": 10,
        "end_of_text": 0,
        "fingerprint": "",
        "shards": [{**entry, "sha256": ""}],
    }
    (folder / "index.json").write_text(json.dumps(index))
    return path


def resident_mb() -> float:
    """Pages of files that count as memory of this process."""
    if found := memory_bytes("RssFile"):
        return found / 1e6
    raise OSError("no RssFile in /proc/self/status")


def memory_curve(way: str, size: int, windows: int, every: int) -> list[float]:
    """Resident file pages in MB, before and after each `every` windows."""
    from llm_from_scratch.data.shard_set import ShardSet

    with tempfile.TemporaryDirectory() as name:
        path = hollow_set(Path(name), size)
        shards = ShardSet(name)
        plain = np.memmap(path, "<u2", "r", offset=1024)
        starts = np.random.default_rng(0).integers(0, size // 2 - 2048, windows)
        curve = [resident_mb()]
        for number, start in enumerate(starts.tolist()):
            if way == "ShardSet":
                shards.window(start, 1025)
            else:
                plain[start : start + 1025].astype(np.int64)
            if (number + 1) % every == 0:
                curve.append(resident_mb())
    return [round(value - curve[0], 1) for value in curve]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    size, windows = (GB // 4, 2000) if quick else (4 * GB, 60_000)
    every = windows // 240
    curves = {}
    for way in ("ShardSet", "np.memmap"):
        with ProcessPoolExecutor(1) as pool:
            task = pool.submit(memory_curve, way, size, windows, every)
            curves[way] = task.result()
        print(f"{way:10} peak {max(curves[way]):7.0f} MB")
    result = {
        "command": "python benchmarks/bench_loader_memory.py",
        "machine": machine(["numpy"]),
        "shard_mb": round(size / 1e6),
        "windows": windows,
        "every": every,
        "window_tokens": 1025,
        "resident_mb": curves,
    }
    if not quick:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

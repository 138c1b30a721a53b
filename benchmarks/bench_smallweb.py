"""Make the small web at its size and at twenty times that, and weigh it.

python benchmarks/bench_smallweb.py     writes results/smallweb.json
"""

import datetime
import gc
import json
import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

SIZES = (1000, 4000, 20_000, 80_000)
RESULT = Path(__file__).parent / "results" / "smallweb.json"


def measure(pages: int) -> dict[str, float]:
    """One web of so many pages in a process of its own."""
    from llm_from_scratch.corpus.smallweb import (
        SmallwebConfig,
        read_labels,
        write_smallweb,
    )

    config = SmallwebConfig(pages=pages)
    with tempfile.TemporaryDirectory() as scratch:
        gc.collect()
        start = time.process_time()
        manifest = write_smallweb(config, Path(scratch) / "web")
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        files = manifest["files"]
        warc = sum(
            entry["bytes"]
            for name, entry in files.items()
            if name.endswith(".warc.gz")
        )
        text = sum(
            len(label.text.encode())
            for label in read_labels(Path(scratch) / "web")
        )
    return {
        "pages": pages,
        "records": manifest["records"],
        "cpu_seconds": round(seconds, 1),
        "pages_per_second": round(pages / seconds),
        "peak_mb": round(peak),
        "text_mb": round(text / 1e6, 2),
        "warc_mb": round(warc / 1e6, 2),
        "labels_mb": round(files["labels.jsonl"]["bytes"] / 1e6, 2),
        "html_mb": round(html_bytes(pages) / 1e6, 2),
    }


def html_bytes(pages: int) -> int:
    """Bytes of all bodies before they are packed for the wire."""
    from llm_from_scratch.corpus.smallweb import SmallwebConfig, smallweb_pages

    config = SmallwebConfig(pages=pages)
    return sum(len(page.data) for page in smallweb_pages(config))


def main() -> None:
    """Measure every size in a fresh process and write the result."""
    context = multiprocessing.get_context("spawn")
    runs = []
    for pages in SIZES:
        with context.Pool(1) as pool:
            runs.append(pool.apply(measure, (pages,)))
        print(runs[-1], flush=True)
    result = {
        "command": "python benchmarks/bench_smallweb.py",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, Python {sys.version.split()[0]}",
        "runs": runs,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Run every notebook again and compare it with its stored outputs (nbval).

    python -m book.press.validate [PREFIX ...]     no prefix: all of them

Two notebooks at a time, one thread each; the one that took longest when it
was last executed here starts first.
"""

import json
import subprocess
import sys
from pathlib import Path

from book.press.kernel import environment
from book.press.paths import Layout, PressError
from book.press.run import CELL_SECONDS

WORKERS = 2


def longest_first(paths: list[Path], layout: Layout) -> list[Path]:
    """Notebooks by known seconds, else by size of their text, descending."""
    record = layout.cache / "seconds.json"
    known = json.loads(record.read_text("utf-8")) if record.exists() else {}

    def cost(path: Path) -> tuple[int, int]:
        text = path.with_suffix(".md")
        return known.get(layout.name(text), 0), path.stat().st_size

    return sorted(paths, key=cost, reverse=True)


def command(paths: list[Path]) -> list[str]:
    """The pytest command that validates the notebooks."""
    return [
        *(sys.executable, "-m", "pytest", "-q", "--nbval"),
        *("--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"),
        *("-n", str(min(WORKERS, len(paths))), "--dist", "loadfile"),
        "--no-loadscope-reorder",
        *("-p", "no:cacheprovider", "-p", "no:jaxtyping"),
        *("-o", "addopts=", "-o", "filterwarnings="),
        *map(str, paths),
    ]


def main() -> int:
    """Command line."""
    layout = Layout()
    try:
        texts = layout.select(sys.argv[1:])
    except PressError as error:
        print(f"notebooks: {error}", file=sys.stderr)
        return 1
    paths = [text.with_suffix(".ipynb") for text in texts]
    if missing := [layout.name(path) for path in paths if not path.exists()]:
        print(f"notebooks: not executed: {missing}", file=sys.stderr)
        return 1
    if not paths:
        return 0
    done = subprocess.run(
        command(longest_first(paths, layout)),
        env=environment(layout),
        cwd=layout.root,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

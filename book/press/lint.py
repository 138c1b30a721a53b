"""Run every static check and report on all of them.

python -m book.press.lint
"""

import subprocess
import sys
import time
from pathlib import Path

from book.press.paths import ROOT

BIN = Path(sys.executable).parent
SPELLED = ["book", "chapters", "tests", "README.md", "CONTRIBUTING.md"]
TOOLS = {
    "style": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [sys.executable, "-m", "mypy"],
    "layers": [str(BIN / "lint-imports"), "--no-logo"],
    "spelling": [sys.executable, "-m", "codespell_lib", *SPELLED],
    "text form": [sys.executable, "-m", "book.press.tidy", "--check"],
    "manuscript": [sys.executable, "-m", "book.press.structure"],
}


def main() -> int:
    """Command line."""
    failed = []
    for name, command in TOOLS.items():
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        seconds = time.monotonic() - start
        verdict = "FAILED" if done.returncode else "ok"
        print(f"lint: {name:<11} {verdict:<6} {seconds:5.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout + done.stderr, end="", flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

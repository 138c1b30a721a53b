"""Functions of a test file, run where nothing checks types."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_from_scratch.infer.compiled import has_cpp_compiler

ROOT = Path(__file__).resolve().parents[1]


def in_clean_process(cache: Path, *functions: Callable[[], None]) -> None:
    """Call them in a new interpreter; no compiler follows checked types.

    They belong to one test file and take no arguments. `cache` is where
    compiled code is kept. Skips the test where no C++ compiler is.
    """
    if not has_cpp_compiler():
        pytest.skip("needs a C++ compiler")
    home = functions[0].__module__.rpartition(".")[2]
    call = f"import {home} as t"
    call = "; ".join([call, *(f"t.{f.__name__}()" for f in functions)])
    done = subprocess.run(
        [sys.executable, "-c", call],
        cwd=ROOT,
        env=os.environ
        | {
            "TORCHINDUCTOR_CACHE_DIR": str(cache),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr

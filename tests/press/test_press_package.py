"""The package as readers meet it: light to import, nothing missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from book.press.package import render_package

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "llm_from_scratch"
SUBPACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in PACKAGE.rglob("__init__.py")
)


def python(program):
    """Run a program in a fresh interpreter, as a reader would."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_every_package_loads_nothing_heavy():
    heavy = "'torch', 'numpy', 'numba', 'regex'"
    python(
        f"import sys, {', '.join(SUBPACKAGES)}\n"
        f"assert not {{{heavy}}} & set(sys.modules)"
    )


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_every_public_name_is_there(package):
    python(
        f"import {package} as package\n"
        "for name in getattr(package, '__all__', []):\n"
        "    assert getattr(package, name) is getattr(package, name), name\n"
        "    assert name in dir(package)"
    )


def test_version_is_that_of_the_project():
    text = (ROOT / "pyproject.toml").read_text()
    version = python("import llm_from_scratch as p; print(p.__version__)")
    assert f'version = "{version.strip()}"' in text


def test_names_stand_in_the_order_that_ruff_wants():
    names = ("Trainer", "TrainResult", "TO_BYTE", "TOKEN")
    text = render_package("p", dict.fromkeys(names, "p.m"))
    listed = re.findall(r'^    "(\w+)",$', text, re.M)
    imported = re.findall(r"^    from p\.m import (\w+) as", text, re.M)
    assert listed == ["TOKEN", "TO_BYTE", "TrainResult", "Trainer"]
    assert imported == ["TO_BYTE", "TOKEN", "Trainer", "TrainResult"]

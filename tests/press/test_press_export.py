"""The exporter: what it writes, and each thing that it refuses."""

import subprocess
import sys

import pytest

from book.press.export import export
from book.press.plan import make_plan

HEAD = '"""Count things."""\n\nfrom collections import Counter'
COUNT = 'def count(xs):\n    """Count."""\n    return Counter(xs)'


@pytest.fixture
def counting(small, cell):
    """A book with one module, core.counting."""
    small.write(
        "01_count",
        "# Count\n",
        cell(HEAD, "export:core.counting"),
        "Prose.\n",
        cell(COUNT, "export:core.counting"),
        cell("print(count('abca'))"),
    )
    return small


def complaints(book):
    return make_plan(book).complaints()


def test_module_is_header_docstring_imports_all_cells(counting):
    assert not export(counting).complaints()
    text = (counting.package / "core" / "counting.py").read_text()
    assert text == (
        "# Generated from chapters/01_count.md by `make export`. "
        "Do not edit.\n"
        '"""Count things."""\n\n'
        "from collections import Counter\n\n"
        '__all__ = [\n    "count",\n]\n\n\n'
        'def count(xs):\n    """Count."""\n    return Counter(xs)\n'
    )


def test_package_loads_public_names_on_first_use(counting):
    export(counting)
    program = (
        "import sys, llm_from_scratch.core as core\n"
        "assert 'llm_from_scratch.core.counting' not in sys.modules\n"
        "assert 'count' in dir(core)\n"
        "from llm_from_scratch.core import count\n"
        "assert count('aa')['a'] == 2\n"
        "core.absent\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=counting.root,
        capture_output=True,
        text=True,
    )
    assert "has no attribute 'absent'" in done.stderr.splitlines()[-1]


def test_package_passes_ruff_and_mypy_strict(counting):
    counting.edit(
        "chapters/01_count.md",
        "def count(xs):",
        "def count(xs: str) -> Counter[str]:",
    )
    export(counting)
    rules = ["--select=E,F,I,D,RUF,UP", "--ignore=D107,D203,D213"]
    for tool in (
        ["ruff", "check", "--isolated", *rules, "--line-length=80"],
        ["ruff", "format", "--isolated", "--check", "--line-length=80"],
        ["mypy", "--strict", "--cache-dir", str(counting.cache)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *tool, "llm_from_scratch"],
            cwd=counting.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_second_export_changes_nothing(counting, capsys):
    export(counting)
    capsys.readouterr()
    assert not export(counting).complaints()
    assert not export(counting, check=True).complaints()
    assert capsys.readouterr().out == ""


def test_check_prints_a_diff_and_writes_nothing(counting, capsys, only):
    export(counting)
    path = counting.edit(
        "llm_from_scratch/core/counting.py", "Count.", "Edited by hand."
    )
    before = path.read_text()
    found = export(counting, check=True).complaints()
    only(found, "core/counting.py", "out of date")
    assert '-    """Edited by hand."""' in capsys.readouterr().out
    assert path.read_text() == before


def test_long_names_and_single_letters_pass_ruff(small, cell):
    source = (
        '"""M."""\n\nfrom typing import TypeVar\n\n'
        'T = TypeVar("T")\nA10 = A9 = 1\n\n\nclass Box:\n    """B."""'
    )
    small.write(
        "06_a_rather_long_title_of_a_chapter", cell(source, "export:core.a")
    )
    assert not export(small).complaints()
    rules = ["--select=E501,I,RUF022", "--line-length=80"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", *rules, "."],
        cwd=small.package,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert not export(small, check=True).complaints()


def test_a_stand_in_for_a_missing_import_is_not_public(small, cell):
    source = (
        '"""M."""\n\ntry:\n    import numpy.linalg\n'
        "    from numba import jit as fast\nexcept ImportError:\n"
        "    numpy, fast, absent = None, int, True\n\nlinalg = 1"
    )
    small.write("01_a", cell(source, "export:core.a"))
    assert not export(small).complaints()
    text = (small.package / "core" / "a.py").read_text()
    assert '__all__ = [\n    "absent",\n    "linalg",\n]' in text
    text = (small.package / "core" / "__init__.py").read_text()
    assert "numpy" not in text
    assert "fast" not in text


def test_main_module_and_nested_packages(small, cell):
    small.write(
        "01_a",
        cell('"""Run."""\nimport sys', "export:core.deep.__main__"),
        cell("def go():\n    return sys", "export:core.deep.__main__"),
    )
    assert not export(small).complaints()
    assert (small.package / "core" / "deep" / "__main__.py").exists()
    assert "go" not in (small.package / "core/deep/__init__.py").read_text()


def test_module_wins_over_a_function_of_its_name(small, cell):
    tag = "export:core.documents"
    source = '"""Docs."""\n\n\ndef documents():\n    return 1'
    small.write("01_a", cell(source, tag))
    assert not export(small).complaints()
    text = (small.package / "core" / "__init__.py").read_text()
    assert '"documents"' not in text


@pytest.mark.parametrize("tag", ["export", "export:", "export:a", "export:A.b"])
def test_malformed_tag(small, cell, only, tag):
    small.write("01_a", cell("x = 1", tag))
    only(complaints(small), "chapters/01_a.md:", "cell", "export")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("from os import *", "star import"),
        ("import os", "first cell"),
        ("try:\n    import os\nexcept ImportError:\n    pass", "first cell"),
        ("from .x import y", "full module name"),
        ("def count():\n    pass", "count is already defined"),
        ("count = 3", "count is already defined"),
        ("%timeit 1", "no IPython"),
        ("!ls", "no IPython"),
        ("def f(:", "syntax error, line 1"),
        (f"x = '{'y' * 80}'", "columns"),
        (
            "def long():\n" + "    print(1)\n" * 40,
            "long has 41 lines",
        ),
        ("def a():\n    pass\ndef a():\n    pass", "defined twice in one"),
    ],
)
def test_bad_exported_cell(counting, cell, source, says):
    counting.edit(
        "chapters/01_count.md",
        "Prose.\n",
        "Prose.\n" + cell(source, "export:core.other"),
    )
    counting.edit(
        "chapters/01_count.md",
        "Prose.\n",
        cell(
            '"""Other."""\n\n\ndef count():\n    return 1', "export:core.other"
        ),
    )
    found = [c for c in complaints(counting) if says in c]
    assert found, complaints(counting)
    assert found[0].startswith("chapters/01_count.md:")
    assert "cell" in found[0]


def test_docstring_does_not_count_as_lines(small, cell):
    doc = '    """Long.\n' + "    text\n" * 30 + '    """\n'
    body = "def f():\n" + doc + "    print(1)\n" * 39
    small.write("01_a", cell(f'"""M."""\n\n\n{body}', "export:core.a"))
    assert not complaints(small)


def test_imports_inside_functions_are_lazy_and_fine(counting, cell):
    lazy = "def load():\n    import torch\n\n    return torch"
    path = counting.chapters / "01_count.md"
    path.write_text(path.read_text() + cell(lazy, "export:core.counting"))
    assert not complaints(counting)


def test_missing_docstring(counting, only):
    counting.edit("chapters/01_count.md", '"""Count things."""\n', "")
    only(complaints(counting), "cell 2", "must begin with its docstring")


def test_long_module(small, cell, only):
    body = "\n".join(f"A_{n} = {n}" for n in range(160))
    small.write("01_a", cell(f'"""M."""\n\n{body}', "export:core.a"))
    only(complaints(small), "01_a.md", "core.a has", "at most 300")


def test_module_with_two_chapters(counting, cell, only):
    counting.write("02_more", cell("y = 1", "export:core.counting"))
    only(complaints(counting), "02_more.md", "belongs to", "01_count.md")


def test_public_name_in_two_modules(counting, cell, only):
    source = '"""B."""\n\n\ndef count():\n    return 1'
    counting.write("02_more", cell(source, "export:core.more"))
    only(complaints(counting), "02_more.md", "count is public in", "counting")


def test_pasted_definition(counting, cell, only):
    long = COUNT.replace("return", "print(xs)\n    return")
    counting.edit("chapters/01_count.md", COUNT, long)
    pasted = long.replace('"""Count."""', '"""Another docstring."""')
    counting.write("02_more", cell(pasted))
    only(complaints(counting), "02_more.md", "pasted from", "import it")


def test_orphan_is_reported_and_kept(counting, only):
    export(counting)
    orphan = counting.package / "mine.py"
    orphan.write_text("x = 1\n")
    only(export(counting).complaints(), "mine.py", "no chapter exports it")
    assert orphan.exists()


def test_stale_module_fails_the_check_and_is_removed(counting, only):
    export(counting)
    counting.edit("chapters/01_count.md", COUNT, COUNT)
    path = counting.chapters / "01_count.md"
    path.write_text(path.read_text().replace("core.counting", "core.counts"))
    found = export(counting, check=True).complaints()
    assert any(
        "counting.py: no chapter exports it any more" in f for f in found
    )
    assert not export(counting).complaints()
    assert not (counting.package / "core" / "counting.py").exists()


def test_unreadable_chapter_keeps_its_modules(counting, cell, only):
    export(counting)
    counting.edit("chapters/01_count.md", "---\n", "")
    counting.write("02_b", cell('"""B."""\nB = 1', "export:core.b"))
    only(export(counting).complaints(), "01_count.md", "header")
    assert (counting.package / "core" / "counting.py").exists()
    assert (counting.package / "core" / "b.py").exists()

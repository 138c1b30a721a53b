"""Running, comparing, adopting: byte-stable, and no edit is ever lost."""

import subprocess

import nbformat
import pytest

from book.press.adopt import adopt, find
from book.press.export import export
from book.press.kernel import environment
from book.press.paths import PressError
from book.press.run import edited, run
from book.press.sync import problems
from book.press.text import dump, read_notebook, read_text
from book.press.validate import command, longest_first

PLOT = """\
import matplotlib.pyplot as plt
print('a', flush=True)
print('b')
fig, ax = plt.subplots()
ax.plot([1, 2])
plt.show()"""


@pytest.fixture
def book(small, cell):
    """A book of one chapter, not yet run."""
    (small.chapters / "matplotlibrc").write_text("svg.hashsalt: book\n")
    small.write(
        "01_x",
        "# T\n",
        cell('%config InlineBackend.figure_formats = ["svg", "pdf"]'),
        cell(PLOT),
        "Prose.\n",
        cell("2 ** 10"),
        cell("print(never)", "skip-execution", "nbval-skip"),
    )
    export(small)
    return small


EXECUTED = {}  # the notebook of that chapter: executed once, copied often


@pytest.fixture
def ran(book):
    """The same book after `make run`."""
    if not EXECUTED:
        assert run(chapter(book), book)
        EXECUTED["text"] = chapter(book).with_suffix(".ipynb").read_text()
    chapter(book).with_suffix(".ipynb").write_text(EXECUTED["text"])
    return book


def chapter(book):
    return book.chapters / "01_x.md"


def jupyter(book, index, source):
    """Edit a cell as Jupyter would and save."""
    path = chapter(book).with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[index].source = source
    notebook.cells[index].metadata["scrolled"] = False
    nbformat.write(notebook, path)
    return path


def test_second_run_changes_no_byte(ran):
    target = chapter(ran).with_suffix(".ipynb")
    before = target.read_bytes()
    assert not run(chapter(ran), ran)
    assert target.read_bytes() == before
    text = before.decode()
    assert "image/svg+xml" in text
    assert "application/pdf" in text
    assert '"a\\n",' in text  # one stream, not two
    assert "iopub" not in text
    assert not list(problems(ran))


def test_new_prose_keeps_the_outputs(ran):
    target = chapter(ran).with_suffix(".ipynb")
    old = read_notebook(target, ran)
    text = chapter(ran).read_text()
    chapter(ran).write_text(text.replace("Prose.", "Better prose."))
    assert run(chapter(ran), ran, only_text=True)
    new = read_notebook(target, ran)
    assert new.cells[3].source == "Better prose."
    assert [c.get("outputs") for c in new.cells] == [
        c.get("outputs") for c in old.cells
    ]
    assert list(problems(ran)) == []
    assert run(chapter(ran), ran) is False  # execution gives the same bytes


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2 ** 10", "2 ** 11"),
        ("nbval-skip", "remove-cell"),
        ("Prose.", "Prose.\n\n```{code-cell} ipython3\n1\n```"),
    ],
    ids=["code", "tag", "cell"],
)
def test_old_outputs_are_not_kept_for_new_code(ran, old, new):
    target = chapter(ran).with_suffix(".ipynb")
    before = target.read_bytes()
    chapter(ran).write_text(chapter(ran).read_text().replace(old, new))
    with pytest.raises(PressError, match="without TEXT=1"):
        run(chapter(ran), ran, only_text=True)
    assert target.read_bytes() == before


def test_outputs_are_not_kept_when_a_cell_went(ran):
    text = chapter(ran).read_text()
    chapter(ran).write_text(text[: text.rindex("```{code-cell}")])
    with pytest.raises(PressError, match="has code that chapters"):
        run(chapter(ran), ran, only_text=True)


def test_text_alone_gives_no_notebook(book):
    with pytest.raises(PressError, match="cell 2 is not in"):
        run(chapter(book), book, only_text=True)


def test_failing_cell_is_named_and_nothing_is_written(book, cell):
    path = chapter(book)
    path.write_text(path.read_text() + cell("1 / 0"))
    with pytest.raises(PressError, match="ZeroDivisionError") as caught:
        run(path, book)
    assert "chapters/01_x.md:33: cell 7" in str(caught.value)
    assert not path.with_suffix(".ipynb").exists()


def test_warning_is_a_defect_unless_it_is_the_point(book, cell):
    warn = "import warnings\nwarnings.warn('old', stacklevel=1)"
    path = chapter(book)
    path.write_text(path.read_text() + cell(warn))
    with pytest.raises(PressError, match="writes to stderr"):
        run(path, book)
    book.edit(
        "chapters/01_x.md",
        "```{code-cell} ipython3\nimport warnings",
        "```{code-cell} ipython3\n:tags: [allow-stderr]\n\nimport warnings",
    )
    assert run(path, book)


def test_kernel_sees_fixed_surroundings(book, cell, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    path = book.write(
        "02_env",
        cell(
            "import os\n"
            "print(os.environ['PYTHONHASHSEED'], os.environ['TZ'],"
            " os.environ['OMP_NUM_THREADS'], os.path.basename(os.getcwd()),"
            " os.environ.get('MPLBACKEND', 'inline')[-6:])"
        ),
    )
    run(path, book)
    out = read_notebook(path.with_suffix(".ipynb"), book).cells[0].outputs[0]
    assert out.text == "0 UTC 1 chapters inline\n"


def test_sync_sees_a_missing_and_an_orphaned_notebook(book, only):
    only(problems(book), "01_x.ipynb is missing", "make run CH=01_x")
    run(chapter(book), book)
    chapter(book).rename(chapter(book).with_suffix(".txt"))
    only(problems(book), "01_x.ipynb has no text")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2 ** 10", "2 ** 11", "cell 5: source differs"),
        ("Prose.", "Prose!", "cell 4: source differs"),
        ("[skip-execution, nbval-skip]", "[remove-cell]", "tags or options"),
        ("Prose.\n", "Prose.\n\n+++\n\nMore.\n", "cell 5: type differs"),
    ],
)
def test_sync_names_the_cell_that_differs(ran, only, old, new, says):
    ran.edit("chapters/01_x.md", old, new)
    only(problems(ran), "chapters/01_x.md:", says)


def test_sync_sees_a_cell_that_was_added(ran, cell, only):
    chapter(ran).write_text(chapter(ran).read_text() + cell("1"))
    only(problems(ran), "has 7 cells", "has 6")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nb: nb.cells[2].update(execution_count=9), "expected 2"),
        (lambda nb: nb.cells[4].update(execution_count=None), "expected 3"),
        (
            lambda nb: nb.cells[4].outputs.append(
                nbformat.v4.new_output("error", ename="KeyError")
            ),
            "stored error KeyError",
        ),
        (
            lambda nb: nb.cells[4].outputs.append(
                nbformat.v4.new_output("stream", name="stderr", text="oops")
            ),
            "writes to stderr",
        ),
        (lambda nb: nb.metadata.pop("text"), "not written by `make run`"),
    ],
)
def test_sync_sees_a_notebook_that_was_tampered_with(ran, only, change, says):
    target = chapter(ran).with_suffix(".ipynb")
    notebook = read_notebook(target, ran)
    change(notebook)
    target.write_text(dump(notebook))
    only(problems(ran), "01_x", says)


def test_sync_sees_another_layout_of_the_file(ran, only):
    target = chapter(ran).with_suffix(".ipynb")
    target.write_text(target.read_text().replace("\n ", "\n\t"))
    only(problems(ran), "not in canonical form")


def test_sync_sees_a_stale_package(ran, cell, only, capsys):
    source = '"""A."""\nA = 1'
    chapter(ran).write_text(
        chapter(ran).read_text() + cell(source, "export:core.a")
    )
    run(chapter(ran), ran)
    found = list(problems(ran))
    assert any("core/a.py: out of date" in f for f in found)


def test_adopt_takes_edits_made_in_jupyter(ran, capsys):
    jupyter(ran, 4, "2 ** 12")
    said = adopt(chapter(ran), ran)
    assert said.startswith("wrote chapters/01_x.md")
    assert "+2 ** 12" in capsys.readouterr().out
    text = chapter(ran).read_text()
    assert "2 ** 12" in text
    assert "scrolled" not in text
    assert run(chapter(ran), ran)
    assert not list(problems(ran))


def test_adopt_without_edits_changes_nothing(ran):
    before = chapter(ran).read_text()
    assert adopt(chapter(ran), ran) == "unchanged chapters/01_x.md"
    ran.edit("chapters/01_x.md", "Prose.", "New prose.")
    assert "was not edited" in adopt(chapter(ran), ran)
    assert chapter(ran).read_text() == before.replace("Prose.", "New prose.")


def test_adopt_refuses_when_both_sides_changed(ran):
    jupyter(ran, 4, "2 ** 12")
    ran.edit("chapters/01_x.md", "Prose.", "New prose.")
    before = chapter(ran).read_text()
    with pytest.raises(PressError, match="both edited") as caught:
        adopt(chapter(ran), ran)
    assert "-New prose." in str(caught.value)
    assert "+2 ** 12" in str(caught.value)
    assert chapter(ran).read_text() == before


def test_forced_adopt_keeps_the_text_it_replaces(ran):
    jupyter(ran, 4, "2 ** 12")
    ran.edit("chapters/01_x.md", "Prose.", "New prose.")
    adopt(chapter(ran), ran, force=True)
    assert "2 ** 12" in chapter(ran).read_text()
    kept = chapter(ran).with_name("01_x.md.bak").read_text()
    assert "New prose." in kept


def test_adopt_writes_a_text_for_a_notebook_without_one(ran):
    text = chapter(ran).read_text()
    chapter(ran).unlink()
    (path,) = find(ran, ["01"])
    assert adopt(path, ran) == "wrote chapters/01_x.md"
    assert "2 ** 10" in chapter(ran).read_text()
    assert text.count("code-cell") == chapter(ran).read_text().count(
        "code-cell"
    )


def test_run_refuses_to_drop_edits_made_in_jupyter(ran):
    target = jupyter(ran, 4, "2 ** 12")
    with pytest.raises(PressError, match="make adopt CH=01_x"):
        run(chapter(ran), ran)
    assert "2 ** 12" in target.read_text()
    assert run(chapter(ran), ran, force=True)
    assert "2 ** 12" not in target.read_text()


def test_saving_without_edits_is_no_edit(ran):
    target = jupyter(ran, 4, "2 ** 10\n")
    assert not edited(target, read_text(chapter(ran), ran), ran)


def test_broken_notebook_file_is_named(ran, only):
    target = chapter(ran).with_suffix(".ipynb")
    target.write_text("<<<<<<< ours\n")
    only(problems(ran), "chapters/01_x.ipynb: not a notebook", "make run")


def test_longest_notebook_starts_first(small):
    paths = []
    for name in ("01_a", "02_b", "03_c"):
        path = small.chapters / f"{name}.ipynb"
        path.write_text("x" * len(paths))
        paths.append(path)
    small.cache.mkdir()
    (small.cache / "seconds.json").write_text('{"chapters/01_a.md": 90}')
    order = [path.stem for path in longest_first(paths, small)]
    assert order == ["01_a", "03_c", "02_b"]
    assert command(paths)[-3:] == [str(path) for path in paths]


def test_validation_fails_only_where_an_output_changed(book, cell):
    varying = "import time\nprint(time.time())"
    paths = [
        chapter(book),
        book.write("02_varies", cell(varying, "nbval-ignore-output")),
        book.write("03_changed", cell("print('abc')"), cell("6 * 7")),
    ]
    for path in paths:
        run(path, book)
    stored = paths[2].with_suffix(".ipynb")
    stored.write_text(stored.read_text().replace('"42"', '"43"'))
    done = subprocess.run(
        command([path.with_suffix(".ipynb") for path in paths]),
        env=environment(book),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "03_changed.ipynb::Cell 1" in done.stdout
    assert "1 failed, 5 passed, 1 skipped" in done.stdout

"""The miniature book in `book/`, printed for real and broken on purpose."""

import shutil
import subprocess
from pathlib import Path

import pytest

from book.press.print_pdf import (
    PrintError,
    environment,
    jupyter_book,
    print_pdf,
)

ROOT = Path(__file__).resolve().parents[2]
MINIATURE = Path(__file__).parent / "book"
EPOCH = "1777000000"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def mini(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the miniature with the theme of the book."""
    return copy(tmp_path / "mini", monkeypatch)


def copy(target: Path, monkeypatch) -> Path:
    """Copy the miniature."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    shutil.copytree(MINIATURE, target)
    (target / "book" / "theme").symlink_to(ROOT / "book" / "theme")
    for name in ("_config.yml", "pyproject.toml"):
        shutil.copyfile(ROOT / name, target / name)
    return target


def edit(path: Path, old: str, new: str) -> None:
    """Replace text that the file must hold."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def text_of(pdf: Path) -> str:
    """Return the text of a PDF."""
    run = subprocess.run(
        ["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True
    )
    return run.stdout.decode()


@pytest.mark.skipif(not shutil.which("latexmk"), reason="needs `make tex`")
def test_two_prints_from_two_folders_are_identical(tmp_path, monkeypatch):
    prints = [
        print_pdf(copy(tmp_path / name, monkeypatch)) for name in ("a", "bb")
    ]
    first, second = (path.read_bytes() for path in prints)
    assert first == second

    text = text_of(prints[0])
    for expected in (
        "llm_from_scratch/tokenizer/bpe.py",
        "Theorem 1.1 (Shift invariance)",
        "Figure 6.1",
        "Figure A.1",
        "(6.1)",
        "Exercise 6.2 (Faster merges)",
        "Solution to Exercise 6.2",
        "The last entry is 0.665.",
        "↪",
        "日本語のテキスト",
    ):
        assert expected in text
    for absent in ("export:", "the landing page", "folded on the site and\n"):
        assert absent not in text
    assert "plt.subplots" not in text  # hide-input


def test_site_names_the_same_numbers_and_no_server(mini):
    jupyter_book(mini, "html", environment(mini))
    site = mini / "_build" / "html"
    page = (site / "chapters" / "06_everything.html").read_text("utf-8")
    assert '<p class="place">llm_from_scratch/tokenizer/bpe.py</p>' in page
    assert "Exercise 6.2" in page
    assert 'alt="Grouped bars of eight tokens at three temperatures."' in page
    appendix = site / "chapters" / "appendix_world.html"
    assert "Figure A.1" in appendix.read_text("utf-8").replace("Fig. ", "")
    for path in site.rglob("*.html"):
        html = path.read_text("utf-8")
        assert 'src="http' not in html, path
        assert "unpkg" not in html, path
        assert 'rel="stylesheet" href="http' not in html, path


FAULTS = (
    ("01_softmax", "{glue:text}`mini-p:.3f`", "{glue:text}`mini-q:.3f`"),
    ("01_softmax", "{eq}`eq-softmax`", "{eq}`eq-none`"),
    ("01_softmax", "{cite}`vaswani2017attention`", "{cite}`nobody2000`"),
    ("06_everything", "{numref}`tab-sizes`", "{numref}`tab-none`"),
    ("06_everything", "book/figures/block.*", "book/figures/absent.*"),
)


def test_broken_references_fail_the_build(mini, capfd):
    for name, old, new in FAULTS:
        edit(mini / "chapters" / f"{name}.ipynb", old, new)
    with pytest.raises(PrintError):
        jupyter_book(mini, "latex", environment(mini))
    lines = capfd.readouterr().err.splitlines()
    warnings = [line for line in lines if "WARNING" in line]
    for word in ("mini-q", "eq-none", "nobody2000", "tab-none", "absent"):
        assert any(word in line for line in warnings), word


def test_a_chapter_that_the_contents_forget_fails(mini):
    edit(mini / "_toc.yml", "      - file: chapters/appendix_world\n", "")
    with pytest.raises(PrintError, match="not list chapters/appendix_world"):
        jupyter_book(mini, "latex", environment(mini))


def test_a_diagram_that_is_not_its_source_fails(mini):
    edit(mini / "book/figures/block.tex", "LayerNorm", "RMSNorm")
    with pytest.raises(PrintError, match=r"make figures.*block\.tex"):
        jupyter_book(mini, "latex", environment(mini))

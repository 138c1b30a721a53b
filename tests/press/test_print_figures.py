"""Diagrams are drawn again when their text changed, and only then."""

from pathlib import Path

import pytest

from book.press import print_figures
from book.press.print_figures import MARK, is_current, main, source_hash


@pytest.fixture
def figure(tmp_path: Path) -> Path:
    """A diagram that was drawn from its source and the style."""
    path = tmp_path / "map.tex"
    path.write_text("\\input{style.def}\n\\input{more}\n")
    (tmp_path / "style.def").write_text("% style\n")
    (tmp_path / "more.tex").write_text("% more\n")
    path.with_suffix(".pdf").write_bytes(b"%PDF")
    svg = "<svg/>\n" + MARK.format(source_hash(path))
    path.with_suffix(".svg").write_text(svg)
    return path


def test_file_times_do_not_matter(figure):
    figure.touch()
    assert is_current(figure)
    assert main(["--check", str(figure)]) == 0


@pytest.mark.parametrize("name", ["map.tex", "style.def", "more.tex"])
def test_a_change_in_any_source_does(figure, name, capsys):
    with (figure.parent / name).open("a") as file:
        file.write("% changed\n")
    assert not is_current(figure)
    assert main(["--check", str(figure)]) == 1
    assert "make figures" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_a_missing_output_does(figure, suffix):
    figure.with_suffix(suffix).unlink()
    assert not is_current(figure)


def test_a_comment_reads_nothing(figure):
    before = source_hash(figure)
    figure.write_text("% \\input{style.def}\n")
    assert source_hash(figure) != before
    assert print_figures.sources(figure) == [figure]

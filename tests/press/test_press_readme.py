"""The README shows the numbers that the chapters measured."""

import pytest
from nbformat.v4 import new_output

from book.press.paths import PressError
from book.press.readme import filled, glued_values, readme
from book.press.text import dump, read_text


def test_a_number_is_formatted_as_asked():
    values = {"a-b": "3.14159", "s": "'mid'"}
    assert filled("{a-b:.1f} {s}", values) == "3.1 mid"


def test_an_unknown_key_is_named():
    with pytest.raises(PressError, match="no chapter glues 'nothing'"):
        filled("{nothing}", {})


def test_a_value_that_does_not_fit_its_format_is_named():
    with pytest.raises(PressError, match="cannot be written as"):
        filled("{s:.1f}", {"s": "'mid'"})


def test_values_come_from_the_stored_outputs(small, cell):
    path = small.write("01_x", "# X\n", cell("1"))
    notebook = read_text(path, small).notebook
    kind = "application/papermill.record/"
    notebook.cells[-1].outputs = [
        new_output(
            "display_data",
            {kind + "text/plain": "np.float64(2.5)"},
            metadata={"scrapbook": {"name": "k", "mime_prefix": kind}},
        )
    ]
    path.with_suffix(".ipynb").write_text(dump(notebook))
    assert glued_values(small) == {"k": "2.5"}
    small.root.joinpath("README.md").write_text(
        "a\n<!-- measured -->\nold\n<!-- /measured -->\nz\n"
    )
    small.book.joinpath("measured.md.in").write_text("now {k:.2f}\n")
    old, new = readme(small)
    assert "old" in old
    assert new == "a\n<!-- measured -->\nnow 2.50\n<!-- /measured -->\nz\n"


def test_a_readme_without_its_marks_is_an_error(small):
    small.root.joinpath("README.md").write_text("nothing\n")
    with pytest.raises(PressError, match="must hold"):
        readme(small)

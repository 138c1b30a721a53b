"""Text to notebook and back: nothing is lost, nothing is guessed."""

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book.press.paths import Layout, PressError
from book.press.text import (
    HEADER,
    content,
    dump,
    fingerprint,
    normalize,
    parse_text,
    read_text,
    write_text,
)
from book.press.tidy import tidy

CANONICAL = (
    HEADER
    + """
(ch:x)=
# Title

Prose with `code` and a ```fence``` in a line.

```python
not_a_cell = True
```

+++

A second Markdown cell.

```{code-cell} ipython3
:tags: [remove-cell, export:core.a]

x = 1
```

```{code-cell} ipython3
---
tags: [hide-input]
mystnb:
  figure:
    name: fig-x
    caption: |
      What to see: **this**.

      And a second paragraph.
  image:
    alt: >-
      A long description that does not fit on one line of the text and
      is therefore folded.
---
plot(x)
```

````{code-cell} ipython3
print('''
```
''')
````

```{code-cell} ipython3
```
"""
)


def test_canonical_text_survives_the_round_trip():
    notebook = parse_text(CANONICAL, "x.md").notebook
    assert write_text(notebook, "x.md") == CANONICAL
    stored = nbformat.reads(dump(notebook), as_version=4)
    assert write_text(stored, "x.md") == CANONICAL


def test_lines_point_to_the_cells():
    text = parse_text(CANONICAL, "x.md")
    lines = CANONICAL.split("\n")
    for cell, line in zip(text.cells, text.lines, strict=True):
        if cell.cell_type == "code":
            assert "{code-cell}" in lines[line - 1]
    assert text.place(2).startswith("x.md:20: cell 3")


def test_ids_depend_on_content_only():
    first = parse_text(CANONICAL, "x.md").notebook
    again = parse_text(CANONICAL, "y.md").notebook
    assert [c.id for c in first.cells] == [c.id for c in again.cells]
    twice = HEADER + "\n```{code-cell}\na\n```\n" * 2
    ids = [cell.id for cell in parse_text(twice, "z.md").cells]
    assert ids[1] == f"{ids[0]}-2"


def test_editors_metadata_is_no_difference():
    notebook = parse_text(CANONICAL, "x.md").notebook
    before = fingerprint(notebook)
    notebook.cells[2].metadata["scrolled"] = True
    notebook.cells[2].source += "\n"
    assert fingerprint(notebook) == before
    normalize(notebook)
    assert "scrolled" not in notebook.cells[2].metadata


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# No header\n", "header is missing"),
        (HEADER + "\n```{code-cell}\n---\ntags: [\n---\n```\n", "unreadable"),
        (HEADER + "\n```{code-cell}\n:tags: [a: b]\n```\n", "unreadable"),
        (HEADER + "\n```{code-cell}\n:tag: [x]\n```\n", "unknown cell option"),
    ],
)
def test_bad_text_is_named(text, says):
    with pytest.raises(PressError, match=says) as caught:
        parse_text(text, "chapters/07_x.md")
    assert "chapters/07_x.md" in str(caught.value)


@pytest.mark.parametrize(
    "source", ["one\n\n+++\n\ntwo", "```{code-cell}\nx\n```", "---\na: 1\n---"]
)
def test_markdown_that_would_not_come_back_is_refused(source):
    notebook = parse_text(CANONICAL, "x.md").notebook
    notebook.cells[0].source = source
    if source.startswith("---"):  # harmless: the header stands before it
        write_text(notebook, "x.md")
        return
    with pytest.raises(PressError, match="cell 1 cannot be written"):
        write_text(notebook, "x.md")


SOURCES = st.text("ab \n`:'\"#=", max_size=40)
TAGS = st.lists(st.sampled_from(["hide-input", "export:core.a"]), unique=True)


@given(st.lists(st.tuples(SOURCES, TAGS), max_size=5))
def test_any_code_survives_or_is_refused(cells):
    notebook = nbformat.v4.new_notebook()
    for source, tags in cells:
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata["tags"] = tags
        notebook.cells.append(cell)
    try:
        text = write_text(notebook, "x.md")
    except PressError:
        return
    again = parse_text(text, "x.md").notebook
    assert content(again) == content(notebook)
    assert write_text(again, "x.md") == text


def test_tidy_formats_code_and_keeps_magics(small, cell):
    path = small.write(
        "01_x",
        "# T\n\n\n",
        cell("%config A.b = 1\nimport re\nimport ast\nx=[1,2]\nx"),
    )
    text = tidy(path, small)
    assert "%config A.b = 1\nimport ast\nimport re\n\nx = [1, 2]\nx\n" in text
    path.write_text(text)
    assert tidy(path, small) == text


def test_prefixes_choose_files(small):
    for name in ("01_a", "06_b", "solutions/06_b", "appendix_world"):
        small.write(name, "# T\n")

    def chosen(*prefixes):
        return [small.name(p)[9:-3] for p in small.select(list(prefixes))]

    assert chosen("06") == ["06_b", "solutions/06_b"]
    assert chosen("solutions/06") == ["solutions/06_b"]
    assert chosen("chapters/01_a.md", "app") == ["01_a", "appendix_world"]
    assert len(chosen()) == 4
    with pytest.raises(PressError, match=r"no text notebook 07\*"):
        chosen("07")


def test_every_text_notebook_of_the_book_survives():
    layout = Layout()
    for path in layout.texts():
        text = read_text(path, layout)
        again = parse_text(write_text(text.notebook, text.name), text.name)
        assert content(again.notebook) == content(text.notebook)

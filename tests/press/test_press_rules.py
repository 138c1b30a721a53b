"""Rules of the manuscript: a good chapter passes, each bad one is named."""

import pytest

from book.press.manuscript import plain_lines, read_markdown, roles
from book.press.structure import problems

CHAPTER = """\
(ch:x)=
# A title

The problem, cited {cite}`gage1994`, in {numref}`fig-map`, has size
{glue:text}`x-a:.2f`.

```{admonition} Needs · Builds · Measures · Costs
:class: chapter-box
Nothing.
```

```{figure} ../book/figures/map-01.*
:name: fig-map
:alt: the map

What to see.
```

```{code-cell} ipython3
:tags: [remove-cell]

%config InlineBackend.figure_formats = ["svg", "pdf"]
from myst_nb import glue
```

Now the definition that the text explains.

```{code-cell} ipython3
:tags: [export:core.a]

\"\"\"A module. Source: gage1994.\"\"\"

A = 1
```

The measurement comes next, with its claim.

```{code-cell} ipython3
:tags: [nbval-ignore-output]

glue("x-a", 1.0, display=False)
assert A == 1
```

PLOT1
PLOT2
PLOT3
## Pitfalls

Text.

## Exercises

```{exercise} By hand
:label: ex-one

Five minutes.
```

## Summary

Text.

## Sources

{cite:t}`shannon1948,gage1994` say so.
"""
PLOT = """\
```{code-cell} ipython3
---
tags: [hide-input]
mystnb:
  figure:
    name: fig-plot-%d
    caption: |
      What to see.
  image:
    alt: a curve
---
plt.show()
```

"""
SOLUTION = """\
(sol:x)=
# Solutions: A title

```{solution-start} ex-one
:label: sol-one
```

The answer is one, as the code says.

```{code-cell} ipython3
assert True
```

```{solution-end}
```
"""
BIB = """\
@article{gage1994, title={A}}
@article{shannon1948, title={B}}
"""


@pytest.fixture
def good(small):
    """A book of one numbered chapter that keeps every rule."""
    chapter = CHAPTER
    for number in (1, 2, 3):
        chapter = chapter.replace(f"PLOT{number}\n", PLOT % number)
    small.write("01_x", chapter)
    small.write("solutions/01_x", SOLUTION)
    small.bibliography.write_text(BIB)
    figures = small.book / "figures"
    figures.mkdir()
    for end in ("pdf", "svg"):
        (figures / f"map-01.{end}").write_text("")
    (small.book / "preface.md").write_text("# Preface\n\nText.\n")
    return small


def test_good_book_has_no_problems(good):
    assert list(problems(good)) == []


TEXT = "chapters/01_x.md"
ANSWERS = "chapters/solutions/01_x.md"
LONG = "x = [\n" + "    1,\n" * 34 + "]"
MUTANTS = {
    "no label": (TEXT, "(ch:x)=\n", "", "must begin with a label"),
    "wrong label": (TEXT, "(ch:x)=", "(sec:x)=", "must begin with a label"),
    "no title": (TEXT, "# A title", "A title", "title must follow"),
    "two titles": (
        TEXT,
        "## Pitfalls",
        "# More\n\n## Pitfalls",
        "second title",
    ),
    "no box": (TEXT, ":class: chapter-box\n", "", "0 chapter-box"),
    "poor box": (TEXT, "· Costs", "", "lacks 'Costs'"),
    "no map": (TEXT, "/map-01.*", "/other.pdf", "0 map-* figures"),
    "no section": (TEXT, "## Pitfalls", "## Other", "0 sections '## Pitfalls'"),
    "no summary": (
        TEXT,
        "## Summary",
        "### Summary",
        "0 sections '## Summary'",
    ),
    "no sources": (TEXT, "## Sources", "## Source", "0 sections '## Sources'"),
    "no exercises": (TEXT, "## Exercises", "## Tasks", "0 sections '## Exer"),
    "twice": (TEXT, "## Summary", "## Sources", "2 sections '## Sources'"),
    "no name": (TEXT, ":name: fig-map\n", "", "figure without ':name:"),
    "no alt": (TEXT, ":alt: the map\n", "", "fig-map has no alt text"),
    "empty alt": (TEXT, ":alt: the map\n", ":alt:\n", "has no alt text"),
    "no caption": (TEXT, "What to see.\n```", "```", "fig-map has no caption"),
    "no file": (TEXT, "map-01.*", "map-02.*", "map-02.pdf is missing"),
    "image": (
        TEXT,
        "## Pitfalls",
        "```{image} a.png\n```\n\n## Pitfalls",
        "use",
    ),
    "plot name": (TEXT, "name: fig-plot-1", "name: plot", "must be fig-..."),
    "plot caption": (TEXT, "      What to see.\n  image", "  image", "caption"),
    "plot alt": (TEXT, "    alt: a curve", "    width: 1in", "image.alt"),
    "bare plot": (TEXT, "assert A == 1", "plt.show()", "needs mystnb.figure"),
    "few figures": (TEXT, PLOT % 2, "", "2 data figures; at least 3"),
    "long cell": (TEXT, "A = 1", LONG, "lines of code; at most 35"),
    "wide line": (TEXT, "A = 1", f"A = '{'y' * 80}'", "86 columns"),
    "no prose": (
        TEXT,
        "The measurement comes next, with its claim.\n\n",
        "",
        "no prose",
    ),
    "only an index": (
        TEXT,
        "The measurement comes next, with its claim.",
        "```{index} single: a long entry of words\n```",
        "no prose since",
    ),
    "bad tag": (TEXT, "[hide-input]", "[hide-inputs]", "unknown tag 'hide-in"),
    "half skip": (TEXT, "[nbval-ignore-output]", "[nbval-skip]", "go together"),
    "lost cell": (
        TEXT,
        "Five minutes.\n",
        "- a\n\n  ```{code-cell}\n  x\n  ```\n",
        "cannot stand inside",
    ),
    "no assert": (TEXT, "assert A == 1", "print(A)", "no assert in or after"),
    "raster": (
        TEXT,
        "%config InlineBackend.figure_formats",
        "%config A.b",
        "figure_formats",
    ),
    "typed figure": (TEXT, "The problem", "See Figure 3.", "typed reference"),
    "typed chapter": (
        TEXT,
        "## Pitfalls\n\nText.",
        "## Pitfalls\n\nIn Chapter 7.",
        "typed reference 'Chapter 7'",
    ),
    "typed in a box": (
        TEXT,
        "Nothing.",
        "Read Section 2.1 first.",
        "'Section 2.1'",
    ),
    "typed in caption": (
        TEXT,
        "What to see.\n```",
        "As Table 2 has it.\n```",
        "'Table 2'",
    ),
    "typed, broken line": (
        TEXT,
        "The problem",
        "See Figure\n3, the problem",
        "typed",
    ),
    "preface": ("book/preface.md", "Text.", "See Appendix A.", "preface.md:3"),
    "address": (
        TEXT,
        "The problem",
        "At https://a.org the problem",
        "bare address",
    ),
    "auto link": (
        TEXT,
        "The problem",
        "<https://a.org> the problem",
        "bare address",
    ),
    "unknown key": (
        TEXT,
        "{cite}`gage1994`",
        "{cite}`gage1995`",
        "unknown key 'gage1995'",
    ),
    "unknown source": (
        TEXT,
        "Source: gage1994",
        "Source: gage1993",
        "unknown key 'gage1993'",
    ),
    "no key": (TEXT, "Source: gage1994", "Source: a blog", "names no key"),
    "unused key": (
        "book/references.bib",
        "@article{sh",
        "@book{a2000,\n}\n@article{sh",
        "a2000 is never cited",
    ),
    "double key": (
        "book/references.bib",
        "shannon1948",
        "gage1994",
        "defined twice",
    ),
    "no solution": (TEXT, "ex-one", "ex-two", "ex-two has no solution"),
    "unknown exercise": (
        ANSWERS,
        "ex-one",
        "ex-two",
        "unknown exercise 'ex-two'",
    ),
    "no label ex": (TEXT, ":label: ex-one\n", "", "without ':label: ex-...'"),
    "no label sol": (ANSWERS, ":label: sol-one\n", "", "without ':label: sol-"),
    "no end": (ANSWERS, "```{solution-end}\n```\n", "", "1 solution-start, 0"),
    "solved in place": (
        TEXT,
        "## Summary",
        "```{solution} ex-b\n:label: sol-b\n```\n\n## Summary",
        "stand in chapters/solutions",
    ),
    "unset glue": (
        TEXT,
        "glue:text}`x-a",
        "glue:text}`x-b",
        "'x-b' is never set",
    ),
    "glue twice": (
        TEXT,
        "assert A == 1",
        'glue("x-a", 2)\nassert A == 1',
        "set twice",
    ),
    "glue elsewhere": (ANSWERS, "assert True", 'glue("x-a", 2)', "is also in"),
    "unreadable": (TEXT, "---\n", "", "header is missing"),
    "bad option": (
        TEXT,
        ":tags: [remove-cell]",
        ":tag: [x]",
        "unknown cell option",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_broken_rule_is_found_and_placed(good, name):
    file, old, new, says = MUTANTS[name]
    good.edit(file, old, new)
    found = list(problems(good))
    hits = [message for message in found if says in message]
    assert hits, found
    assert file in hits[0] or "references.bib" in hits[0]


def test_two_exercises_of_one_name(good):
    good.edit(
        TEXT, "## Summary", "```{exercise}\n:label: ex-one\n```\n\n## Summary"
    )
    assert any("ex-one is also at" in message for message in problems(good))


def test_appendix_needs_neither_exercises_nor_figures(good):
    text = (good.root / TEXT).read_text()
    for old in ("## Pitfalls", PLOT % 1, PLOT % 2, PLOT % 3):
        text = text.replace(old, "")
    (good.root / TEXT).unlink()
    (good.chapters / "appendix_x.md").write_text(text)
    assert not list(problems(good))


@pytest.mark.parametrize(
    "prose",
    [
        "{numref}`Chapter %s <ch:x>` and `Figure 3` in code",
        "Part of it, Section by section, Chapter and verse, Table d'hôte",
        "[words](https://a.org/x) and `https://b.org`",
        "$\\text{Figure 3}$ is mathematics",
        "```python\n# Figure 3, https://a.org\n```",
        "% Figure 3 in a comment",
        "The Figures show it. Part II is typed",
    ],
)
def test_what_only_looks_like_a_reference_passes(good, prose):
    good.edit(TEXT, "## Pitfalls\n\nText.", f"## Pitfalls\n\n{prose}\n")
    assert not list(problems(good))


def test_class_may_be_longer_than_a_function(good):
    body = "\n".join(f"    a{n} = {n}" for n in range(50))
    good.edit(
        TEXT,
        "A = 1",
        "A = 1\n```\n\nProse of three words.\n\n```{code-cell}\nclass B:\n"
        + body,
    )
    assert not list(problems(good))


def test_hidden_cells_need_no_prose_between(good):
    good.edit(
        TEXT,
        "assert A == 1\n```\n",
        "assert A == 1\n```\n\n"
        "```{code-cell}\n:tags: [remove-cell]\nx = 1\n```\n",
    )
    assert not list(problems(good))


def test_glue_of_the_last_run_counts(good):
    import nbformat

    good.edit(TEXT, 'glue("x-a", 1.0', 'glue(f"x-{name}", 1.0')
    assert not list(problems(good))  # not yet run: nobody knows
    stored = good.chapters / "01_x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), stored)
    assert any("never set" in message for message in problems(good))
    notebook = nbformat.v4.new_notebook()
    notebook.cells.append(nbformat.v4.new_code_cell("glue"))
    record = {"scrapbook": {"name": "x-a"}}
    notebook.cells[0].outputs.append(
        nbformat.v4.new_output("display_data", metadata=record)
    )
    nbformat.write(notebook, stored)
    assert not list(problems(good))


def test_nested_directives_are_scanned():
    lines = [
        "````{note} T",
        "```{figure} a.png",
        ":name: fig-a",
        "Cap",
        "```",
        "````",
    ]
    found = read_markdown(lines)
    assert [(d.name, d.line) for d in found.directives] == [
        ("note", 1),
        ("figure", 2),
    ]
    assert found.directives[1].options == {"name": "fig-a"}
    assert (4, "Cap") in found.prose


def test_options_may_be_a_block():
    (figure,) = read_markdown(
        [
            "```{figure} a",
            "---",
            "name: fig-a",
            "alt: |",
            "  b",
            "---",
            "Cap",
            "```",
        ]
    ).directives
    assert figure.options["name"] == "fig-a"
    assert figure.options["alt"]
    assert figure.body == ["Cap"]


def test_prose_keeps_its_line_numbers():
    lines = ["a `b", "c` d", "```", "code", "```", "e"]
    prose = read_markdown(lines).prose
    assert list(plain_lines(prose)) == [(1, "a "), (2, " d"), (6, "e")]


def test_roles_are_found():
    assert list(roles("{cite:p}`a,b` {cite}`c`", r"cite(?::\w)?")) == [
        ("cite:p", "a,b"),
        ("cite", "c"),
    ]

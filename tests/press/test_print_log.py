"""The LaTeX log: what fails a build, and what may stand."""

import pytest

from book.press.latexlog import problems, unresolved_marks

CLEAN = r"""This is LuaHBTeX, Version 1.15.0 (TeX Live 2022/Debian)
(./llm-from-scratch.tex
LaTeX Font Info:    Checking defaults for TU/lmr/m/n on input line 80.
LaTeX Info: Redefining \textbf on input line 31.
Package hyperref Info: Option `bookmarks' set `true' on input line 4390.
Package fontspec Info: Could not resolve font "JetBrainsMono-Bold/I".
Underfull \hbox (badness 1803) in paragraph at lines 20--21
Overfull \hbox (1.99pt too wide) in paragraph at lines 30--31
 []\TU/texgyrepagella(0)/m/n/10 A hair is not seen
[1] [2] [3]
Output written on llm-from-scratch.pdf (3 pages, 81920 bytes).
"""


def test_a_clean_log_has_no_problem():
    assert problems(CLEAN) == []


@pytest.mark.parametrize(
    "line",
    [
        "Missing character: There is no ￾ (U+FFFE) in font [X.ttf]:mode=harf;!",
        "LaTeX Warning: Reference `eq-x' on page 3 undefined on input line 9.",
        "LaTeX Warning: Hyper reference `a:b' on page 3 undefined on input "
        "line 104.",
        "LaTeX Warning: Citation `x' on page 1 undefined on input line 5.",
        "LaTeX Warning: There were undefined references.",
        "LaTeX Warning: Label `fig-x' multiply defined.",
        "LaTeX Warning: There were multiply-defined labels.",
        "LaTeX Font Warning: Font shape `TU/x(1)/b/n' undefined",
        "LaTeX Font Warning: Some font shapes were not available, defaults "
        "substituted.",
        "LaTeX Warning: Float too large for page by 12.0pt on input line 8.",
        "LaTeX Warning: Label(s) may have changed. Rerun to get "
        "cross-references right.",
        "warning  (pdf backend): unreferenced destination with name 'x' has "
        "been referenced but does not exist",
        "LaTeX Warning: File `figure.pdf' not found on input line 77.",
        "! Undefined control sequence.",
        "Overfull \\hbox (2.01pt too wide) in paragraph at lines 10--20",
        "Overfull \\vbox (30.5pt too high) has occurred while \\output is "
        "active []",
    ],
)
def test_each_fault_is_found(line):
    (problem,) = problems(CLEAN + line + "\n")
    assert problem.message == line


def test_an_overfull_line_shows_its_words():
    log = (
        "Overfull \\hbox (9.5pt too wide) in paragraph at lines 10--20\n"
        "[]\\TU/texgyrepagella(0)/m/n/10 An unbreakable-word-\n"
    )
    (problem,) = problems(log)
    assert problem.context == "An unbreakable-word-"
    assert str(problem).endswith("\n    An unbreakable-word-")


def test_a_fault_is_told_once():
    line = "LaTeX Warning: There were undefined references.\n"
    assert len(problems(line * 3)) == 1


def test_lines_that_tex_broke_are_joined():
    line = (
        "LaTeX Warning: Hyper reference `chapters/06_everything:a-very-long-"
        "label' on page 21 undefined on input line 871."
    )
    broken = line[:79] + "\n" + line[79:] + "\n"
    assert len(line) > 79
    assert [problem.message for problem in problems(broken)] == [line]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see Figure ?? below", 1),
        ("equation (??)", 1),
        ("as in [?]", 1),
        ("What?? said nobody", 0),
        ("pattern = r'a??b'", 0),
        ("a line\nTable ??.\nand ??\n", 2),
    ],
)
def test_lost_references_in_the_text(text, found):
    assert len(unresolved_marks(text)) == found

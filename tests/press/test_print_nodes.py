"""What the Sphinx extension makes of captions, boxes and cells."""

import pytest
from docutils import nodes

from book.press.print_bibliography import names_label
from book.press.print_boxes import labeled
from book.press.print_cells import place
from book.press.print_latex import first_sentence
from book.press.print_numbers import (
    PARTS,
    NumberingError,
    chapter_number,
    part_number,
)
from book.press.print_references import OUTER
from book.press.print_site import svg_width
from book.press.print_tables import TEXT_WIDTH, fit
from book.press.sphinx_book import opening


def caption(*parts: str | nodes.Node) -> nodes.caption:
    """A caption of texts and nodes."""
    children = [nodes.Text(p) if isinstance(p, str) else p for p in parts]
    return nodes.caption("", "", *children)


def shown(children: list[nodes.Node]) -> str:
    """The text of nodes."""
    return "".join(child.astext() for child in children)


def test_place_of_a_module():
    assert place("tokenizer.bpe") == "llm_from_scratch/tokenizer/bpe.py"


@pytest.mark.parametrize(
    ("parts", "short"),
    [
        (("One sentence. Two.",), "One sentence"),
        (("Costs 3.5 s. More.",), "Costs 3.5 s"),
        (
            (
                "At ",
                nodes.math("", "x"),
                " it falls. Then",
            ),
            "At x it falls",
        ),
        (("No period",), "No period"),
    ],
)
def test_first_sentence(parts, short):
    assert shown(first_sentence(caption(*parts))) == short


def test_a_long_sentence_is_cut_at_a_word():
    short = shown(first_sentence(caption("word " * 50 + "end.")))
    assert len(short) <= 102
    assert short.endswith("word …")


def test_the_caption_itself_stays_whole():
    whole = caption("One. Two.")
    first_sentence(whole)
    assert whole.astext() == "One. Two."


def test_rows_of_a_chapter_box():
    strong = nodes.strong("", "Needs:")
    paragraph = nodes.paragraph(
        "", "", nodes.Text(""), strong, nodes.Text(" nothing")
    )
    ((label, contents),) = labeled(paragraph)
    assert label == "Needs"
    assert shown(contents) == "nothing"
    assert labeled(nodes.paragraph("", "text"))[0][0] == ""


def test_a_paragraph_of_all_labels_is_split():
    parts = []
    for name in ("Needs", "Costs"):
        parts += [
            nodes.strong("", name),
            nodes.Text(" some "),
            nodes.strong("", "thing"),
            nodes.Text("\n"),
        ]
    rows = labeled(nodes.paragraph("", "", *parts))
    assert [(label, shown(text).strip()) for label, text in rows] == [
        ("Needs", "some thing"),
        ("Costs", "some thing"),
    ]


def test_rows_of_a_list_in_a_chapter_box():
    items = [
        nodes.list_item(
            "",
            nodes.paragraph(
                "", "", nodes.strong("", name), nodes.Text(" text")
            ),
        )
        for name in ("Needs", "Costs")
    ]
    rows = labeled(nodes.bullet_list("", *items))
    assert [label for label, _ in rows] == ["Needs", "Costs"]


def test_numbers_follow_the_file_name():
    assert chapter_number("chapters/06_a_tokenizer") == 6
    assert part_number("Data") == 2
    for name in ("chapters/a_tokenizer", "chapters/solutions/06_x", "book/x"):
        with pytest.raises(NumberingError, match=name):
            chapter_number(name)


def test_the_first_part_begins_the_main_matter():
    assert opening("Data", ["Front matter"]).startswith("\\mainmatter")
    assert "\\bookpart{2}{Data}" in opening("Data", ["Front matter"])
    assert "mainmatter" not in opening("Data", ["Front matter", "The target"])
    assert len(PARTS) == 7


def test_only_the_outer_environment_is_starred():
    text = r"\begin{align} \begin{cases} a \end{cases} \end{align}"
    assert OUTER.sub(r"\1*}\2*}", text) == (
        r"\begin{align*} \begin{cases} a \end{cases} \end{align*}"
    )


def test_svg_width(tmp_path):
    path = tmp_path / "x.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="196.2pt"/>')
    assert svg_width(path) == 196.2
    path.write_text("not an image")
    assert svg_width(path) is None
    assert svg_width(tmp_path / "absent.svg") is None


def test_columns_get_what_their_code_needs():
    assert fit([14, 40, 22, 24], [0, 0, 0, 0]) == [14, 40, 22, 24]
    widths = fit([10, 45, 45], [60, 0, 0])
    assert [TEXT_WIDTH * w / sum(widths) for w in widths] == pytest.approx(
        [60, (TEXT_WIDTH - 60) / 2, (TEXT_WIDTH - 60) / 2], abs=0.2
    )
    assert fit([50, 50], [300, 300]) == [50, 50]  # nothing to spare


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["Shannon"], "Sha"),
        (["Delétang"], "Del"),
        (["Sennrich", "Haddow", "Birch"], "SHB"),
        (["A", "B", "C", "D", "E"], "ABC+"),
        (["Vaswani", "others"], "V+"),
        (["National Institute of Standards and Technology"], "NIST"),
    ],
)
def test_labels_of_cited_works(names, label):
    assert names_label(names) == label

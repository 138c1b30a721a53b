"""Sphinx extension that makes a book of the notebooks, in print and as a site.

It numbers chapters by their file names, puts the name of the generated file
on every exported cell, leaves hidden cells out of the print, and writes the
LaTeX structure of a book: parts, front and back matter, appendices.
"""

import re
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import solution_node

from book.press import print_latex, print_numbers
from book.press.print_edition import read_edition

TAG = "tag_export:"
PACKAGE = "llm_from_scratch"
LABELS = ("Needs", "Builds", "Measures", "Costs")
HTML_ONLY = "references"  # the site's bibliography page; print has its own
TEXT_WIDTH = 5.45 * 72  # points, of the printed page
# Control characters have no glyph: show the pictures that Unicode has.
PICTURES = {
    code: chr(0x2400 + code)
    for code in range(32)
    if chr(code) not in "\t\n\x1b"  # an escape may begin a color
}
PICTURES |= {0x7F: "\u2421"}
PICTURES |= {code: f"\u27e8{code:02x}\u27e9" for code in range(0x80, 0xA0)}


def place(module: str) -> str:
    """Return the file of a module: tokenizer.bpe is tokenizer/bpe.py."""
    return f"{PACKAGE}/{module.replace('.', '/')}.py"


Row = tuple[str, list[nodes.Node]]  # of the chapter box: label, contents
OUTER = re.compile(r"\A(\\begin\{\w+)\}(.*\\end\{\w+)\}\Z", re.DOTALL)


class PlaceLabels(SphinxTransform):
    """Mark the code of each exported cell with the file it is written to."""

    default_priority = 850

    def apply(self, **kwargs: Any) -> None:
        for cell in self.document.findall(nodes.container):
            tags = [c for c in cell["classes"] if c.startswith(TAG)]
            if not tags:
                continue
            cell["classes"] = [c for c in cell["classes"] if c not in tags]
            cell["classes"].append("exported")
            for block in cell.findall(nodes.literal_block):
                if "cell_input" in block.parent["classes"]:
                    block["place"] = place(tags[0].removeprefix(TAG))


class SitePlaces(SphinxPostTransform):
    """Show the mark on the site; the LaTeX writer does it in print."""

    default_priority = 400
    builders = ("html",)

    def run(self, **kwargs: Any) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if "place" in block:
                label = nodes.paragraph("", block["place"], classes=["place"])
                block.parent.insert(block.parent.index(block), label)


class VisibleControls(SphinxTransform):
    """Show control characters in code and outputs; docutils drops NUL."""

    default_priority = 852

    def apply(self, **kwargs: Any) -> None:
        for block in self.document.findall(nodes.literal_block):
            if len(block) != 1 or not isinstance(block[0], nodes.Text):
                continue
            if "\0" in block.rawsource or block.rawsource == block.astext():
                block.rawsource = block.rawsource.translate(PICTURES)
                block.children = []
                block += nodes.Text(block.rawsource)
        for literal in self.document.findall(nodes.literal):
            for text in list(literal.findall(nodes.Text)):
                shown = str(text).translate(PICTURES)
                if shown != text:
                    text.parent.replace(text, nodes.Text(shown))


class PlainAmsMath(SphinxTransform):
    r"""Number only the equations that have a label.

    MyST gives `\begin{align}` a random label, so that two builds differ, and
    one number, where LaTeX gives each line its own.
    """

    default_priority = 853

    def apply(self, **kwargs: Any) -> None:
        labels = set()
        for block in self.document.findall(nodes.math_block):
            if "amsmath" not in block["classes"] or not block.get("label"):
                continue
            labels.add(nodes.make_id(f"equation-{block['label']}"))
            self.env.get_domain("math").data["objects"].pop(block["label"])
            block["label"] = block["number"] = None
            block["ids"], block["names"] = [], []
            starred = OUTER.sub(r"\1*}\2*}", block.astext().strip())
            block.children = []
            block += nodes.Text(starred)
        for target in list(self.document.findall(nodes.target)):
            if labels & set(target["ids"]):
                target.parent.remove(target)


class LabelRows(SphinxTransform):
    """Give the chapter box one shape: rows of a bold label and its text."""

    default_priority = 851

    def apply(self, **kwargs: Any) -> None:
        for box in self.document.findall(nodes.admonition):
            if print_latex.BOX not in box["classes"]:
                continue
            rows: list[Row] = []
            for child in list(box.children[1:]):
                rows += labeled(child)
                box.remove(child)
            box += definition_list(rows)


def labeled(node: nodes.Node) -> list[Row]:
    """Return the rows (label, contents) that a part of the box holds."""
    if isinstance(node, nodes.definition_list):
        return [
            (item[0].astext(), list(item[-1].children))
            for item in node.children
            if isinstance(item, nodes.definition_list_item)
        ]
    if isinstance(node, nodes.bullet_list):
        return [row for item in node for row in labeled(item)]
    if isinstance(node, nodes.list_item):
        rows = labeled(node[0])
        rows[-1][1].extend(node.children[1:])
        return rows
    if isinstance(node, nodes.paragraph):
        return split_rows(node)
    return [("", [node])]


def split_rows(paragraph: nodes.paragraph) -> list[Row]:
    """Split a paragraph before each of the box's labels set in bold."""
    rows: list[Row] = []
    for child in paragraph.children:
        label = child.astext().rstrip(".: ")
        first = not any(row[1][0].astext() for row in rows)
        if isinstance(child, nodes.strong) and (first or label in LABELS):
            rows.append((label, [nodes.paragraph()]))
            continue
        if not rows:
            # MyST leaves an empty text before a paragraph's first markup.
            if not label:
                continue
            rows.append(("", [nodes.paragraph()]))
        row = rows[-1][1][0]
        if isinstance(child, nodes.Text) and not row.astext():
            child = nodes.Text(str(child).lstrip(" .:·—-"))
        row += child
    return rows


def definition_list(
    rows: list[Row],
) -> nodes.definition_list:
    """Build the list; a row without a label continues the one before."""
    result = nodes.definition_list(classes=["box-rows"])
    for label, contents in rows:
        if not label and result.children:
            result[-1][-1].extend(contents)
            continue
        result += nodes.definition_list_item(
            "", nodes.term("", label), nodes.definition("", *contents)
        )
    return result


class SolutionLinks(SphinxPostTransform):
    """Name the exercise in a link to a solution of another document.

    sphinx-exercise does so within one document and leaves "Solution to".
    """

    default_priority = 30

    def run(self, **kwargs: Any) -> None:
        registry = getattr(self.env, "sphinx_exercise_registry", {})
        for link in list(self.document.findall(nodes.reference)):
            label = link.get("refuri", "").rpartition("#")[2]
            target = registry.get(label, {}).get("node")
            if not isinstance(target, solution_node) or not link.children:
                continue
            exercise = registry.get(target["target_label"])
            if exercise is None:
                continue
            numbers = self.env.toc_fignumbers[exercise["docname"]]["exercise"]
            number = numbers.get(exercise["node"]["ids"][0], ())
            text = f"Solution to Exercise {'.'.join(map(str, number))}"
            shown = link.children[0]
            if isinstance(shown, nodes.Element):
                shown.children = []
                shown += nodes.Text(text)
        for solution in self.document.findall(solution_node):
            # The title is "Solution to" and a link " Exercise 6.1 (...)".
            for link in solution[0].findall(nodes.reference):
                text = str(link[0])
                link.replace(link[0], nodes.Text(text.lstrip()))
                link.parent.insert(link.parent.index(link), nodes.Text(" "))
                break


class HideCells(SphinxPostTransform):
    """Leave out of the print what the site folds away."""

    default_priority = 400
    builders = ("latex",)
    hidden: ClassVar[dict[str, tuple[str, ...]]] = {
        "tag_hide-input": ("cell_input",),
        "tag_hide-output": ("cell_output",),
        "tag_hide-cell": ("cell_input", "cell_output"),
    }

    def run(self, **kwargs: Any) -> None:
        for cell in list(self.document.findall(nodes.container)):
            for tag, targets in self.hidden.items():
                if tag not in cell["classes"]:
                    continue
                for child in list(cell.children):
                    if not isinstance(child, nodes.Element):
                        continue
                    if set(targets) & set(child["classes"]):
                        cell.remove(child)


class Structure(SphinxPostTransform):
    """Put parts, matter commands and chapter numbers before the documents."""

    default_priority = 900
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        files = {
            node["docname"]: node
            for node in self.document.findall(addnodes.start_of_file)
        }
        seen: list[str] = []
        for entry in print_numbers.entries(self.env):
            code = ""
            if entry.caption not in seen:
                code = opening(entry.caption, seen)
                seen.append(entry.caption)
            if entry.caption in print_numbers.PARTS:
                number = print_numbers.chapter_number(entry.docname)
                code += f"\\setcounter{{chapter}}{{{number - 1}}}\n"
            node = files.get(entry.docname)
            if node is None:
                continue
            raw = nodes.raw("", f"\n{code}", format="latex")
            node.parent.insert(node.parent.index(node), raw)
            if entry.docname.rsplit("/", 1)[-1] == HTML_ONLY:
                node.parent.remove(node)


def opening(caption: str, seen: list[str]) -> str:
    """Return the LaTeX that begins a part of the book."""
    if caption == print_numbers.FRONT:
        return ""
    if caption == print_numbers.APPENDICES:
        return "\\bookappendices\n"
    if caption == print_numbers.BACK:
        return "\\backmatter\n"
    first = not any(name in print_numbers.PARTS for name in seen)
    number = print_numbers.part_number(caption)
    code = "\\mainmatter\n" if first else ""
    blurb = print_numbers.PARTS[caption]
    return f"{code}\\bookpart{{{number}}}{{{caption}}}{{{blurb}}}\n"


class SiteFigures(SphinxPostTransform):
    """Show vector figures on the site in the proportions of the page."""

    default_priority = 400
    builders = ("html",)

    def run(self, **kwargs: Any) -> None:
        for image in self.document.findall(nodes.image):
            uri = image.get("candidates", {}).get("image/svg+xml", image["uri"])
            path = Path(self.app.srcdir, uri)
            if "width" in image or not uri.endswith(".svg"):
                continue
            width = svg_width(path)
            if width:
                share = min(100, round(100 * width / TEXT_WIDTH))
                image["width"] = f"{share}%"


def svg_width(path: Path) -> float | None:
    """Return the width of an SVG in points, if it states one."""
    try:
        root = next(ElementTree.iterparse(path, events=("start",)))[1]
    except (OSError, ElementTree.ParseError):
        return None
    match = re.fullmatch(r"([\d.]+)(pt|px)?", root.get("width", ""))
    return float(match.group(1)) if match else None


def number_captions(app: Sphinx, doctree: nodes.document) -> None:
    """Write part numbers into the site's table of contents."""
    for toctree in doctree.findall(addnodes.toctree):
        caption = toctree.get("caption")
        if caption in print_numbers.PARTS:
            number = print_numbers.part_number(caption)
            toctree["bookcaption"] = caption
            toctree["caption"] = (
                f"{print_numbers.ROMAN[number - 1]} · {caption}"
            )


def prepare_print(app: Sphinx) -> None:
    """Keep the root page, the site's landing page, out of the print."""
    if app.builder.format != "latex":
        return
    app.config.latex_documents = [
        (*document[:5], True) for document in app.config.latex_documents
    ]
    print_latex.override_visitors(app)


def write_edition(app: Sphinx, error: Exception | None) -> None:
    """Give LaTeX the version, date and commit."""
    if error is not None or app.builder.format != "latex":
        return
    edition = read_edition(Path(app.config.book_root or app.srcdir))
    fields = {
        "version": edition.version,
        "date": edition.date,
        "revision": edition.revision,
        "year": edition.date[-4:],
    }
    lines = [rf"\newcommand\book{k}{{{v}}}" for k, v in fields.items()]
    path = Path(app.outdir, "edition.def")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def plain_landing_page(app: Sphinx, doctree: nodes.document) -> None:
    """Leave figures of the landing page unnumbered: print does not have it."""
    if app.env.docname != app.config.root_doc:
        return
    for figure in list(doctree.findall(nodes.figure)):
        parts: list[nodes.Node] = [
            nodes.paragraph("", "", *part.children, classes=["landing-caption"])
            if isinstance(part, nodes.caption)
            else part
            for part in figure.children
        ]
        figure.replace_self(nodes.container("", *parts, classes=["landing"]))


def drop_thebe(app: Sphinx) -> None:
    """Remove the live-code loader, which names a server on every page."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                listeners.remove(listener)


TRANSFORMS = (PlaceLabels, VisibleControls, PlainAmsMath, LabelRows)
POST_TRANSFORMS = (SolutionLinks, HideCells, Structure, SiteFigures, SitePlaces)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    app.add_config_value("book_root", "", "env")
    app.set_translator("latex", print_latex.BookTranslator)
    for transform in TRANSFORMS:
        app.add_transform(transform)
    for post_transform in POST_TRANSFORMS:
        app.add_post_transform(post_transform)
    app.connect("doctree-read", number_captions, priority=100)
    app.connect("doctree-read", plain_landing_page, priority=100)
    app.connect("builder-inited", drop_thebe, priority=1)
    app.connect("builder-inited", prepare_print)
    app.connect("build-finished", write_edition)
    setattr(  # noqa: B010 (Sphinx numbers chapters 1, 2, 3 otherwise)
        TocTreeCollector,
        "assign_section_numbers",
        print_numbers.assign_section_numbers,
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}

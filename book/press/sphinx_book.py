"""Sphinx extension that makes a book of the notebooks, in print and as a site.

It numbers chapters by their file names, puts the name of the generated file
on every exported cell, leaves hidden cells out of the print, and writes the
LaTeX structure of a book: parts, front and back matter, appendices.
"""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx.transforms.post_transforms import SphinxPostTransform

from book.press import (
    print_bibliography,
    print_boxes,
    print_cells,
    print_latex,
    print_numbers,
    print_references,
    print_site,
    print_tables,
)
from book.press.print_edition import read_edition

HTML_ONLY = "references"  # the site's bibliography page; print has its own


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


TRANSFORMS = (
    print_cells.PlaceLabels,
    print_cells.VisibleControls,
    print_references.PlainAmsMath,
    print_boxes.LabelRows,
)
POST_TRANSFORMS = (
    print_references.SolutionLinks,
    print_cells.HideCells,
    print_cells.SitePlaces,
    Structure,
    print_tables.FitColumns,
    print_site.SiteFigures,
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    print_bibliography.register()
    print_references.accept_numpy_numbers()
    app.add_config_value("book_root", "", "env")
    app.set_translator("latex", print_latex.BookTranslator)
    for transform in TRANSFORMS:
        app.add_transform(transform)
    for post_transform in POST_TRANSFORMS:
        app.add_post_transform(post_transform)
    app.connect("doctree-read", print_site.number_captions, priority=100)
    app.connect("doctree-read", print_site.plain_landing_page, priority=100)
    app.connect("builder-inited", print_site.drop_thebe, priority=1)
    app.connect("builder-inited", prepare_print)
    app.connect("build-finished", write_edition)
    setattr(  # noqa: B010 (Sphinx numbers chapters 1, 2, 3 otherwise)
        TocTreeCollector,
        "assign_section_numbers",
        print_numbers.assign_section_numbers,
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}

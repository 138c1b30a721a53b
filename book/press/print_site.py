"""What only the site has: figure widths, part numbers, a landing page."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from book.press import print_numbers
from book.press.print_tables import TEXT_WIDTH


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

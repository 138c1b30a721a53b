"""Code cells: their file's name, their hidden parts, their odd characters."""

from typing import Any, ClassVar

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

TAG = "tag_export:"
PACKAGE = "llm_from_scratch"
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

"""The chapter box: what a chapter needs, builds, measures and costs."""

from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

BOX = "chapter-box"
LABELS = ("Needs", "Builds", "Measures", "Costs")
Row = tuple[str, list[nodes.Node]]  # a label and the contents of its row


class LabelRows(SphinxTransform):
    """Give the chapter box one shape: rows of a bold label and its text."""

    default_priority = 851

    def apply(self, **kwargs: Any) -> None:
        for box in self.document.findall(nodes.admonition):
            if BOX not in box["classes"]:
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

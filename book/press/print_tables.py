"""Columns of printed tables that hold code."""

import re
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

TEXT_WIDTH = 5.45 * 72  # points, of the printed page
CODE_CHARACTER = 4.54  # points, of code within a table


class FitColumns(SphinxPostTransform):
    """Widen table columns that hold code which cannot break."""

    default_priority = 400
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for table in self.document.findall(nodes.tgroup):
            columns = [c for c in table if isinstance(c, nodes.colspec)]
            needs = [0.0] * len(columns)
            for row in table.findall(nodes.row):
                for index, entry in enumerate(row.children[: len(needs)]):
                    needs[index] = max(needs[index], code_width(entry))
            widths = fit([c["colwidth"] for c in columns], needs)
            for column, width in zip(columns, widths, strict=True):
                column["colwidth"] = width


def code_width(entry: nodes.Node) -> float:
    """Return the points that the longest word of code in a cell takes."""
    words = [
        word
        for code in entry.findall(nodes.literal)
        for word in re.findall(r"[A-Za-z0-9]+[_.,/-]?", code.astext())
    ]
    return max((CODE_CHARACTER * len(word) + 12 for word in words), default=0)


def fit(widths: list[int], needs: list[float]) -> list[int]:
    """Return shares of the text width that give each column what it needs.

    What a column lacks is taken from the others in proportion to what each
    has to spare. Without a lack, or without enough to spare, nothing changes.
    """
    points = [TEXT_WIDTH * width / sum(widths) for width in widths]
    pairs = list(zip(points, needs, strict=True))
    lack = sum(max(need - have, 0) for have, need in pairs)
    spare = sum(max(have - need, 0) for have, need in pairs)
    if not lack or spare < lack:
        return widths
    return [
        round(
            10 * (need if need > have else have - (have - need) * lack / spare)
        )
        for have, need in pairs
    ]

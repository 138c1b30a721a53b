"""Numbers of equations and names of links, the same in print and site."""

import re
from typing import Any

from docutils import nodes
from myst_nb.ext.glue import roles  # type: ignore[import-untyped]
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_exercise.nodes import solution_node

NUMPY = re.compile(r"np\.\w+\((.*)\)")
OUTER = re.compile(r"\A(\\begin\{\w+)\}(.*\\end\{\w+)\}\Z", re.DOTALL)


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


def accept_numpy_numbers() -> None:
    """Let `{glue:text}` print a NumPy number, which NumPy 2 shows typed."""
    original = roles.format_plain_text

    def format_plain_text(text: str, fmt_spec: str) -> str:
        bare = NUMPY.fullmatch(text)
        return original(bare.group(1) if bare else text, fmt_spec)

    roles.format_plain_text = format_plain_text

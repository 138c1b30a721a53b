"""How the nodes of the book are written as LaTeX."""

import re
from collections.abc import Callable, Iterable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import clean_astext
from sphinx.writers.latex import LaTeXTranslator
from sphinx_exercise import nodes as exercises
from sphinx_proof import nodes as proofs

from book.press.print_boxes import BOX

# Containers whose class the theme styles; all other classes stay silent.
STYLED = {"cell_input", "cell_output", "exported"}
SENTENCE = re.compile(r"[.?!](?=\s|$)")
SHORT_CAPTION = 100
# LuaTeX takes U+FFFD for broken input and stops; the theme sets its glyph.
UNKNOWN = {0xFFFD: r"\bookunknown{}", 0x1B: "\u241b"}


class BookTranslator(LaTeXTranslator):
    """Sphinx's LaTeX writer with the environments of the book."""

    def latex_of(self, children: Iterable[nodes.Node]) -> str:
        """Write nodes apart from the text and return their LaTeX."""
        body, self.body = self.body, []
        for child in children:
            child.walkabout(self)
        text = "".join(self.body)
        self.body = body
        return text

    def pop_title(self, node: nodes.Element) -> str:
        """Take the title out of a node and return it as LaTeX."""
        for child in node.children:
            if isinstance(child, nodes.title | nodes.subtitle) or (
                type(child).__name__.endswith("_title")
            ):
                node.remove(child)
                return self.latex_of(child.children)
        return ""

    def encode(self, text: str) -> str:
        return super().encode(text).translate(UNKNOWN)

    def visit_literal_block(self, node: nodes.Element) -> None:
        start = len(self.body)
        try:
            super().visit_literal_block(node)
        finally:
            written = "".join(self.body[start:]).translate(UNKNOWN)
            if "place" in node:
                label = self.encode(node["place"])
                written = f"\n\\bookplaced{{{label}}}{written}"
            if "stderr" in node["classes"]:
                written = f"\n\\begin{{bookstderr}}{written}\\end{{bookstderr}}"
            self.body[start:] = [written]

    def visit_table(self, node: nodes.Element) -> None:
        node.setdefault("align", "left")
        super().visit_table(node)

    def visit_container(self, node: nodes.Element) -> None:
        node["classes"] = [c for c in node["classes"] if c in STYLED]
        super().visit_container(node)

    def visit_caption(self, node: nodes.Element) -> None:
        super().visit_caption(node)
        if self.body[-1] == r"\caption{":
            short = self.latex_of(first_sentence(node))
            self.body[-1] = rf"\caption[{{{short}}}]{{"

    def visit_admonition(self, node: nodes.Element) -> None:
        kind = "bookbox" if BOX in node["classes"] else "bookadmonition"
        title = self.pop_title(node)
        self.body.append(f"\n\\begin{{{kind}}}{{{title}}}\n")
        node["environment"] = kind
        self.no_latex_floats += 1

    def depart_admonition(self, node: nodes.Element) -> None:
        self.body.append(f"\n\\end{{{node['environment']}}}\n")
        self.no_latex_floats -= 1

    def visit_glossary(self, node: nodes.Element) -> None:
        self.body.append("\n\\begin{bookglossary}\n")

    def depart_glossary(self, node: nodes.Element) -> None:
        self.body.append("\n\\end{bookglossary}\n")

    def visit_sidebar(self, node: nodes.Element) -> None:
        title = self.pop_title(node)
        self.body.append(f"\n\\begin{{bookaside}}{{{title}}}\n")
        self.no_latex_floats += 1

    def depart_sidebar(self, node: nodes.Element) -> None:
        self.body.append("\n\\end{bookaside}\n")
        self.no_latex_floats -= 1


def first_sentence(caption: nodes.Element) -> list[nodes.Node]:
    """Return the nodes of a caption up to the end of its first sentence."""
    kept: list[nodes.Node] = []
    length = 0
    for child in caption.deepcopy().children:
        if not isinstance(child, nodes.Text):
            if isinstance(child, nodes.footnote_reference | nodes.target):
                continue
            kept.append(child)
            length += len(clean_astext(child)) if _is_element(child) else 0
            continue
        text = str(child)
        end = SENTENCE.search(text)
        if end:
            text = text[: end.start()]
        if length + len(text) > SHORT_CAPTION:
            cut = text[: max(SHORT_CAPTION - length, 0)].rsplit(" ", 1)[0]
            kept.append(nodes.Text(cut.rstrip(",;: ") + " …"))
            break
        kept.append(nodes.Text(text))
        length += len(text)
        if end:
            break
    return kept


def _is_element(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element)


# Theorems, proofs, exercises: nodes of two extensions, written by the book.


def visit_theorem(self: BookTranslator, node: nodes.Element) -> None:
    """Open a theorem, lemma, algorithm, and so on, with its number."""
    kind = node.get("realtype", "theorem")
    number = ""
    if isinstance(node, proofs.unenumerable_node) is False:
        number = proofs.get_node_number(
            self, node, node.get("countertype", kind)
        )
    docname = proofs.find_parent(self.builder.env, node, "section")
    label = rf"\phantomsection\label{{{docname}:{node.get('label', '')}}}"
    title = self.pop_title(node).strip()
    if title.startswith("(") and title.endswith(")"):
        title = title[1:-1]
    self.body.append(
        f"\n\\begin{{booktheorem}}{{{kind.title()}}}{{{number}}}{{{title}}}"
        f"{label}\n"
    )
    self.no_latex_floats += 1


def depart_theorem(self: BookTranslator, node: nodes.Element) -> None:
    """Close it."""
    self.body.append("\n\\end{booktheorem}\n")
    self.no_latex_floats -= 1


def visit_proof(self: BookTranslator, node: nodes.Element) -> None:
    """Open a proof; sphinx-proof wraps it in an untitled admonition."""
    if len(node.children) == 1 and isinstance(
        node.children[0], nodes.admonition
    ):
        inner = node.children[0]
        node.remove(inner)
        node.extend(inner.children)
    opening = nodes.raw("", r"\bookproofname{}", format="latex")
    first = node.children[0]
    if isinstance(first, nodes.paragraph):
        lead = first.children[0]
        if isinstance(lead, nodes.Text) and lead.startswith("Proof. "):
            first.replace(lead, nodes.Text(str(lead)[len("Proof. ") :]))
        first.insert(0, opening)
    else:
        node.insert(0, opening)
    self.body.append("\n\\begin{bookproof}\n")


def depart_proof(self: BookTranslator, node: nodes.Element) -> None:
    """Close it with the tombstone, on the last line if that is text."""
    tombstone = r"\bookqed" if _ends_in_text(node) else r"\bookqedline"
    while self.body and not self.body[-1].strip():
        self.body.pop()
    self.body.append(f"{tombstone}\n\\end{{bookproof}}\n")


def _ends_in_text(node: nodes.Element) -> bool:
    return bool(node.children) and isinstance(
        node.children[-1], nodes.paragraph
    )


def exercise_visitor(
    environment: str, label: Callable[[BookTranslator, nodes.Element], str]
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return visit and depart of an exercise or solution environment."""

    def visit(self: BookTranslator, node: nodes.Element) -> None:
        title = self.pop_title(node)
        self.body.append(
            f"\n\\begin{{{environment}}}{{{title}}}{{{label(self, node)}}}\n"
        )

    def depart(self: BookTranslator, node: nodes.Element) -> None:
        self.body.append(f"\n\\end{{{environment}}}\n")

    return visit, depart


def exercise_label(self: BookTranslator, node: nodes.Element) -> str:
    """Return the label that sphinx-exercise refers to."""
    registry = self.builder.env.sphinx_exercise_registry  # type: ignore[attr-defined]
    docname = registry[node["label"]]["docname"]
    # References from the same document use the first, others the second.
    names = (f"exercise:{node['label']}", f"{docname}:{node['label']}")
    return "".join(rf"\label{{{name}}}" for name in names)


def solution_label(self: BookTranslator, node: nodes.Element) -> str:
    """Return the label of a solution, which names its document."""
    registry = self.builder.env.sphinx_exercise_registry  # type: ignore[attr-defined]
    return rf"\label{{{registry[node['label']]['docname']}:{node['label']}}}"


def override_visitors(app: Sphinx) -> None:
    """Let the book write the nodes of sphinx-proof and sphinx-exercise."""
    theorem = (visit_theorem, depart_theorem)
    for kind in (*proofs.NODE_TYPES.values(), proofs.unenumerable_node):
        app.add_node(kind, override=True, latex=theorem)
    app.add_node(
        proofs.proof_node, override=True, latex=(visit_proof, depart_proof)
    )
    exercise = exercise_visitor("bookexercise", exercise_label)
    for kind in (exercises.exercise_node, exercises.exercise_enumerable_node):
        app.add_node(kind, override=True, latex=exercise)
    app.add_node(
        exercises.solution_node,
        override=True,
        latex=exercise_visitor("booksolution", solution_label),
    )

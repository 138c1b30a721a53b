"""Short labels of cited works: [Sha48], [SHB16], [VSP+17], [NIST15]."""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle

NAMES = 4  # that a label shows as initials; of more, three and a plus
STOP = {"of", "the", "and", "for", "de", "di", "van", "von"}


def last_name(person: Any) -> str:
    """Return the family name, or an organization's whole name."""
    separator = "" if person.rich_first_names else " "
    return separator.join(str(name) for name in person.rich_last_names)


def letters(text: str) -> str:
    """Return the ASCII letters and digits of a text, accents removed."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if c.isascii() and c.isalnum())


def initials(name: str) -> str:
    """Return the first letter of each word that counts."""
    words = name.replace("-", " ").split()
    return "".join(letters(w)[:1] for w in words if w.lower() not in STOP)


def names_label(names: list[str]) -> str:
    """Return the part of the label that stands for the authors."""
    others = names[-1] == "others"
    names = names[: -1 if others else None]
    if len(names) == 1 and not others:
        name = names[0]
        return letters(name)[:3] if " " not in name else initials(name)[:5]
    shown = names if len(names) <= NAMES and not others else names[:3]
    more = "+" if others or len(names) > NAMES else ""
    return "".join(initials(name)[:1].upper() for name in shown) + more


class LabelStyle(BaseLabelStyle):
    """Labels of authors and year, with a letter where two would be equal."""

    def format_labels(self, sorted_entries: Iterable[Any]) -> Iterator[str]:
        entries = list(sorted_entries)
        labels = [self.label(entry) for entry in entries]
        seen: dict[str, int] = {}
        for label in labels:
            if labels.count(label) == 1:
                yield label
                continue
            seen[label] = seen.get(label, -1) + 1
            yield label + "abcdefghijklmnopqrstuvwxyz"[seen[label]]

    def label(self, entry: Any) -> str:
        """Return the label of one work, before letters."""
        persons = entry.persons.get("author") or entry.persons.get("editor")
        if persons:
            label = names_label([last_name(person) for person in persons])
        else:
            source = entry.fields.get("organization") or entry.key
            label = initials(source)[:5] if " " in source else source[:3]
        return str(label + entry.fields.get("year", "")[-2:])


class BookStyle(Style):
    """The plain style, sorted by author, with the labels above."""

    default_sorting_style = "author_year_title"
    default_label_style = LabelStyle


def register() -> None:
    """Make `bibtex_default_style: book` known."""
    register_plugin("pybtex.style.formatting", "book", BookStyle)

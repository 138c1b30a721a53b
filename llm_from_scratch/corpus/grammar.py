# Generated from chapters/appendix_world.md by `make export`. Do not edit.
"""English word forms: word lists, plurals, verbs, articles, numbers."""

import re
from functools import cache
from importlib.resources import files

__all__ = [
    "article",
    "listing",
    "number_word",
    "plural",
    "possessive",
    "read_lists",
    "verb",
    "words",
]


@cache
def read_lists(name: str) -> dict[str, tuple[str, ...]]:
    """The lists of a data file `name`.txt: "== title", then one item a line.

    Blank lines and lines that begin with # are skipped. ValueError for a
    title that occurs twice.
    """
    path = files("llm_from_scratch.corpus") / "data" / f"{name}.txt"
    lists: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("== "):
            title = line.removeprefix("== ").strip()
            if title in lists:
                raise ValueError(f"{name}.txt has two lists named {title!r}")
            lists[title] = []
        elif line.strip() and not line.startswith("#"):
            lists[title].append(line.strip())
    return {title: tuple(items) for title, items in lists.items()}


def words(title: str) -> tuple[str, ...]:
    """A list of words.txt; ValueError if there is none of that title."""
    lists = read_lists("words")
    if title not in lists:
        raise ValueError(f"words.txt has no list named {title!r}")
    return lists[title]


@cache
def plural(noun: str) -> str:
    """The plural of a noun: loaf, loaves; berry, berries; fish, fish."""
    irregular = dict(line.split() for line in words("irregular plurals"))
    head, space, last = noun.rpartition(" ")
    if last in irregular:
        last = irregular[last]
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return head + space + last


def possessive(name: str) -> str:
    """The possessive of a name or noun: Mina's, the bakers'."""
    return name + ("'" if name.endswith("s") else "'s")


def article(phrase: str) -> str:
    """The indefinite article that the sound of a phrase asks for."""
    hard = re.match(r"(?i)(one|once|us[eu]|uni|eu|ewe)", phrase)
    soft = re.match(r"(?i)([aeiou]|hour|honest|8|11\b|18\b)", phrase)
    return "an" if soft and not hard else "a"


def listing(items: list[str], last: str = "and") -> str:
    """Items as a phrase: "a", "a and b", "a, b, and c"."""
    if len(items) < 3:
        return f" {last} ".join(items)
    return ", ".join(items[:-1]) + f", {last} {items[-1]}"


def number_word(n: int) -> str:
    """A whole number from 0 to 99 in letters, others in digits."""
    small = words("numbers")
    if 0 <= n < 20:
        return small[n]
    if 20 <= n < 100:
        tens, ones = small[18 + n // 10], n % 10
        return tens + (f"-{small[ones]}" if ones else "")
    return str(n)


@cache
def verb(lemma: str, form: str) -> str:
    """A form of a verb: "base", "s", "past", "done" or "ing".

    Irregular verbs are in words.txt; the rules of spelling do the others:
    stop, stopped; carry, carries; bake, baking.
    """
    if form == "base":
        return lemma
    irregular = {v.split()[0]: v.split() for v in words("irregular verbs")}
    if lemma in irregular and form in ("past", "done"):
        return irregular[lemma][1 if form == "past" else 2]
    doubles = lemma in words("doubling verbs")
    stem = lemma + lemma[-1] if doubles else lemma
    if form == "s":
        if lemma in ("be", "have"):
            return {"be": "is", "have": "has"}[lemma]
        return plural(lemma) if lemma[-1] != "o" else lemma + "es"
    if form == "ing":
        silent = re.search(r"[^eoy]e$", lemma) and lemma != "be"
        return (lemma[:-1] if silent else stem) + "ing"
    if form in ("past", "done"):
        if lemma.endswith("e"):
            return lemma + "d"
        return re.sub(r"(?<=[^aeiou])y$", "i", stem) + "ed"
    raise ValueError(f'form must be "s", "past", "done" or "ing", got {form!r}')

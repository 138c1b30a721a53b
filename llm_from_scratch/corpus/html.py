# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Pages of HTML: eight site templates, and what surrounds the text."""

import html
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html.entities import codepoint2name
from random import Random

from llm_from_scratch.corpus.phrases import fill_shape, web_bank, web_template
from llm_from_scratch.corpus.sites import Site

__all__ = [
    "BLOCKS",
    "HIDDEN",
    "MARKUP",
    "RenderedPage",
    "curly",
    "render_page",
]


def curly(text: str) -> str:
    """Typographic quotation marks and dashes; the length stays the same."""
    text = re.sub(r'(^|[\s(\[\u2013\u2014])"', "\\1\u201c", text)
    text = text.replace('"', "\u201d")
    text = re.sub(r"(^|[\s(\[\u2013\u2014\u201c])'(?=\w)", "\\1\u2018", text)
    return text.replace("'", "\u2019").replace(" - ", " \u2013 ")


def _escape(text: str, entities: bool) -> str:
    """Text as HTML, perhaps with named or numeric entities."""
    text = html.escape(text, quote=False)
    if not entities:
        return text
    return "".join(
        c
        if c.isascii()
        else f"&{codepoint2name[ord(c)]};"
        if ord(c) in codepoint2name
        else f"&#{ord(c)};"
        for c in text
    )


MARKUP = ("<em>{}</em>", "<b>{}</b>", '<a href="/tag/{}">{}</a>')


def _inline(text: str, rng: Random, entities: bool, wrap: bool) -> str:
    """A paragraph as HTML: links, emphasis, line breaks, entities."""
    lines = []
    for line in text.split("\n"):
        words = _escape(line, entities).split(" ")
        if rng.random() < 0.4:
            i = rng.randrange(len(words))
            if words[i].isalnum():
                form = rng.choice(MARKUP)
                words[i] = form.replace("{}", words[i])
        line = " ".join(words)
        lines.append(
            textwrap.fill(
                line, 78, break_long_words=False, break_on_hyphens=False
            )
            if wrap
            else line
        )
    return "<br>\n".join(lines)


@dataclass(frozen=True)
class RenderedPage:
    """HTML, where in it each paragraph lies, and what else is there."""

    html: str
    spans: tuple[tuple[int, int], ...]
    dirt: tuple[str, ...]


BLOCKS = {
    "blog": ("<p>", "</p>\n"),
    "news": ("<p>", "</p>\n"),
    "wiki": ("<p>", "</p>\n"),
    "recipe": ("<p>", "</p>\n"),
    "shop": ("<div>", "</div>\n"),
    "docs": ("<p>", "</p>\n"),
    "old": ("", "<BR><BR>\n"),
}


def _post(rng: Random) -> tuple[str, str]:
    """What stands before and after the text of a forum post."""
    bank = web_bank("furniture")["site"]
    user, n = rng.choice(bank["user"]), rng.randrange(2000)
    before = (
        f'<div class="post"><dl class="postprofile"><dt>{user}</dt>'
        f"<dd>Posts: {n}</dd><dd>Joined: 398</dd></dl>\n"
        '<div class="content">'
    )
    after = '</div>\n<div class="sig">Quote | Reply | Report</div></div>\n'
    return before, after


def _main(
    site: Site, paragraphs: Sequence[str], rng: Random, dirt: set[str]
) -> tuple[str, list[tuple[int, int]]]:
    """The main text as HTML, and the span of each paragraph in it."""
    parts, spans, at = [], [], 0
    ad = rng.randrange(12)
    for i, text in enumerate(paragraphs):
        before, after = (
            _post(rng) if site.template == "forum" else BLOCKS[site.template]
        )
        inner = _inline(text, rng, site.entities, site.template == "old")
        if i == ad and i:
            line = rng.choice(web_bank("furniture")["banner"]["ad"])
            before = f'<div class="ad">{line}</div>\n{before}'
            dirt.add("ad")
        spans.append((at + len(before), at + len(before) + len(inner)))
        parts.append(before + inner + after)
        at += len(parts[-1])
    return "".join(parts), spans


def _links(texts: Sequence[str], item: str = "<li>{}</li>") -> str:
    """A row of links, as menus have."""
    return "".join(
        item.format(f'<a href="/{i}">{html.escape(text, quote=False)}</a>')
        for i, text in enumerate(texts)
    )


def _comments(rng: Random, dirt: set[str]) -> str:
    """Zero to five remarks of readers below the text."""
    count = rng.choice((0, 0, 0, 1, 2, 3, 5))
    if not count:
        return ""
    dirt.add("comments")
    bank = web_bank("furniture")
    head = rng.choice(bank["comments"]["heads"]).format(n=count)
    users = rng.sample(bank["site"]["user"], count)
    texts = rng.sample(bank["comments"]["texts"], count)
    rows = "".join(
        f'<div class="comment"><b>{user}</b> says:<p>{text}</p>'
        "<a>Reply</a></div>\n"
        for user, text in zip(users, texts, strict=True)
    )
    return f'<div id="comments"><h3>{head}</h3>\n{rows}</div>\n'


HIDDEN = (
    '<div style="display:none">{}</div>\n',
    "<!-- {} -->\n",
    "<noscript>{}</noscript>\n",
    '<span hidden aria-hidden="true">{}</span>\n',
)


def _extras(site: Site, rng: Random, dirt: set[str]) -> dict[str, str]:
    """What only some pages have; the name of each goes into `dirt`."""
    bank = web_bank("furniture")
    banner, heads = bank["banner"], bank["headlines"]["texts"]
    related = _links(rng.sample(heads, 6))
    hidden = rng.choice(HIDDEN).format(rng.choice(banner["hidden"]))
    letter = rng.choice(banner["newsletter"])
    title = rng.choice(banner["related"])
    texts = {
        "cookie": (0.5, f'<div class="cookie">{site.banner}</div>\n'),
        "sidebar": (0.6, f"<div><h3>{title}</h3><ul>{related}</ul></div>\n"),
        "newsletter": (0.3, f'<form class="news">{letter}</form>\n'),
        "hidden": (0.25, hidden),
    }
    shown = {name for name, (share, _) in texts.items() if rng.random() < share}
    dirt |= shown
    return {name: texts[name][1] if name in shown else "" for name in texts}


def _furniture(site: Site, rng: Random, dirt: set[str]) -> dict[str, str]:
    """Everything around the text, by the names that templates use."""
    bank = web_bank("furniture")
    names = bank["nav"][site.template]
    return {
        "site": site.name,
        "tagline": site.tagline,
        "nav": _links(names),
        "nav_line": _links(names, "{}<br>"),
        "share": " ".join(rng.sample(bank["banner"]["share"], 3)),
        "breaking": rng.choice(bank["headlines"]["texts"]),
        "author": rng.choice(bank["site"]["author"]),
        "footer": html.escape(fill_shape(rng, site.footer, {}), quote=False),
        "comments": _comments(rng, dirt),
        "date": fill_shape(rng, "{date}", {}),
        "count": fill_shape(rng, "{count}", {}),
        "minor": fill_shape(rng, "{minor}", {}),
        **_extras(site, rng, dirt),
    }


def render_page(
    site: Site,
    title: str,
    paragraphs: Sequence[str],
    rng: Random,
    *,
    meta: str = "",
    language: str = "en",
) -> RenderedPage:
    """The page as a site would send it; spans count characters.

    `meta` is what the head declares about the charset, "" for nothing.
    """
    dirt = {"nav", "script"} - ({"script"} if site.template == "old" else set())
    slots = _furniture(site, rng, dirt)
    slots["title"] = _escape(title, site.entities)
    slots["lang"] = language
    slots["meta"] = f"{meta}\n" if meta else ""
    text, spans = _main(site, paragraphs, rng, dirt)
    mark = "\x00"  # a character that no page contains
    frame = web_template(site.template).substitute(slots, main=mark)
    at = frame.index(mark)
    return RenderedPage(
        html=frame.replace(mark, text),
        spans=tuple((at + start, at + end) for start, end in spans),
        dirt=tuple(sorted(dirt)),
    )

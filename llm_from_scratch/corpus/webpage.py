# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""A draft becomes a page: template, charset, transport and HTTP."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

from llm_from_scratch.corpus.charset import (
    CharsetPlan,
    encode_page,
    meta_tag,
    plan_charset,
)
from llm_from_scratch.corpus.crawl import (
    TRANSPORTS,
    http_head,
    record_id,
    transport_body,
)
from llm_from_scratch.corpus.drafts import DRAFTERS, Draft
from llm_from_scratch.corpus.html import render_page
from llm_from_scratch.corpus.labels import WebLabel
from llm_from_scratch.corpus.phrases import dice
from llm_from_scratch.corpus.plan import (
    COPIES,
    SmallwebConfig,
    planned_kind,
    source_of,
)
from llm_from_scratch.corpus.sites import (
    Site,
    choose_site,
    junk_site,
    page_url,
)

__all__ = [
    "ODD",
    "WebPage",
    "dress_draft",
    "iso_date",
    "smallweb_page",
    "visit_date",
]


@dataclass(frozen=True)
class WebPage:
    """One answer of a server as a crawler saw it, and its gold label.

    `data` is what the server had, `body` what crossed the wire: packed, in
    chunks. `refers_to` is the date of the earlier visit that brought the
    same bytes, "" for a page that is new.
    """

    index: int
    url: str
    date: str
    status: str
    headers: tuple[tuple[str, str], ...]
    data: bytes
    body: bytes
    label: WebLabel
    refers_to: str = ""

    @property
    def id(self) -> str:
        """The name of the page, shared with the clean text of its number."""
        return f"smallweb/{self.index:06}"

    @property
    def head(self) -> bytes:
        """Status line and headers as bytes."""
        return http_head(f"HTTP/1.1 {self.status}", self.headers)


def visit_date(config: SmallwebConfig, index: int) -> datetime:
    """When the crawler asked for page `index`: one page in two seconds."""
    start = datetime.fromisoformat(config.date).replace(tzinfo=UTC)
    return start + timedelta(seconds=2 * index)


def iso_date(date: datetime) -> str:
    """A date as WARC writes it, 2026-01-01T00:00:00Z."""
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _server_headers(
    config: SmallwebConfig, index: int, kind: str
) -> list[tuple[str, str]]:
    """What every server sends; Content-Type comes last."""
    rng = dice("server", config.seed, index)
    date = format_datetime(visit_date(config, index), usegmt=True)
    server = rng.choice(("nginx", "Apache/2.4.41", "PageMill", "Caddy"))
    headers = [("Date", date), ("Server", server)]
    if rng.random() < 0.3:
        headers.append(("Set-Cookie", f"sid={rng.getrandbits(64):x}; Path=/"))
    return [*headers, ("Content-Type", kind)]


def _label(
    config: SmallwebConfig, index: int, url: str, kind: str, **more: Any
) -> WebLabel:
    source = source_of(config, index)
    return WebLabel(
        index=index,
        url=url,
        record=record_id(config.seed, index, "response"),
        kind=kind,
        cluster=source,
        copy=kind if kind in COPIES else "",
        **more,
    )


def _page_site(
    config: SmallwebConfig, index: int, kind: str, draft: Draft, rng: Random
) -> Site:
    site = choose_site(config.seed, index, draft.sort, rng)
    if kind in ("spam", "adult"):
        return junk_site(site, kind, rng)
    return site


def dress_draft(
    config: SmallwebConfig, index: int, kind: str, draft: Draft
) -> WebPage:
    """Put template, charset, transport and headers around a draft."""
    rng = dice("page", config.seed, index)
    site = _page_site(config, index, kind, draft, rng)
    plan = plan_charset(rng, draft.language)
    if kind == "truncated" and plan.cut:
        plan = replace(plan, kind="utf-8", cut=False)
    meta = meta_tag(plan, site.template == "old")
    head = {"meta": meta, "language": _declared(draft, rng)}
    page = render_page(site, draft.title, draft.paragraphs, rng, **head)
    body, spans = encode_page(page.html, page.spans, plan)
    (transport,) = rng.choices(list(TRANSPORTS), list(TRANSPORTS.values()))
    if kind == "truncated":
        body, spans = _cut(body, spans, plan, draft)
        wire, extra = body, [("Content-Length", str(2 * len(body)))]
        transport = "plain"
    else:
        wire, extra = transport_body(body, transport, rng)
    label = _label(
        config,
        index,
        page_url(site, draft.title, index),
        kind,
        site=site.template,
        transport=transport,
        dirt=page.dirt,
        html_spans=spans if draft.gold else (),
        **_text_labels(draft, plan),
    )
    headers = (*_server_headers(config, index, _content(plan)), *extra)
    return _answer_page(config, label, "200 OK", headers, body, wire)


def _text_labels(draft: Draft, plan: CharsetPlan) -> dict[str, Any]:
    """What the label says about the text and its charset."""
    return {
        "title": draft.title,
        "text": draft.text,
        "language": draft.language,
        "charset": plan.charset,
        "habit": plan.kind,
        "repair": plan.repair,
        **draft.labels,
    }


def _declared(draft: Draft, rng: Random) -> str:
    """The language that the page declares, a quarter of the time unasked."""
    known = draft.language not in ("la", "zxx")
    return draft.language if known and rng.random() < 0.75 else "en"


def _content(plan: CharsetPlan) -> str:
    """The Content-Type that the server declares."""
    return f"text/html; charset={plan.header}" if plan.header else "text/html"


def _answer_page(
    config: SmallwebConfig,
    label: WebLabel,
    status: str,
    headers: tuple[tuple[str, str], ...],
    data: bytes,
    body: bytes,
) -> WebPage:
    date = iso_date(visit_date(config, label.index))
    return WebPage(
        label.index, label.url, date, status, headers, data, body, label
    )


def _cut(
    body: bytes,
    spans: tuple[tuple[int, int], ...],
    plan: CharsetPlan,
    draft: Draft,
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """Break the page off after half of its paragraphs; edits the draft."""
    count = max(1, len(draft.paragraphs) // 2)
    draft.paragraphs = draft.paragraphs[:count]
    draft.labels["facts"] = ()
    text = body.decode(plan.charset)[: spans[count - 1][1]]
    return text.encode(plan.charset), spans[:count]


ODD = {
    "redirect": ("301 Moved Permanently", "302 Found", "308 Moved"),
    "missing": ("404 Not Found", "410 Gone", "500 Internal Server Error"),
    "empty": ("200 OK",),
    "binary": ("200 OK",),
}


def _odd(config: SmallwebConfig, index: int, kind: str) -> WebPage:
    """An answer without a page: moved, missing, empty or not text."""
    rng = dice("odd", config.seed, index)
    site = choose_site(config.seed, index, "odd", rng)
    url = page_url(site, f"item {index}", index)
    content, body = "text/html", b""
    status = rng.choice(ODD[kind])
    more = []
    if kind == "redirect":
        more = [("Location", f"https://{site.host}/")]
        body = b"<html><body>Moved <a href='/'>here</a>.</body></html>"
    elif kind == "missing":
        body = f"<html><h1>{status}</h1><hr>{site.name}</html>".encode()
    elif kind == "binary":
        body = b"\x89PNG\r\n\x1a\n" + rng.randbytes(rng.randrange(800, 6000))
        content = rng.choice(("image/png", "text/html; charset=utf-8"))
    more.append(("Content-Length", str(len(body))))
    headers = (*_server_headers(config, index, content), *more)
    label = _label(config, index, url, kind, site=site.template)
    return _answer_page(config, label, status, headers, body, body)


def smallweb_page(config: SmallwebConfig, index: int) -> WebPage:
    """Page `index`: the same whatever was asked before, or how many."""
    kind = planned_kind(config, index)
    source = source_of(config, index)
    if kind in COPIES and source == index:
        kind = "root"  # nothing earlier to copy
    if kind == "recrawl":
        first = smallweb_page(config, source)
        label = _label(config, index, first.url, kind, site=first.label.site)
        date = iso_date(visit_date(config, index))
        return replace(
            first, index=index, date=date, label=label, refers_to=first.date
        )
    if kind in ODD:
        return _odd(config, index, kind)
    rng = dice("draft", config.seed, index)
    return dress_draft(config, index, kind, DRAFTERS[kind](config, index, rng))

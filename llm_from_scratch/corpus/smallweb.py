# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""The small web: pages as a stream, and as WARC files with labels."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_from_scratch.core.files import atomic_write, sha256_file
from llm_from_scratch.corpus.crawl import (
    gzip_member,
    http_head,
    record_id,
    sha1_digest,
    warc_record,
)
from llm_from_scratch.corpus.labels import label_line
from llm_from_scratch.corpus.labels import read_labels as read_labels
from llm_from_scratch.corpus.plan import SmallwebConfig as SmallwebConfig
from llm_from_scratch.corpus.webpage import WebPage as WebPage
from llm_from_scratch.corpus.webpage import (
    iso_date,
    smallweb_page,
    visit_date,
)

__all__ = [
    "CONTENT",
    "REVISIT",
    "Manifest",
    "page_records",
    "smallweb_pages",
    "warcinfo_record",
    "write_smallweb",
]


Manifest = dict[str, Any]


def smallweb_pages(config: SmallwebConfig) -> Iterator[WebPage]:
    """The pages of a small web in the order of the crawl, one by one."""
    for index in range(config.pages):
        yield smallweb_page(config, index)


CONTENT = {
    "warcinfo": "application/warc-fields",
    "request": "application/http; msgtype=request",
    "response": "application/http; msgtype=response",
    "revisit": "application/http; msgtype=response",
    "metadata": "application/warc-fields",
}
REVISIT = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"


def _record(
    page: WebPage, kind: str, id: str, block: bytes, *more: tuple[str, str]
) -> bytes:
    """A record about a page; `more` are headers that its kind needs."""
    headers = [
        ("WARC-Type", kind),
        ("WARC-Record-ID", id),
        ("WARC-Date", page.date),
        ("WARC-Target-URI", page.url),
        ("Content-Type", CONTENT[kind]),
    ]
    return warc_record([*headers, *more], block)


def _answer(page: WebPage) -> bytes:
    """The response, or a revisit if the bytes were stored before."""
    more = [("WARC-Payload-Digest", sha1_digest(page.body))]
    if page.refers_to:
        more += [
            ("WARC-Profile", REVISIT),
            ("WARC-Refers-To-Target-URI", page.url),
            ("WARC-Refers-To-Date", page.refers_to),
        ]
        return _record(page, "revisit", page.label.record, page.head, *more)
    if page.label.kind == "truncated":
        more.append(("WARC-Truncated", "disconnect"))
    block = page.head + page.body
    return _record(page, "response", page.label.record, block, *more)


def page_records(config: SmallwebConfig, page: WebPage) -> list[bytes]:
    """The records of one visit: request, response or revisit, metadata."""
    host, _, path = page.url.partition("://")[2].partition("/")
    ask = [("Host", host), ("User-Agent", "smallweb/1.0"), ("Accept", "*/*")]
    request = http_head(f"GET /{path} HTTP/1.1", ask)
    note = f"fetchTimeMs: {20 + 7 * page.index % 900}\r\n".encode()
    beside = ("WARC-Concurrent-To", page.label.record)
    ids = {
        kind: record_id(config.seed, page.index, kind)
        for kind in ("request", "metadata")
    }
    return [
        _record(page, "request", ids["request"], request, beside),
        _answer(page),
        _record(page, "metadata", ids["metadata"], note, beside),
    ]


def warcinfo_record(config: SmallwebConfig, shard: int, name: str) -> bytes:
    """The record that opens a file: who made it, and how."""
    date = visit_date(config, shard * config.shard)
    headers = [
        ("WARC-Type", "warcinfo"),
        ("WARC-Record-ID", record_id(config.seed, shard, "warcinfo")),
        ("WARC-Date", iso_date(date)),
        ("WARC-Filename", name),
        ("Content-Type", CONTENT["warcinfo"]),
    ]
    fields = (
        "software: llm_from_scratch smallweb\r\n"
        "format: WARC File Format 1.1\r\n"
        f"isPartOf: smallweb, seed {config.seed}\r\n"
    )
    return warc_record(headers, fields.encode())


def _settings(config: SmallwebConfig) -> dict[str, Any]:
    """The configuration as JSON would give it back."""
    return dict(json.loads(json.dumps(asdict(config))))


def _claim(config: SmallwebConfig, out: Path) -> None:
    """Make the folder ours; ValueError if it is somebody else's."""
    out.mkdir(parents=True, exist_ok=True)
    path, wanted = out / "config.json", _settings(config)
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found == wanted:
            return
        other = [k for k in wanted if found.get(k) != wanted[k]]
        raise ValueError(
            f"{out} holds a small web with another {', '.join(other)}: "
            "choose another folder or delete this one"
        )
    if any(out.iterdir()):
        raise ValueError(
            f"{out} is not empty and holds no small web: choose a new folder"
        )
    with atomic_write(path, "w") as file:
        json.dump(wanted, file, indent=1)


def _is_whole(out: Path) -> bool:
    """Whether the folder is finished and every file is as written."""
    path = out / "manifest.json"
    if not path.exists():
        return False
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    return all(
        (out / name).exists() and sha256_file(out / name) == entry["sha256"]
        for name, entry in files.items()
    )


def _write_shard(config: SmallwebConfig, out: Path, shard: int) -> None:
    """One WARC file and its labels, the labels last."""
    warc, part = _warc_name(shard), _part_name(shard)
    if (out / warc).exists() and (out / part).exists():
        return  # finished before an interruption
    first = shard * config.shard
    last = min(first + config.shard, config.pages)
    with (
        atomic_write(out / part, "w") as labels,  # left, so renamed, last
        atomic_write(out / warc) as file,
    ):
        file.write(gzip_member(warcinfo_record(config, shard, warc)))
        for index in range(first, last):
            page = smallweb_page(config, index)
            for record in page_records(config, page):
                file.write(gzip_member(record))
            labels.write(label_line(page.label) + "\n")


def _warc_name(shard: int) -> str:
    return f"smallweb-{shard:05}.warc.gz"


def _part_name(shard: int) -> str:
    return f"labels-{shard:05}.jsonl"


def _write_manifest(
    config: SmallwebConfig, out: Path, names: list[str]
) -> None:
    files = {
        name: {
            "bytes": (out / name).stat().st_size,
            "sha256": sha256_file(out / name),
        }
        for name in names
    }
    records = 3 * config.pages + len(names) - 1
    content = {"pages": config.pages, "records": records, "files": files}
    with atomic_write(out / "manifest.json", "w") as file:
        json.dump(content, file, indent=1)


def write_smallweb(config: SmallwebConfig, out_dir: str | Path) -> Manifest:
    """Write WARC files, labels.jsonl and manifest.json; the manifest.

    A finished folder is checked and left alone, an interrupted one is
    finished, a damaged one is written anew. ValueError if the folder holds
    something else.
    """
    out = Path(out_dir)
    _claim(config, out)
    shards = range(-(-config.pages // config.shard))
    warcs = [_warc_name(shard) for shard in shards]
    parts = [out / _part_name(shard) for shard in shards]
    if not _is_whole(out):
        for shard in shards:
            _write_shard(config, out, shard)
        with atomic_write(out / "labels.jsonl") as whole:
            for part in parts:
                with open(part, "rb") as file:
                    shutil.copyfileobj(file, whole)
        _write_manifest(config, out, [*warcs, "labels.jsonl"])
    for part in parts:
        part.unlink(missing_ok=True)
    text = (out / "manifest.json").read_text(encoding="utf-8")
    return dict(json.loads(text))

# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""What a crawler stores: HTTP messages and WARC records, to the byte."""

import base64
import gzip
import hashlib
import uuid
import zlib
from collections.abc import Sequence
from random import Random

__all__ = [
    "TRANSPORTS",
    "Headers",
    "gzip_member",
    "http_head",
    "record_id",
    "sha1_digest",
    "transport_body",
    "warc_record",
]


Headers = Sequence[tuple[str, str]]


def http_head(start: str, headers: Headers) -> bytes:
    """Start line and headers of an HTTP message, with the blank line."""
    lines = [start, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(data: bytes, rng: Random) -> bytes:
    """The body in chunks: size in hexadecimal, bytes, and 0 at the end."""
    parts, at = [], 0
    while at < len(data):
        size = rng.randrange(500, 4000)
        piece = data[at : at + size]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += size
    return b"".join(parts) + b"0\r\n\r\n"


TRANSPORTS = {
    "plain": 0.66,
    "chunked": 0.10,
    "gzip": 0.12,
    "gzip-chunked": 0.05,
    "deflate": 0.03,
    "raw-deflate": 0.02,
    "wrong-length": 0.02,
}


def transport_body(
    body: bytes, transport: str, rng: Random
) -> tuple[bytes, list[tuple[str, str]]]:
    """The body as it crosses the wire, and the headers that say how."""
    headers, length = [], 0
    if transport.startswith("gzip"):
        body = gzip.compress(body, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    elif transport.endswith("deflate"):
        body = zlib.compress(body)
        if transport == "raw-deflate":
            body = body[2:-4]  # without the frame of zlib, as some send it
        headers.append(("Content-Encoding", "deflate"))
    if transport.endswith("chunked"):
        body = _chunk(body, rng)
        return body, [*headers, ("Transfer-Encoding", "chunked")]
    if transport == "wrong-length":
        length = rng.choice((-200, -7, 12, 5000))
    length = max(0, len(body) + length)
    return body, [*headers, ("Content-Length", str(length))]


def record_id(*key: object) -> str:
    """A WARC-Record-ID that is the same in every run."""
    name = "/".join(map(str, key))
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>"


def sha1_digest(data: bytes) -> str:
    """SHA-1 of bytes in base 32, as WARC headers carry it."""
    return f"sha1:{base64.b32encode(hashlib.sha1(data).digest()).decode()}"


def warc_record(headers: Headers, block: bytes) -> bytes:
    """One WARC/1.1 record: version, headers, blank line, block, two CRLF.

    Adds WARC-Block-Digest and Content-Length (bytes of the block).
    """
    lines = [
        "WARC/1.1",
        *(f"{name}: {value}" for name, value in headers),
        f"WARC-Block-Digest: {sha1_digest(block)}",
        f"Content-Length: {len(block)}",
    ]
    head = "\r\n".join(lines).encode("utf-8")
    return head + b"\r\n\r\n" + block + b"\r\n\r\n"


def gzip_member(record: bytes) -> bytes:
    """The record as a gzip member of its own, without date or name."""
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    return packer.compress(record) + packer.flush()

"""Files of one's own: every kind is read, every defect is named."""

import gzip
import json
import random
import tracemalloc

import pytest

from llm_from_scratch.corpus.paths import read_path


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(path):
    return [record.text for record in read_path(path)]


def record(kind, url, body, headers):
    """One record of a WARC file as bytes, packed."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    block = f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body
    lines = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
    lines += f"WARC-Record-ID: <urn:uuid:{kind}-{url[-1]}>\r\n"
    lines += "Content-Type: application/http; msgtype=response\r\n"
    lines += f"Content-Length: {len(block)}\r\n\r\n"
    return gzip.compress(lines.encode() + block + b"\r\n\r\n")


def warc(path, bodies, **headers):
    """A packed WARC file: a response for each body, and a request."""
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    parts = [
        record("response", f"http://a.example/{number}", body, headers)
        for number, body in enumerate(bodies)
    ]
    parts.append(record("request", "http://a.example/0", b"", {}))
    path.write_bytes(b"".join(parts))
    return path


def test_a_text_file_is_one_document(tmp_path):
    path = write(tmp_path / "notes.txt", "one\n\ntwo\n")
    [record] = read_path(path)
    assert record.id == "notes/000001"
    assert record.text == "one\n\ntwo"


def test_end_of_text_lines_part_documents(tmp_path):
    data = "one\n<|endoftext|>\ntwo <|endoftext|> three\n<|endoftext|>\n"
    path = write(tmp_path / "notes.txt", data)
    assert texts(path) == ["one", "two <|endoftext|> three"]


def test_empty_documents_are_not_documents(tmp_path):
    data = "<|endoftext|>\none\n<|endoftext|>\n \n<|endoftext|>\n"
    assert texts(write(tmp_path / "notes.txt", data)) == ["one"]


def test_crlf_and_byte_order_mark_are_gone(tmp_path):
    path = write(tmp_path / "dos.txt", b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert texts(path) == ["one\ntwo"]


@pytest.mark.parametrize(
    ("data", "offset", "byte"),
    [
        (b"na\xefve", 2, "ef"),
        (b"one\ntwo \xff", 8, "ff"),
        ("é".encode() * 3 + b"\n\xc3", 7, "c3"),
        ("é".encode("utf-16"), 0, "ff"),
    ],
)
def test_bytes_that_are_not_utf8_are_named(data, offset, byte, tmp_path):
    path = write(tmp_path / "bad.txt", data)
    with pytest.raises(
        ValueError, match=rf"bad.txt: byte {offset} \(0x{byte}\) is not UTF-8"
    ):
        texts(path)


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_json_lines_plain_and_packed(name, tmp_path):
    records = [{"text": "one"}, {"text": "two\n", "id": 7, "more": None}]
    data = "\n".join(map(json.dumps, records)).encode() + b"\n\n"
    path = write(
        tmp_path / name, gzip.compress(data) if ".gz" in name else data
    )
    found = [(record.id, record.text) for record in read_path(path)]
    assert found == [("x/000001", "one"), ("7", "two\n")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ('["text"]', 'line 2: no string "text"'),
        ('{"txt": "a"}', 'line 2: no string "text"'),
        ('{"text": 3}', 'line 2: no string "text"'),
    ],
)
def test_a_bad_line_is_named(line, message, tmp_path):
    path = write(tmp_path / "x.jsonl", '{"text": "good"}\n' + line)
    with pytest.raises(ValueError, match=message):
        texts(path)


def test_a_cut_gzip_file_is_an_error(tmp_path):
    line = json.dumps({"text": "word " * 50}) + "\n"
    data = gzip.compress((line * 1000).encode())
    path = write(tmp_path / "x.jsonl.gz", data[:-20])
    with pytest.raises(OSError, match=r"x.jsonl.gz is damaged or incomplete"):
        texts(path)


def test_a_file_that_is_not_gzip_is_an_error(tmp_path):
    with pytest.raises(OSError, match="gzip"):
        texts(write(tmp_path / "x.jsonl.gz", "plain"))


def test_responses_of_a_web_archive(tmp_path):
    path = warc(tmp_path / "x.warc.gz", [b"<p>\xe9</p>", b""])
    first, second = read_path(path)
    assert first.url == "http://a.example/0"
    assert first.data == b"<p>\xe9</p>"
    assert second.data == b""
    assert len({first.id, second.id}) == 2
    assert first.id == "response-0"


def test_bodies_are_unpacked(tmp_path):
    body = gzip.compress(b"<p>packed</p>")
    path = warc(tmp_path / "x.warc.gz", [body], Content_Encoding="gzip")
    assert [r.data for r in read_path(path)] == [b"<p>packed</p>"]


def test_chunks_are_joined(tmp_path):
    body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    path = warc(tmp_path / "x.warc.gz", [body], Transfer_Encoding="chunked")
    assert [r.data for r in read_path(path)] == [b"abcde"]


def test_a_cut_record_is_an_error(tmp_path):
    noise = random.Random(0).randbytes(9000)
    path = warc(tmp_path / "x.warc.gz", [noise, noise])
    write(path, path.read_bytes()[:15_000])
    records = read_path(path)
    assert next(records).data == noise
    with pytest.raises(
        ValueError, match=r"record of http://a.example/1 is cut"
    ):
        next(records)


def test_a_directory_is_its_files_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path / "b.txt", "two")
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "sub" / "c.jsonl", '{"text": "three"}')
    write(tmp_path / "README.md", "not a text of the corpus")
    assert texts(tmp_path) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.txt", "", "x.txt holds no document"),
        ("x.txt", " \n", "x.txt holds no document"),
        ("x.pdf", "%PDF", r"x.pdf: cannot read this kind; known: .txt, .jsonl"),
    ],
)
def test_a_path_without_documents_is_an_error(name, data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        texts(write(tmp_path / name, data))


def test_an_empty_directory_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no document"):
        texts(tmp_path)


def test_a_missing_path_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        texts(tmp_path / "nowhere.txt")


def test_memory_holds_a_document_and_not_the_file(tmp_path):
    line = json.dumps({"text": "word " * 200}) + "\n"
    path = write(tmp_path / "big.jsonl", line * 20_000)  # 20 MB
    tracemalloc.start()
    count = sum(1 for _ in read_path(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 500_000

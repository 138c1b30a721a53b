"""Files appear whole or not at all, and their sums are the published ones."""

import os
import stat

import pytest

from llm_from_scratch.core.files import (
    atomic_directory,
    atomic_write,
    format_size,
    sha256_file,
)


class Broken(Exception):
    """What goes wrong in the middle of a block."""


def break_off(block, action):
    with block as opened:
        action(opened)
        raise Broken


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "corpus.txt"
    with atomic_write(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"old")
    with pytest.raises(Broken):
        break_off(atomic_write(path), lambda file: file.write(b"new, but"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_first_write_leaves_nothing(tmp_path):
    with pytest.raises(Broken), atomic_write(tmp_path / "x", "w"):
        raise Broken
    assert list(tmp_path.iterdir()) == []


def test_text_is_utf8_and_keeps_its_line_ends(tmp_path):
    with atomic_write(tmp_path / "x", "w") as file:
        file.write("é\r\n\n")
    assert (tmp_path / "x").read_bytes() == b"\xc3\xa9\r\n\n"


def test_a_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    with atomic_write(tmp_path / "ours"):
        pass
    modes = {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert len(modes) == 1


def test_two_writers_do_not_meet(tmp_path):
    with atomic_write(tmp_path / "x") as one, atomic_write(tmp_path / "x") as b:
        one.write(b"first to open, last to close")
        b.write(b"second")
    assert (tmp_path / "x").read_bytes() == b"first to open, last to close"


def test_other_modes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'a'"), atomic_write("x", "a"):
        pass


def test_a_directory_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "set" / "tales-1"
    for name in ("old", "new"):
        with atomic_directory(target) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in target.iterdir()] == ["new"]
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_directory_leaves_the_old_one(tmp_path):
    target = tmp_path / "set"
    with atomic_directory(target) as folder:
        (folder / "old").touch()
    with pytest.raises(Broken):
        break_off(atomic_directory(target), lambda f: (f / "new").touch())
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_cannot_be_renamed_leaves_the_old_one(
    tmp_path, monkeypatch
):
    target = tmp_path / "set"
    with atomic_directory(target) as folder:
        (folder / "old").touch()
    replace = os.replace

    def refuse_new(source, goal):
        if str(source).endswith(".part"):
            raise OSError("disk full")
        replace(source, goal)

    monkeypatch.setattr(os, "replace", refuse_new)
    with (
        pytest.raises(OSError, match="disk full"),
        atomic_directory(target) as folder,
    ):
        (folder / "new").touch()
    assert [p.name for p in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_sha256_of_abc_is_that_of_the_standard(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    digest = sha256_file(tmp_path / "abc")
    assert digest.startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    assert len(digest) == 64


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_960, "1.0 MB"),
        (2_885_773, "2.9 MB"),
        (2_500_000_000_000, "2500.0 GB"),
    ],
)
def test_sizes_are_for_people(size, text):
    assert format_size(size) == text

"""Checkpoints of a run: rotation, a thread, full disks, damage."""

import contextlib
import errno
import os
import threading
from pathlib import Path
from stat import S_ISDIR

import pytest
import torch

from llm_from_scratch.train import store as module
from llm_from_scratch.train.checkpoint import CheckpointError
from llm_from_scratch.train.store import CheckpointStore, set_aside


def state(value) -> dict:
    return {"x": torch.full((1000,), float(value)), "n": value}


@pytest.fixture
def kept(tmp_path):
    """A store with checkpoints of three steps."""
    found = CheckpointStore(tmp_path / "c")
    for step in (10, 20, 30):
        found.save(step, state(step))
    found.wait()
    return found


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_state_comes_back_by_its_step(kept):
    assert kept.steps() == [10, 20, 30]
    assert kept.latest() == 30
    assert kept.load(20)["x"].tolist() == [20.0] * 1000
    assert kept.load(20, "n") == 20
    assert kept.path(20).name == "step-00000020.safetensors"


def test_an_absent_folder_has_no_checkpoint(tmp_path):
    empty = CheckpointStore(tmp_path / "c")
    assert empty.latest() is None
    assert empty.steps() == []
    assert not empty.folder.exists()


def test_only_the_last_are_kept_in_the_order_of_steps(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (9, 100, 1000, 20000):
        store.save(step, state(step))
    store.wait()
    assert store.steps() == [1000, 20000]


def test_keep_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        CheckpointStore(tmp_path, keep=0)


def test_a_save_holds_the_state_of_its_moment(tmp_path, monkeypatch):
    gate, real = threading.Event(), module.write_state

    def slow(packed, file):
        assert gate.wait(10)
        real(packed, file)

    monkeypatch.setattr(module, "write_state", slow)
    store, x = CheckpointStore(tmp_path), torch.ones(5)
    store.save(1, {"x": x})
    x.fill_(2.0)  # training goes on before a byte is written
    assert store.steps() == []
    gate.set()
    store.wait()
    assert store.load(1)["x"].tolist() == [1.0] * 5


def test_a_second_save_waits_for_the_first(tmp_path, monkeypatch):
    order, real = [], module.write_state

    def said(packed, file):
        order.append(packed.tensors["x"][0].item())
        real(packed, file)

    monkeypatch.setattr(module, "write_state", said)
    store = CheckpointStore(tmp_path)
    for step in range(5):
        store.save(step, {"x": torch.full((10,), float(step))})
    store.wait()
    assert order == [0, 1, 2, 3, 4]
    assert store.load(3)["x"][0] == 3


def test_a_full_disk_is_told_and_the_rest_stays(kept, monkeypatch):
    monkeypatch.setattr(module, "write_state", full)
    kept.save(40, state(40))
    with pytest.raises(OSError, match=r"step 40, 4\.0 kB, could") as told:
        kept.wait()
    assert told.value.errno == errno.ENOSPC
    assert "No space left" in str(told.value)
    assert "[10, 20, 30]" in str(told.value)
    monkeypatch.undo()
    assert kept.steps() == [10, 20, 30]
    assert not list(kept.folder.glob(".*"))
    kept.save(50, state(50))
    kept.wait()
    assert kept.steps() == [20, 30, 50]


def test_a_failure_is_known_before_anyone_waits(kept, monkeypatch):
    monkeypatch.setattr(module, "write_state", full)
    assert not kept.failed()
    kept.save(40, state(40))
    with contextlib.suppress(OSError):
        kept._written.result(10)
    assert kept.failed()
    with pytest.raises(OSError, match="step 40"):
        kept.save(50, state(50))  # of the save before
    assert not kept.failed()


def test_the_oldest_goes_after_the_newest_is_whole(tmp_path, monkeypatch):
    store, there = CheckpointStore(tmp_path, keep=1), []
    store.save(1, state(1))
    store.wait()
    real = module.write_state

    def look(packed, file):
        there.append(store.steps())
        real(packed, file)

    monkeypatch.setattr(module, "write_state", look)
    store.save(2, state(2))
    store.wait()
    assert there == [[1]]
    assert store.steps() == [2]


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be opened")
def test_a_name_is_on_the_disk_before_another_is_deleted(kept, monkeypatch):
    order, force, unlink = [], os.fsync, Path.unlink

    def forced(number):
        order.append("folder" if S_ISDIR(os.fstat(number).st_mode) else "file")
        force(number)

    def deleted(path, missing_ok=False):
        if path.exists():
            order.append(path.name)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", forced)
    monkeypatch.setattr(Path, "unlink", deleted)
    kept.save(40, state(40))
    kept.wait()
    assert order == ["file", "folder", "step-00000010.safetensors"]


def test_a_damaged_checkpoint_stops_with_a_way_out(kept):
    path = kept.path(30)
    data = bytearray(path.read_bytes())
    data[-7] ^= 4
    path.write_bytes(data)
    said = r"00000030\S* is damaged: .*\[10, 20\].*--from-step 20"
    with pytest.raises(CheckpointError, match=said):
        kept.load(30)
    path.write_bytes(data[:-100])
    with pytest.raises(CheckpointError, match="bytes and should have"):
        kept.load(30)
    assert kept.load(20, "n") == 20  # for who asks for it


def test_a_step_without_checkpoint_is_named_with_those_there_are(kept):
    with pytest.raises(
        CheckpointError, match=r"no checkpoint .*\[10, 20, 30\]"
    ):
        kept.load(25)


def test_damage_to_the_only_one_is_told_as_such(tmp_path):
    store = CheckpointStore(tmp_path)
    store.path(5).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="No other checkpoint is there"):
        store.load(5)


def test_a_future_is_set_aside_and_leftovers_go(kept):
    (kept.folder / ".step-00000040.safetensors.ab.part").write_bytes(b"half")
    (kept.folder / ".other").write_bytes(b"not ours")
    aside = set_aside(kept, 10)
    assert kept.steps() == [10]
    assert [path.name for path in aside] == [
        "aside-step-00000020.safetensors",
        "aside-step-00000030.safetensors",
    ]
    assert all(path.exists() for path in aside)
    assert [p.name for p in kept.folder.glob(".*")] == [".other"]


def test_nothing_is_set_aside_at_the_latest(kept):
    assert set_aside(kept, 30) == []
    assert kept.steps() == [10, 20, 30]

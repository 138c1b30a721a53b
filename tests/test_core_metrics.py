"""A log that survives kills, torn lines and full disks."""

import errno
import io
import json
import sys
import types

import pytest

from llm_from_scratch.core import metrics
from llm_from_scratch.core.metrics import MetricsLog, read_metrics


def test_rows_come_back_in_order(tmp_path):
    log = MetricsLog(tmp_path / "new" / "m.jsonl")
    rows = [{"step": i, "loss": 1 / (i + 3)} for i in range(3)]
    for row in rows:
        log.write(row)
        assert read_metrics(log.path)[-1] == row  # at once
    assert read_metrics(log.path) == rows


def test_a_second_log_appends(tmp_path):
    path = tmp_path / "m.jsonl"
    MetricsLog(path).write({"step": 1})
    MetricsLog(path).write({"step": 2})
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1}]
    MetricsLog(path).write({"step": 3})
    assert read_metrics(path) == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize("bad", ['{"step": 2, "lo', "[1]", "7"])
def test_a_torn_line_inside_is_an_error_with_its_number(tmp_path, bad):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{bad}\n{{"step": 3}}\n')
    with pytest.raises(ValueError, match="line 2 is no JSON object"):
        read_metrics(path)


def test_keep_drops_later_rows_and_only_those(tmp_path):
    log = MetricsLog(tmp_path / "m.jsonl")
    for step in (0, 1, 2, 2, 3, 5):
        log.write({"step": step})
    assert log.keep(2) == 2
    log.write({"step": 3})
    assert [r["step"] for r in read_metrics(log.path)] == [0, 1, 2, 2, 3]
    assert MetricsLog(tmp_path / "none.jsonl").keep(5) == 0


def test_rows_wait_while_the_disk_is_full(tmp_path, monkeypatch):
    log = MetricsLog(tmp_path / "m.jsonl")
    log.write({"step": 1})
    real, full = open, [True]

    class Full(io.FileIO):
        def write(self, data):
            super().write(bytes(data)[:3])  # a part, then no more
            raise OSError(errno.ENOSPC, "No space left on device")

    def fake(path, mode="r", **options):
        return Full(path, "ab") if full[0] else real(path, mode, **options)

    monkeypatch.setattr(metrics, "open", fake, raising=False)
    log.write({"step": 2})
    log.write({"step": 3})
    assert [r["step"] for r in read_metrics(log.path)] == [1]
    with pytest.raises(OSError, match="No space"):
        log.close()
    full[0] = False
    log.write({"step": 4})
    assert [r["step"] for r in read_metrics(log.path)] == [1, 2, 3, 4]
    assert log.waiting == []
    log.close()


def test_a_write_of_a_part_is_tried_again(tmp_path, monkeypatch):
    log = MetricsLog(tmp_path / "m.jsonl")

    class Short(io.FileIO):
        def write(self, data):
            return super().write(bytes(data)[:5])

    monkeypatch.setattr(
        metrics,
        "open",
        lambda path, mode, **_: Short(path, "ab"),
        raising=False,
    )
    log.write({"step": 1})
    monkeypatch.undo()
    log.write({"step": 2})
    assert [r["step"] for r in read_metrics(log.path)] == [1, 2]


def test_tensorboard_gets_the_numbers_if_it_is_there(tmp_path, monkeypatch):
    said = []

    class Writer:
        def __init__(self, folder):
            said.append(folder)

        def add_scalar(self, *scalar):
            said.append(scalar)

        def close(self):
            said.append("closed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: name)
    log = MetricsLog(tmp_path / "m.jsonl", tensorboard=tmp_path / "board")
    log.write({"kind": "train", "step": 3, "loss": 0.5})
    log.close()
    assert said == [str(tmp_path / "board"), ("loss", 0.5, 3), "closed"]


def test_without_tensorboard_only_the_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics.importlib.util, "find_spec", lambda name: None)
    log = MetricsLog(tmp_path / "m.jsonl", tensorboard=tmp_path / "board")
    log.write({"step": 1, "loss": 2.0})
    log.close()
    assert json.loads(log.path.read_text()) == {"step": 1, "loss": 2.0}
    assert not (tmp_path / "board").exists()

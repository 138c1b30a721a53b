"""What is shown while a run is made: bars on a screen, lines elsewhere."""

import errno
import io
import os
import signal
import sys

import pytest
import typer
from rich.console import Console

from llm_from_scratch.cli import options, screen
from llm_from_scratch.cli.screen import Screen, show_scores
from llm_from_scratch.core.config import toml_text
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.presets import preset


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    return now


def plain() -> Screen:
    """A screen that writes into a string, as into a file."""
    return Screen(Console(file=io.StringIO(), width=60))


def terminal() -> Screen:
    console = Console(file=io.StringIO(), width=90, force_terminal=True)
    return Screen(console)


def lines(shown: Screen) -> list[str]:
    return shown.console.file.getvalue().splitlines()


ROW = {"kind": "train", "stage": "pretrain", "of": 9000, "loss": 2.34567}
LOOK = {"kind": "eval", "stage": "pretrain", "step": 30}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"kind": "skip"}, "shards     done before, nothing changed"),
        ({"kind": "end", "seconds": 1.25}, "shards     done in 1.2 s"),
        ({"kind": "note", "message": "[b]x[/b]"}, "shards     [b]x[/b]"),
        (
            {"kind": "event", "event": "spike", "step": 7, "message": "big"},
            "shards     step 7: spike, big",
        ),
    ],
)
def test_events_become_lines(event, line):
    shown = plain()
    shown(event | {"stage": "shards"})
    assert lines(shown) == [line]


@pytest.mark.parametrize("event", ["start", "done"])
def test_what_a_trainer_always_says_is_not_shown(event):
    shown = plain()
    row = {"kind": "event", "event": event, "step": 0, "message": "x"}
    shown(row | {"stage": "pretrain"})
    shown({"kind": "sample", "stage": "pretrain", "samples": ["x"]})
    assert lines(shown) == []


def test_a_long_line_is_not_broken():
    shown = plain()
    shown({"kind": "note", "stage": "corpus", "message": "word " * 40})
    assert len(lines(shown)) == 1


def test_a_look_names_what_was_measured():
    shown = plain()
    shown(LOOK | {"bits_per_byte": 1.23456, "facts_heldout": 0.126})
    shown(LOOK | {"facts_heldout": 0.5})
    shown(LOOK | {"heldout_loss": 3.0})
    assert lines(shown) == [
        "pretrain   step 30: 1.235 bits per byte, 13% of held-out facts",
        "pretrain   step 30: 50% of held-out facts",
    ]


def test_a_file_gets_a_line_every_ten_seconds(clock):
    shown = plain()
    with shown:
        shown({"kind": "begin", "stage": "pretrain"})
        for second in range(25):
            clock[0] = 100.0 + second
            speed = {"tokens_per_second": 1234.4} if second else {}
            shown(ROW | {"step": 1000 + second} | speed)
    assert lines(shown) == [
        "pretrain   1,010 of 9,000 loss 2.346, 1,234 tokens/s",
        "pretrain   1,020 of 9,000 loss 2.346, 1,234 tokens/s",
    ]


def test_each_stage_waits_its_own_ten_seconds(clock):
    shown = plain()
    for stage in ("corpus", "shards"):
        shown({"kind": "begin", "stage": stage})
        clock[0] += 9
        at = {"kind": "progress", "stage": stage, "done": 5, "total": None}
        shown(at)
    assert lines(shown) == []
    clock[0] += 1
    shown(at)
    assert lines(shown) == ["shards     5 "]


def test_the_last_score_stays_beside_the_loss_of_its_stage(clock):
    shown = plain()
    shown({"kind": "begin", "stage": "pretrain"})
    shown(LOOK | {"bits_per_byte": 1.5})
    clock[0] += 20
    shown(ROW | {"step": 31})
    assert lines(shown)[-1].endswith("0 tokens/s, 1.500 bits per byte")
    shown({"kind": "begin", "stage": "pretrain"})
    clock[0] += 20
    shown(ROW | {"step": 32})
    assert lines(shown)[-1].endswith("0 tokens/s")


def test_a_screen_has_one_bar_and_no_lines_of_progress(clock):
    shown = terminal()
    with shown:
        assert shown.bar.live.is_started
        shown({"kind": "begin", "stage": "corpus"})
        shown({"kind": "begin", "stage": "pretrain"})
        clock[0] += 60
        shown(ROW | {"step": 3000})
        (task,) = shown.bar.tasks
        assert (task.completed, task.total) == (3000, 9000)
        assert task.description.startswith("pretrain loss 2.346")
        shown({"kind": "end", "stage": "pretrain", "seconds": 1.0})
        assert shown.bar.tasks == []
    assert not shown.bar.live.is_started
    assert "3,000 of" not in shown.console.file.getvalue()


def test_a_file_gets_no_bar():
    shown = plain()
    with shown:
        assert not shown.bar.live.is_started
        shown({"kind": "begin", "stage": "corpus"})
    assert lines(shown) == []


def test_progress_before_a_stage_has_begun_is_no_error():
    at = {"kind": "progress", "stage": "corpus", "done": 5, "total": 9}
    plain()(at)
    terminal()(at)


SCORE = {"value": 1.23456, "low": 1.2, "high": 1.3}
FACTS = {
    "answer": {"right": 3, "asked": 8, "low": 0.14, "high": 0.69},
    "choice": {"share": 0.625},
    "chance": 0.25,
}


def test_tables_say_value_interval_and_guess():
    console = Console(file=io.StringIO(), width=80)
    bits = {"all": SCORE, "one": SCORE | {"low": None, "high": None}}
    show_scores(console, {"bits_per_byte": bits, "facts": {"seen": FACTS}})
    text = " ".join(console.file.getvalue().split())
    assert "all 1.235 1.200 to 1.300 one 1.235 questions" in text
    assert text.endswith("seen 3 of 8 14% to 69% 62% 25%")


def test_tables_without_rows_are_not_shown():
    console = Console(file=io.StringIO(), width=80)
    show_scores(console, {"bits_per_byte": {}, "facts": {}})
    assert console.file.getvalue() == ""


# ---- options: where settings come from, and what errors become


def test_settings_start_from_the_file_the_preset_or_the_folder(tmp_path):
    here = RunFolder(tmp_path / "here")
    mine = preset("tiny")
    here.claim(mine)
    path = tmp_path / "mine.toml"
    path.write_text(toml_text(mine).replace("steps = 60", "steps = 61"))

    def chosen(*given: object, **short: object) -> tuple:
        return options.choose(*given, **short)

    assert chosen(here.path, None, None, None) == (here.path, mine)
    assert chosen(here.path, "laptop", None, None)[1] == preset("laptop")
    assert chosen(here.path, None, path, None)[1].train.steps == 61
    assert chosen(tmp_path / "new", None, None, None)[1] == preset("laptop")
    changed = chosen(None, "tiny", None, ["train.lr=0.5"], steps=9, lr=0.25)[1]
    assert (changed.train.steps, changed.train.lr) == (9, 0.25)
    zero = chosen(None, "tiny", None, None, seed=0, lr=None)[1]
    assert (zero.train.seed, zero.train.lr) == (0, mine.train.lr)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "is full. Make room",
        ),
        (OSError(errno.ENOSPC, "step 3"), "is full. step 3. Make room"),
        (PermissionError(13, "Denied", "/x"), "/x: Denied"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError("only words"), "only words"),
        (ValueError("a bad shard"), "a bad shard"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_errors_are_explained(error, text):
    assert text in options.explained(error)
    if error.args[:1] != (errno.ENOSPC,):
        assert options.explained(error) == text


@pytest.fixture
def handler():
    """The command takes SIGTERM; give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_terminated_command_exits_with_its_signal(handler, capsys):
    with pytest.raises(typer.Exit) as ended, options.guarded(False):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 143
    told = capsys.readouterr()
    assert "finished stages are kept" in told.err
    assert told.out == ""


@pytest.mark.parametrize(("message", "said"), [("", ""), ("why", "why\n")])
def test_an_end_has_its_code_and_its_words(handler, capsys, message, said):
    with pytest.raises(typer.Exit) as ended, options.guarded(False):
        raise options.Ended(7, message)
    assert ended.value.exit_code == 7
    assert capsys.readouterr() == ("", said)


def test_a_reader_who_has_seen_enough_is_no_failure(handler, monkeypatch):
    replaced = []
    monkeypatch.setattr(os, "dup2", lambda old, new: replaced.append(new))
    monkeypatch.setattr(
        sys, "stdout", type("Out", (), {"fileno": staticmethod(lambda: 42)})
    )
    with pytest.raises(typer.Exit) as ended, options.guarded(False):
        raise BrokenPipeError
    assert (ended.value.exit_code, replaced) == (141, [42])


def test_debug_and_mistakes_of_ours_keep_their_traceback(handler):
    with pytest.raises(ValueError, match="x"), options.guarded(True):
        raise ValueError("x")
    with pytest.raises(KeyError), options.guarded(False):
        raise KeyError("x")

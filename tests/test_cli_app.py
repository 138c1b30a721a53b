"""The command as its user sees it: words, files and exit codes."""

import errno
import os
import signal
import subprocess
import sys
import time
import typing

import pytest
from runs_micro import SMALL, make, micro
from typer.testing import CliRunner

from llm_from_scratch.cli import options
from llm_from_scratch.cli.app import STAGES as HELP
from llm_from_scratch.cli.app import app
from llm_from_scratch.core.config import override, setting_names, toml_text
from llm_from_scratch.runs import pipeline, report, training
from llm_from_scratch.runs.config import RunConfig
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.presets import PRESETS, preset
from llm_from_scratch.runs.training import Stopped
from llm_from_scratch.train.verdict import Verdict

SETS = [word for change in SMALL for word in ("--set", change)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "draw_curves", lambda *_: [])
        return make(tmp_path_factory.mktemp("cli") / "done")[0].folder.path


@pytest.fixture(autouse=True)
def _handlers():
    """The command takes SIGTERM; give it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def llm(*words: object, **how: object):
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], **how)


def test_names_in_the_command_are_those_of_the_program():
    assert typing.get_args(options.PresetName) == tuple(PRESETS)
    stages = tuple(stage.name for stage in pipeline.STAGES)
    assert typing.get_args(options.StageName) == stages == tuple(HELP)
    assert set(options.SHORT.values()) <= set(setting_names(RunConfig))


@pytest.mark.parametrize("words", [[], ["run"], ["pretrain"], ["generate"]])
def test_help_names_every_option(words):
    result = llm(*words, "--help")
    assert result.exit_code == 0
    if words in (["run"], ["pretrain"]):
        for option in ("--preset", "--set", "--dry-run", "--lr", "--check"):
            assert option in result.output
        assert ("--until" in result.output) == (words == ["run"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--preset", "tini"], "'tiny', 'laptop', 'gpu'"),
        (["run", "--until", "shard"], "'shards'"),
        (["runs"], "Did you mean 'run'"),
        (["run", "--set", "train.lrr=1"], "did you mean train.lr?"),
        (["run", "--set", "train.lr"], "is not NAME=VALUE"),
        (["run", "--lr", "fast"], "valid number"),
        (["run", "--lr", "-1"], "train.lr must be above 0"),
        (["run", "--bug", "no-zero"], "did you mean no-zero-grad?"),
        (["run", "--config", "/absent.toml"], "does not exist"),
        (["generate", "--top-p", "2"], "less than or equal to 1"),
        (["generate", "--temperature", "-1"], "greater than or equal to 0"),
    ],
)
def test_usage_errors_exit_2_and_name_the_fix(words, message, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    result = llm(*words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_config_and_preset_exclude_each_other(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(toml_text(micro()))
    result = llm("run", "--config", path, "--preset", "tiny")
    assert result.exit_code == 2
    assert "not both" in result.output


def test_config_prints_what_config_reads(tmp_path):
    first = llm("config", "--preset", "tiny", "--set", "train.lr=0.5")
    assert first.exit_code == 0
    path = tmp_path / "mine.toml"
    path.write_text(first.output)
    again = llm("config", "--config", path)
    assert again.output == first.output
    assert again.output == toml_text(override(preset("tiny"), ["train.lr=0.5"]))


def test_a_run_is_made_and_a_second_finds_it_done(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "draw_curves", lambda *_: [])
    words = ["run", "--preset", "tiny", "--out", tmp_path / "a", *SETS]
    first, second = llm(*words), llm("run", "--out", tmp_path / "a")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "bits per byte" in first.output
    assert second.output.count("done before, nothing changed") == 5
    assert RunFolder(tmp_path / "a").config() == micro()


def test_a_stage_stops_after_itself(tmp_path):
    result = llm("tokenizer", "-p", "tiny", "-o", tmp_path, *SETS)
    assert result.exit_code == 0
    assert (tmp_path / "tokenizer.json").exists()
    assert not (tmp_path / "shards").exists()


def test_short_options_stand_for_settings(tmp_path):
    words = ["--steps", 7, "--lr", 0.25, "--pages", 61, "--bug", "untied-head"]
    result = llm("corpus", "-p", "tiny", "-o", tmp_path, *SETS, *words)
    assert result.exit_code == 0
    config = RunFolder(tmp_path).config()
    assert (config.train.steps, config.train.lr) == (7, 0.25)
    assert (config.corpus.pages, config.train.bug) == (61, "untied-head")


def test_the_folder_is_named_after_preset_file_and_bug(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(toml_text(micro()))

    def chosen(*given: object, **short: object) -> str:
        return options.choose(*given, None, **short)[0].as_posix()

    assert chosen(None, None, None) == "runs/laptop"
    assert chosen(None, "tiny", None) == "runs/tiny"
    assert chosen(None, None, path) == "runs/mine"
    assert chosen(None, "tiny", None, bug="untied-head") == (
        "runs/tiny-untied-head"
    )


def test_another_configuration_is_refused_by_name(done):
    before = sorted(done.iterdir())
    result = llm("run", "--out", done, "--lr", "0.5")
    assert result.exit_code == 1
    assert "train.lr: 0.003 -> 0.5" in result.output
    assert "--out" in result.output
    assert sorted(done.iterdir()) == before
    assert llm("run", "-o", done, "--lr", 0.5, "--dry-run").exit_code == 1


def test_a_folder_in_use_is_refused(done):
    with RunFolder(done).lock():
        result = llm("run", "--out", done)
    assert result.exit_code == 1
    assert f"in use by process {os.getpid()}" in result.output


def test_a_foreign_folder_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "thesis.tex").touch()
    result = llm("run", "-p", "tiny", "-o", tmp_path)
    assert result.exit_code == 1
    assert "thesis.tex" in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_missing_data_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path / "none"))
    result = llm("run", "-p", "laptop", "-o", tmp_path / "run")
    assert result.exit_code == 1
    for word in ("make data", "corpus.fetch", "corpus.real=false"):
        assert word in result.output
    plan = llm("run", "-p", "tiny", "-o", tmp_path / "run2", "--dry-run")
    assert plan.exit_code == 0
    assert not (tmp_path / "run2").exists()


def test_a_plan_says_what_is_done_and_touches_nothing(done):
    before = {p: p.stat().st_mtime_ns for p in done.rglob("*")}
    result = llm("run", "--out", done, "--dry-run")
    assert result.exit_code == 0
    assert result.output.count("(done)") == 5
    for name in ("FLOPs", "memory", "parameters", "GFLOP/s"):
        assert name in result.output
    assert {p: p.stat().st_mtime_ns for p in done.rglob("*")} == before


def test_checks_are_printed_and_decide_the_exit_code(done):
    result = llm("pretrain", "--out", done, "--check")
    assert "future" in result.output
    failed = "FAILED" in result.output
    assert result.exit_code == int(failed)


def test_a_check_of_a_new_run_asks_for_no_scores(tmp_path, monkeypatch):
    said = [Verdict(check="a", passed=True, message="fine")]
    monkeypatch.setattr(training, "check_training", lambda run: said)
    result = llm("run", "-p", "tiny", "-o", tmp_path, "--check", *SETS)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].split() == ["ok", "a", "fine"]
    assert (tmp_path / "shards").exists()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(("last", "code"), [(None, 0), (True, 0), (False, 1)])
def test_a_check_that_fails_is_a_failure(tmp_path, monkeypatch, last, code):
    said = [
        Verdict(check="a", passed=True, message="fine"),
        Verdict(check="b", passed=last, message="so so"),
    ]
    monkeypatch.setattr(training, "check_training", lambda run: said)
    monkeypatch.setattr(pipeline, "run_stages", lambda *_: None)
    result = llm("pretrain", "-p", "tiny", "-o", tmp_path, "--check")
    assert result.exit_code == code
    word = {None: "-", True: "ok", False: "FAILED"}[last]
    assert f"{word:7} {'b':20} so so" in result.output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "the same command goes on"),
        (KeyboardInterrupt(15), 143, "the same command goes on"),
        (Stopped(2, "after step 9"), 130, "stopped: after step 9"),
        (Stopped(15, "after step 9"), 143, "stopped: after step 9"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "disk is full"),
        (
            OSError(errno.ENOSPC, "the checkpoint of step 3 could not be"),
            1,
            "the checkpoint of step 3",
        ),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission"),
        (ValueError("a bad shard"), 1, "error: a bad shard"),
        (RuntimeError("diverged"), 1, "error: diverged"),
    ],
)
def test_ends_have_their_exit_codes(
    tmp_path, monkeypatch, error, code, message
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "run_stages", fail)
    result = llm("run", "-p", "tiny", "-o", tmp_path)
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output


def test_debug_shows_where_and_mistakes_always_do(tmp_path, monkeypatch):
    for error, words in ((ValueError("x"), ["--debug"]), (KeyError("x"), [])):

        def fail(*_: object, error=error) -> None:
            raise error

        monkeypatch.setattr(pipeline, "run_stages", fail)
        result = llm("run", "-p", "tiny", "-o", tmp_path, *words)
        assert result.exception is error


def test_generate_speaks_the_same_with_the_same_seed(done):
    words = ["generate", "--run", done, "--prompt", "Once upon", "-n", 12]
    first = llm(*words, "--seed", 1)
    assert first.exit_code == 0
    assert "Once upon" in first.stdout
    assert first.stdout == llm(*words, "--seed", 1).stdout
    assert first.stdout != llm(*words, "--seed", 2).stdout
    greedy = [llm(*words, "--temperature", 0).stdout for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert "model" in first.stderr
    assert "model" not in first.stdout


def test_generate_reads_a_pipe_and_goes_past_its_context(done):
    result = llm("generate", "-r", done, "-n", 70, input="Once upon a time")
    assert result.exit_code == 0
    assert result.stdout.startswith("Once upon a time")
    assert llm("generate", "-r", done / "model", "--prompt", "x").exit_code == 0


def test_a_dash_is_what_is_piped_in_and_no_seed_is_another_each_time(done):
    words = ["generate", "-r", done, "-n", 12, "--prompt"]
    said = [llm(*words, "-", input="Once upon").stdout for _ in range(2)]
    assert said[0].startswith("Once upon")
    assert said[0] != said[1]


def test_generate_names_what_is_missing(done, tmp_path):
    result = llm("generate", "--run", tmp_path, "--prompt", "x")
    assert result.exit_code == 1
    assert "holds no run" in result.output
    result = llm("generate", "-r", done, "--prompt", "x", "--step", "5")
    assert result.exit_code == 1
    assert "checkpoints: [2, 4, 6]" in result.output


COMMAND = [sys.executable, "-m", "llm_from_scratch"]


def test_help_is_quick_and_needs_no_torch():
    program = (
        "import sys, llm_from_scratch.cli.app; print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
    helped = subprocess.run([*COMMAND, "-h"], capture_output=True, text=True)
    assert helped.returncode == 0
    assert "generate" in helped.stdout


def test_a_closed_pipe_ends_quietly(done):
    words = ["generate", "--run", str(done), "--prompt", "x", "-n", "400"]
    child = subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.read(1) == "x"
    child.stdout.close()
    said = child.stderr.read()
    assert child.wait() == 141
    assert "rror" not in said
    child.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_from_outside_leave_a_run_that_goes_on(tmp_path, number):
    words = [*COMMAND, "run", "-p", "tiny", "-o", str(tmp_path), *SETS]
    long = [*words, "--steps", "4000", "--set", "train.log_every=1"]
    child = subprocess.Popen(long, stderr=subprocess.PIPE, text=True)
    rows = tmp_path / "metrics.jsonl"
    while not rows.exists() or '"step": 5' not in rows.read_text():
        assert child.poll() is None
        time.sleep(0.1)
    child.send_signal(number)
    said = child.communicate()[1]
    assert child.returncode == 128 + number
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert list((tmp_path / "checkpoints").iterdir())

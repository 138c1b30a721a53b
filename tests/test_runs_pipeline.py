"""Stages: made once, skipped while nothing changed, exact after a stop."""

import json
import shutil
import signal

import pytest
import torch
from runs_micro import make, micro, stages

from llm_from_scratch.core.manifest import Manifest
from llm_from_scratch.core.metrics import read_metrics
from llm_from_scratch.corpus.paths import read_jsonl
from llm_from_scratch.corpus.records import is_heldout
from llm_from_scratch.runs import report, training
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.judge import Judge, spread
from llm_from_scratch.runs.pipeline import STAGES, stage_states
from llm_from_scratch.runs.plan import (
    bytes_per_token,
    duration,
    memory_bytes,
    plan,
)
from llm_from_scratch.runs.presets import preset
from llm_from_scratch.runs.stages import Run, sample_texts
from llm_from_scratch.runs.training import (
    Stopped,
    check_bug,
    check_training,
    load_model,
    open_loader,
)

ALL = [stage.name for stage in STAGES]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run and its events. Tests look, or work on a copy."""
    return make(tmp_path_factory.mktemp("runs") / "done")


@pytest.fixture(autouse=True)
def _no_pictures(done, monkeypatch):
    """Only the first run draws: it takes longer than all the rest."""
    monkeypatch.setattr(report, "draw_curves", lambda *_: [])


@pytest.fixture
def copy(done, tmp_path):
    """A finished run to break."""
    return shutil.copytree(done[0].folder.path, tmp_path / "copy")


def hashes(path) -> dict[str, dict[str, str]]:
    manifest = Manifest(path / "manifest.json")
    return {name: manifest.hashes(name) for name in manifest.entries}


def test_a_run_makes_every_stage_and_says_so(done):
    run, events = done
    assert stages(events, "begin") == stages(events, "end") == ALL
    assert set(stage_states(run).values()) == {"current"}
    for name in ("loss.png", "lr.png", "report.md", "metrics.jsonl"):
        assert (run.folder.path / name).stat().st_size > 0


def test_a_second_run_does_nothing(copy):
    before = hashes(copy)
    _, events = make(copy)
    assert stages(events, "skip") == ALL
    assert hashes(copy) == before


def test_two_runs_agree_to_the_bit(done, tmp_path):
    make(tmp_path)
    assert hashes(tmp_path) == hashes(done[0].folder.path)


def test_the_split_is_that_of_the_corpus(done):
    run = done[0]
    for split in ("train", "heldout"):
        texts = list(read_jsonl(run.texts("smallweb", split)))
        assert texts
        assert all(is_heldout(t.id) == (split == "heldout") for t in texts)


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("evaluation.json", ["evaluate"]),
        ("model/model.safetensors", ["pretrain"]),
        ("corpus/smallweb.train.jsonl", ["corpus"]),
        ("shards/smallweb/index.json", ["shards"]),
    ],
)
def test_what_is_lost_is_made_again_and_the_rest_stays(copy, lost, again):
    before = hashes(copy)
    (copy / lost).unlink()
    _, events = make(copy)
    assert stages(events, "begin") == again
    assert hashes(copy) == before


def test_what_was_edited_is_made_again_with_all_that_hangs_on_it(copy):
    before = hashes(copy)
    path = copy / "corpus" / "smallweb.heldout.jsonl"
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    _, events = make(copy)
    assert stages(events, "begin") == ["corpus"]
    assert hashes(copy) == before


def test_other_questions_cost_only_an_evaluation(copy):
    _, events = make(copy, "evaluation.questions=2")
    assert stages(events, "begin") == ["evaluate"]
    found = json.loads((copy / "evaluation.json").read_text())
    assert found["facts"]["heldout"]["answer"]["asked"] == 2


def stop_at(monkeypatch, step: int) -> None:
    """Have a signal come after some steps."""
    real = training.make_trainer

    def stopping(run: Run, **how: bool):
        trainer, heard = real(run, **how), []
        tell = trainer.report

        def report(row):
            tell(row)
            if row["kind"] == "train" and row["step"] == step and not heard:
                heard.append(signal.raise_signal(signal.SIGTERM))

        trainer.report = report
        return trainer

    monkeypatch.setattr(training, "make_trainer", stopping)


@pytest.mark.parametrize("step", [1, 4])
def test_stopped_and_resumed_is_the_same_run(done, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(Stopped, match=f"after step {step}") as stopped:
            make(tmp_path)
    assert stopped.value.signal == signal.SIGTERM
    assert "interrupted" in (tmp_path / "report.md").read_text()
    assert load_model(tmp_path)[2].endswith(f"step-{step:08}.safetensors")
    _, events = make(tmp_path)
    assert stages(events, "begin") == ["pretrain", "evaluate"]
    assert hashes(tmp_path) == hashes(done[0].folder.path)


def test_a_stop_in_any_stage_leaves_a_folder_that_goes_on(
    done, tmp_path, monkeypatch
):
    for number, stage in enumerate(STAGES):
        make_it = stage.make

        def stops(run: Run, make_it=make_it):
            make_it(run)  # all written, nothing recorded
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setitem(stage.__dict__, "make", stops)
            with pytest.raises(KeyboardInterrupt):
                make(tmp_path, until=stage.name)
        again, _ = make(tmp_path, until=stage.name)
        states = list(stage_states(again).values())
        assert states[: number + 1] == ["current"] * (number + 1)
    assert hashes(tmp_path) == hashes(done[0].folder.path)


def test_shards_of_another_tokenizer_are_refused(copy):
    other = copy.parent / "other"
    make(other, "tokenizer.vocab_size=290", until="tokenizer")
    shutil.copy(other / "tokenizer.json", copy / "tokenizer.json")
    run = Run(folder=RunFolder(copy), config=micro())
    with pytest.raises(ValueError, match="made with the tokenizer"):
        open_loader(run, run.tokenizer())


def test_a_model_of_another_vocabulary_is_refused(copy, tmp_path):
    make(tmp_path / "big", "tokenizer.vocab_size=310", until="tokenizer")
    shutil.copy(tmp_path / "big" / "tokenizer.json", copy / "tokenizer.json")
    with pytest.raises(ValueError, match="310 tokens and the model knows 300"):
        load_model(copy)


def test_a_model_can_be_loaded_from_everywhere(done):
    folder = done[0].folder
    model, tokenizer, name = load_model(folder.path)
    alone, same, _ = load_model(folder.model)
    last, _, where = load_model(folder.path, step=6)
    assert name.endswith("model")
    assert where.endswith("step-00000006.safetensors")
    assert same.vocab == tokenizer.vocab
    for key, value in model.state_dict().items():
        assert torch.equal(value, alone.state_dict()[key])
        assert torch.equal(value, last.state_dict()[key])
    with pytest.raises(FileNotFoundError, match=r"step 5; checkpoints: \[2"):
        load_model(folder.path, step=5)


def test_texts_of_ones_own_without_questions(tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text(
        "\n<|endoftext|>\n".join(f"Text {i}. " * 9 for i in range(80))
    )
    run, _ = make(tmp_path / "run", f"corpus.sources={mine}")
    found = json.loads(run.folder.evaluation_file.read_text())
    assert found["facts"] == {}
    assert found["bits_per_byte"]["all"]["value"] > 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("smallweb-web", "holds raw pages"),
        ("absent/file.txt", "does not exist"),
        ("empty.txt", "no document"),
    ],
)
def test_sources_without_texts_are_refused(
    tmp_path, monkeypatch, source, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    with pytest.raises((ValueError, OSError), match=message):
        make(tmp_path / "run", f"corpus.sources={source}")
    assert "corpus" not in Manifest(tmp_path / "run/manifest.json").entries


def test_absent_sets_are_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=r"tales\. .*make data"):
        make(tmp_path / "run", "corpus.sources=smallweb,tales")
    assert not (tmp_path / "run" / "corpus").exists()


def test_a_device_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="'warp' is not to be had"):
        make(tmp_path, "train.device=warp")
    assert not (tmp_path / "corpus").exists()


def test_divergence_is_an_error_with_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "llm_from_scratch.train.parts.linear_cross_entropy",
        lambda *a, **k: torch.tensor(torch.nan, requires_grad=True),
        raising=False,
    )
    with pytest.raises(RuntimeError, match="not finite"):
        make(tmp_path, "train.lr=1e30", "train.clip_norm=0.0")
    assert "diverged" in (tmp_path / "report.md").read_text()


def test_the_tokenizer_sees_all_sources_in_turn(done, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"text": "aaaa"}\n' * 3)
    run, _ = make(
        tmp_path / "run", f"corpus.sources=smallweb,{mine}", until="corpus"
    )
    texts = list(sample_texts(run))
    assert texts[1:6:2] == ["aaaa"] * 3
    assert len(texts) > 10  # the longer source goes on alone
    assert sum(len(t.encode()) for t in texts[:-1]) < 20000


def test_the_log_has_what_the_chapter_plots(done):
    rows = read_metrics(done[0].folder.metrics_file)
    looks = [row for row in rows if row["kind"] == "eval"]
    assert [row["step"] for row in looks] == [0, 3, 6]
    for row in looks:
        assert {"bits_per_byte", "facts_heldout", "facts_seen"} <= set(row)
    assert [r for r in rows if r["kind"] == "sample"][-1]["step"] == 6


def test_the_report_tells_what_was_measured(done):
    run = done[0]
    text = run.folder.report_file.read_text("utf-8")
    found = json.loads(run.folder.evaluation_file.read_text())
    score = found["bits_per_byte"]["all"]["value"]
    assert f"| {score:.3f} |" in text
    assert "| steps | 6 of 6 |" in text
    for name in ("heldout", "derived", "seen"):
        assert f"| {name} | 4 |" in text
    for stage in ALL:
        assert f"| {stage} | " in text


def test_every_check_passes_on_a_healthy_run(done):
    verdicts = check_training(done[0])
    assert len(verdicts) > 10
    told = {v.check: v.message for v in verdicts if v.passed is False}
    assert set(told) <= {"schedule"}  # six steps are too few to warm up in
    assert "heldout" in {v.check for v in verdicts if v.passed}


def test_bugs_are_checked_by_name():
    check_bug(None)
    check_bug("no-causal-mask")
    with pytest.raises(ValueError, match="did you mean no-zero-grad"):
        check_bug("no-zero-grads")


def test_spread_takes_the_asked_for_number_from_everywhere():
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert spread([1, 2, 3], 0) == spread([1, 2, 3], 9) == [1, 2, 3]


def test_a_quick_judge_reads_less(done):
    run = done[0]
    quick = Judge(run, run.tokenizer(), quick=True)
    whole = Judge(run, run.tokenizer())
    assert len(quick.texts["smallweb"]) == 1
    assert len(whole.texts["smallweb"]) == 2
    assert "derived" in whole.questions
    assert "derived" not in quick.questions


def test_the_plan_counts_what_the_run_will_do():
    found = plan(preset("laptop"), measure=False)
    tokens = preset("laptop").train.tokens / 1e6
    assert f"{tokens:.3g} million" in found["training"]
    assert "time" not in found
    small = plan(micro())
    assert "GFLOP/s" in small["time"]


def test_memory_grows_with_the_micro_batch_only():
    whole = memory_bytes(micro("train.batch_size=8"))
    parts = micro("train.batch_size=8", "train.micro_batch_size=2")
    assert memory_bytes(parts) < whole
    assert memory_bytes(parts) == memory_bytes(
        micro("train.batch_size=64", "train.micro_batch_size=2")
    )


def test_the_plan_names_missing_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path))
    found = plan(preset("laptop"), measure=False)
    assert "tales" in found["missing"]
    assert "missing" not in plan(micro(), measure=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 s"), (300, "5 min"), (7200, "2.0 h"), (864000, "10.0 days")],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text
    assert bytes_per_token(4096) == pytest.approx(3.6)

"""A folder belongs to one run, and to one process at a time."""

import subprocess
import sys

import pytest
from runs_micro import make, micro

from llm_from_scratch.runs.folder import RunFolder, may_change


def test_a_claim_writes_the_configuration_and_a_second_changes_nothing(
    tmp_path,
):
    folder = RunFolder(tmp_path / "run")
    assert folder.claim(micro()) == []
    written = folder.config_file.read_bytes()
    assert folder.config() == micro()
    assert folder.claim(micro()) == []
    assert folder.config_file.read_bytes() == written


def test_to_compare_touches_nothing(tmp_path):
    assert RunFolder(tmp_path / "run").compare(micro()) == []
    assert list(tmp_path.iterdir()) == []


def test_before_anything_is_made_everything_may_change(tmp_path):
    folder = RunFolder(tmp_path)
    folder.claim(micro())
    assert folder.claim(micro("corpus.pages=70")) == ["corpus.pages: 60 -> 70"]
    assert folder.config() == micro("corpus.pages=70")


def test_what_was_made_fixes_its_settings_and_no_others(tmp_path):
    run, _ = make(tmp_path, until="tokenizer")
    folder = run.folder
    with pytest.raises(FileExistsError, match="pages: 60 -> 61"):
        folder.claim(micro("corpus.pages=61"))
    with pytest.raises(FileExistsError, match=r"(?s)vocab_size: 300 .*--out"):
        folder.claim(micro("tokenizer.vocab_size=301"))
    assert folder.config() == micro()
    assert folder.claim(micro("train.lr=0.1")) == ["train.lr: 0.003 -> 0.1"]
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step-00000002.safetensors").touch()
    with pytest.raises(FileExistsError, match=r"lr: 0\.1 -> 0\.2"):
        folder.claim(micro("train.lr=0.2"))
    both = micro("train.lr=0.1", "train.eval_every=1", "evaluation.texts=1")
    assert len(folder.claim(both)) == 2


def test_all_differences_are_named_at_once(tmp_path):
    run, _ = make(tmp_path, until="corpus")
    with pytest.raises(FileExistsError) as caught:
        run.folder.claim(micro("corpus.pages=1", "corpus.seed=2"))
    assert "corpus.pages: 60 -> 1\n  corpus.seed: 0 -> 2" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "free"),
    [
        ("train.threads: 1 -> 2", True),
        ("train.lr: 1 -> 2", False),
        ("model.hidden_size: 1 -> 2", True),
    ],
)
def test_which_differences_may_be(line, free):
    assert may_change(line, {"train"}) == free


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="but no run"):
        RunFolder(tmp_path).claim(micro())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FileExistsError, match="is a file"):
        RunFolder(tmp_path / "thesis.tex").claim(micro())


def test_an_absent_run_and_a_damaged_configuration_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no run: start one"):
        folder.config()
    folder.config_file.write_text("[train]\nlearning = 1\n")
    with pytest.raises(ValueError, match=r"config\.toml: no setting .*train"):
        folder.config()


def test_only_one_may_write(tmp_path):
    with (
        RunFolder(tmp_path).lock(),
        pytest.raises(BlockingIOError, match=r"in use by process \d+ on"),
        RunFolder(tmp_path).lock(),
    ):
        pass
    with RunFolder(tmp_path).lock():
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_a_dead_holder_holds_nothing(tmp_path):
    program = (
        "import os, sys; from llm_from_scratch.runs.folder import RunFolder\n"
        "lock = RunFolder(sys.argv[1]).lock(); lock.__enter__()\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)])
    assert done.returncode == -9
    assert (tmp_path / ".holder.json").exists()
    with RunFolder(tmp_path).lock():
        pass

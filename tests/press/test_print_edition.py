"""The edition on the imprint is that of the commit, or says that it is not."""

import os
import subprocess
from pathlib import Path

import pytest

from book.press.print_edition import EditionError, read_edition

TIME = 1_777_000_000  # 24 April 2026


@pytest.fixture
def git(tmp_path: Path):
    """Run git in a small repository with one commit."""
    env = os.environ | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_DATE": f"@{TIME} +0000",
        "GIT_COMMITTER_DATE": f"@{TIME} +0000",
    }
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]

    def run(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(
            command, env=env, check=True, capture_output=True, text=True
        ).stdout.strip()

    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "01_x.md").write_text("text\n")
    run("init", "-q")
    return run


def commit(git) -> None:
    """Commit everything."""
    git("add", ".")
    git("commit", "-q", "-m", "x")


def test_a_clean_commit(git, tmp_path):
    commit(git)
    edition = read_edition(tmp_path)
    assert edition.version == "1.2.3"
    assert edition.revision == git("rev-parse", "HEAD")[:12]
    assert edition.timestamp == TIME
    assert edition.date == "24 April 2026"


def test_the_time_is_never_that_of_the_environment(git, tmp_path, monkeypatch):
    commit(git)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "315619200")
    assert read_edition(tmp_path).timestamp == TIME


@pytest.mark.parametrize("name", ["01_x.md", "02_new.md"])
def test_changed_and_new_files_are_dirty(git, tmp_path, name):
    commit(git)
    (tmp_path / "chapters" / name).write_text("changed\n")
    assert read_edition(tmp_path).revision.endswith("-dirty")


def test_files_that_are_not_printed_do_not_matter(git, tmp_path):
    commit(git)
    (tmp_path / "notes.txt").write_text("mine\n")
    assert not read_edition(tmp_path).changed


def test_an_archive_says_that_it_knows_no_commit(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.0"\n')
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(TIME))
    edition = read_edition(tmp_path)
    assert edition.revision == "unknown"
    assert edition.timestamp == TIME


def test_the_calendar_of_the_notebooks_is_no_edition(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.0"\n')
    (tmp_path / "chapters").mkdir()
    chapter = tmp_path / "chapters" / "01_x.md"
    chapter.write_text("")
    os.utime(chapter, (TIME, TIME))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "315619200")
    assert read_edition(tmp_path).timestamp == TIME


def test_a_folder_within_another_repository_is_an_archive(git, tmp_path):
    commit(git)
    inner = tmp_path / "copy"
    inner.mkdir()
    (inner / "chapters").mkdir()
    (inner / "chapters" / "x.md").write_text("")
    (inner / "pyproject.toml").write_text('[project]\nversion = "1.0"\n')
    assert read_edition(inner).commit == "unknown"


def test_a_repository_without_a_commit_is_an_error(git, tmp_path):
    with pytest.raises(EditionError, match="first commit"):
        read_edition(tmp_path)

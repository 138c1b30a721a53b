"""Shards are written once, resumed after anything, and never half."""

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.records import Document
from llm_from_scratch.data import write
from llm_from_scratch.data.shard_set import ShardSet
from llm_from_scratch.data.write import Written, groups, text_hash, write_shards
from llm_from_scratch.tokenizer import Tokenizer

END = "<|endoftext|>"
BYTES = {i: bytes([i]) for i in range(256)}
TEXTS = [f"document {i} " + "word " * (i % 7) for i in range(40)]


@pytest.fixture
def tokenizer():
    merges = [(b"o", b"r"), (b"w", b"or"), (b"wor", b"d")]
    vocab = BYTES | {256 + i: a + b for i, (a, b) in enumerate(merges)}
    return Tokenizer(vocab, merges, [END])


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@given(st.lists(st.text()), st.integers(1, 50))
def test_groups_keep_every_document_in_order(texts, size):
    found = list(groups(texts, size))
    assert [t for g in found for t in g] == [
        t.encode("utf-8", "replace") for t in texts
    ]
    assert all(sum(map(len, g)) >= size for g in found[:-1])
    assert all(sum(map(len, g[:-1])) < size for g in found)


@given(st.lists(st.text(), min_size=1), st.integers(1, 50))
def test_any_text_comes_back(tmp_path_factory, texts, size):
    folder = tmp_path_factory.mktemp("s")
    known = Tokenizer(BYTES, [], [END])
    write_shards(texts, known, folder, shard_bytes=size)
    shards = ShardSet(folder, known)
    shards.verify()
    back = [known.decode(shards.document(i)) for i in range(len(texts))]
    assert back == [t.encode("utf-8", "replace").decode() for t in texts]


def test_strings_bytes_and_documents_are_the_same(tmp_path, tokenizer):
    kinds = (str, str.encode, lambda text: Document("id", text))
    for n, kind in enumerate(kinds):
        write_shards(map(kind, TEXTS), tokenizer, tmp_path / str(n))
    one, two, three = (content(tmp_path / str(n)) for n in range(3))
    assert one == two == three


def test_a_mark_written_in_a_text_ends_nothing(tmp_path, tokenizer):
    write_shards([f"a {END} b"], tokenizer, tmp_path)
    shards = ShardSet(tmp_path)
    assert (shards.window(0, len(shards)) == shards.end_of_text).sum() == 1
    assert tokenizer.decode(shards.document(0)) == f"a {END} b"


def test_a_second_run_writes_nothing(tmp_path, tokenizer):
    first = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert first == Written(10, 10, 0, 40, first.text_bytes, True)
    assert first.text_bytes == sum(map(len, TEXTS))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("shard-*")}
    again = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert (again.written, again.kept, again.complete) == (0, 10, True)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_only_what_changed_is_written_again(tmp_path, tokenizer):
    write_shards(TEXTS, tokenizer, tmp_path / "a", shard_bytes=100)
    changed = [*TEXTS[:20], TEXTS[20].upper(), *TEXTS[21:]]
    report = write_shards(changed, tokenizer, tmp_path / "a", shard_bytes=100)
    assert (report.written, report.kept) == (1, 9)
    write_shards(changed, tokenizer, tmp_path / "b", shard_bytes=100)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_another_tokenizer_makes_all_anew(tmp_path, tokenizer):
    write_shards(TEXTS, Tokenizer(BYTES, [], [END]), tmp_path, shard_bytes=100)
    report = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert report.kept == 0
    ShardSet(tmp_path, tokenizer)


def test_a_tokenizer_of_the_same_size_makes_all_anew(tmp_path, tokenizer):
    other = Tokenizer(tokenizer.vocab, tokenizer.merges[:2], [END])
    assert len(other.vocab) == len(tokenizer.vocab)
    write_shards(TEXTS, other, tmp_path, shard_bytes=100)
    report = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert report.kept == 0


def test_another_mark_makes_all_anew(tmp_path):
    known = Tokenizer(BYTES, [], [END, "<|pad|>"])
    write_shards(TEXTS, known, tmp_path)
    assert write_shards(TEXTS, known, tmp_path, end_of_text="<|pad|>").kept == 0


def test_the_hash_of_texts_sees_where_they_end():
    parts = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"", b"abc"]]
    assert len({text_hash(p) for p in parts}) == 4


def test_fewer_documents_leave_no_old_shards(tmp_path, tokenizer):
    write_shards(TEXTS, tokenizer, tmp_path / "a", shard_bytes=100)
    for folder in ("a", "b"):
        write_shards(TEXTS[:9], tokenizer, tmp_path / folder, shard_bytes=100)
    assert content(tmp_path / "a") == content(tmp_path / "b")


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "foreign", "lose"])
def test_a_damaged_shard_is_made_again(tmp_path, tokenizer, harm):
    write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    before, path = content(tmp_path), tmp_path / "shard-00003.tokens"
    raw = path.read_bytes()
    flipped = raw[:1030] + bytes([raw[1030] ^ 1]) + raw[1031:]
    new = {"flip": flipped, "cut": raw[:-9], "empty": b"", "foreign": b"x"}
    path.unlink() if harm == "lose" else path.write_bytes(new[harm])
    report = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert (report.written, report.kept) == (1, 9)
    assert content(tmp_path) == before


@pytest.mark.parametrize("num_writers", [1, 2, 3, 12])
def test_writers_share_the_work_and_not_the_result(
    tmp_path, tokenizer, num_writers
):
    write_shards(TEXTS, tokenizer, tmp_path / "one", shard_bytes=100)
    options = {"shard_bytes": 100, "num_writers": num_writers}
    reports = [
        write_shards(TEXTS, tokenizer, tmp_path / "n", writer=w, **options)
        for w in random.Random(0).sample(range(num_writers), num_writers)
    ]
    first = [r.complete for r in reports].index(True)
    assert first >= min(num_writers, 10) - 1
    assert reports[-1].complete
    assert sum(r.written for r in reports) == 10
    assert content(tmp_path / "one") == content(tmp_path / "n")


def test_threads_change_nothing(tmp_path, tokenizer):
    for n in (1, 3):
        write_shards(TEXTS * 99, tokenizer, tmp_path / str(n), num_threads=n)
    assert content(tmp_path / "1") == content(tmp_path / "3")


def test_a_writer_does_not_finish_over_the_old_shards_of_another(
    tmp_path, tokenizer
):
    write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    new = [text.upper() for text in TEXTS]
    options = {"shard_bytes": 100, "num_writers": 2}
    first = write_shards(new, tokenizer, tmp_path, writer=0, **options)
    assert not first.complete
    with pytest.raises(FileNotFoundError, match="no index"):
        ShardSet(tmp_path)
    assert write_shards(new, tokenizer, tmp_path, writer=1, **options).complete


def test_a_full_disk_keeps_what_is_finished(tmp_path, tokenizer, monkeypatch):
    sync, calls = os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left .*kept.*shard-00003"):
        write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert sorted(content(tmp_path)) == [
        f"shard-0000{i}.tokens" for i in range(3)
    ]
    report = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert (report.written, report.kept, report.complete) == (7, 3, True)


def test_a_full_disk_leaves_no_half_of_an_index(
    tmp_path, tokenizer, monkeypatch
):
    def full(value, file, **_):
        file.write("{")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write.json, "dump", full)
    with pytest.raises(OSError, match="run the same again"):
        write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert not (tmp_path / "index.json").exists()


def test_a_source_that_breaks_off_keeps_what_is_finished(tmp_path, tokenizer):
    def broken():
        yield from TEXTS[:20]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        write_shards(broken(), tokenizer, tmp_path, shard_bytes=100)
    kept = len(list(tmp_path.glob("shard-*")))
    report = write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=100)
    assert report.kept == kept > 2


NURSERY = """
import os, sys
from pathlib import Path
from llm_from_scratch.data.write import write_shards
from llm_from_scratch.tokenizer import Tokenizer
vocab = {i: bytes([i]) for i in range(256)}
tokenizer = Tokenizer(vocab, [], ["<|endoftext|>"])
texts = [f"document {i} " * 200 for i in range(3000)]
for folder in sys.stdin:
    child = os.fork()
    if not child:
        write_shards(texts, tokenizer, Path(folder.strip()), shard_bytes=40_000)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_killed_writer_is_resumed_to_the_same_bytes(tmp_path):
    """Kill a child at random points, go on, and compare every byte."""
    rng, codes = random.Random(0), []
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    with nursery:
        for folder, kill in [("a", False), *[("b", True)] * 9, ("b", False)]:
            print(tmp_path / folder, file=nursery.stdin, flush=True)
            child = int(nursery.stdout.readline())
            if kill:
                time.sleep(rng.uniform(0.01, 0.1))
                os.kill(child, signal.SIGKILL)
            codes.append(int(nursery.stdout.readline()))
    assert codes.count(-signal.SIGKILL) > 2
    assert codes[0] == codes[-1] == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")
    ShardSet(tmp_path / "b").verify()


def test_what_a_killed_writer_left_is_removed(tmp_path, tokenizer):
    part = tmp_path / ".shard-00002.tokens.0123.part"
    other = tmp_path / ".shard-00003.tokens.0123.part"
    for path in (part, other):
        path.write_bytes(b"half")
    options = {"shard_bytes": 100, "num_writers": 2}
    write_shards(TEXTS, tokenizer, tmp_path, writer=0, **options)
    assert not part.exists()
    assert other.exists()  # its writer may be at work


def test_progress_is_reported(tmp_path, tokenizer):
    seen = []
    done = write_shards(
        TEXTS,
        tokenizer,
        tmp_path,
        shard_bytes=100,
        report=lambda shards, size: seen.append((shards, size)),
    )
    assert [shards for shards, _ in seen] == list(range(1, 11))
    assert seen[-1][1] == done.text_bytes


def test_no_documents_are_an_error_and_no_empty_set(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="no documents to write"):
        write_shards([], tokenizer, tmp_path)
    with pytest.raises(FileNotFoundError):
        ShardSet(tmp_path)


def test_errors_name_the_value(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="writer 2 is not one of 2"):
        write_shards(TEXTS, tokenizer, tmp_path, writer=2, num_writers=2)
    with pytest.raises(ValueError, match="special token '<eos>', only"):
        write_shards(TEXTS, tokenizer, tmp_path, end_of_text="<eos>")
    with pytest.raises(ValueError, match=r"shard_bytes must be .* got 0"):
        write_shards(TEXTS, tokenizer, tmp_path, shard_bytes=0)
    with pytest.raises(ValueError, match="not UTF-8"):
        write_shards([b"\xff"], tokenizer, tmp_path)


def test_memory_is_that_of_one_shard(tmp_path, tokenizer, monkeypatch):
    alive = []
    real = write.groups

    def watched(documents, size):
        for group in real(documents, size):
            alive.append(sum(map(len, group)))
            yield group

    monkeypatch.setattr(write, "groups", watched)
    stream = (text for _ in range(50) for text in TEXTS)
    write_shards(stream, tokenizer, tmp_path, shard_bytes=1000)
    assert max(alive) < 1100

"""Many shards read as one sequence, and refuse what does not belong."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data import shard_set
from llm_from_scratch.data.shard_set import ShardSet, TokenArray
from llm_from_scratch.data.shards import Shard
from llm_from_scratch.data.write import write_shards
from llm_from_scratch.tokenizer import Tokenizer

END = "<|endoftext|>"
BYTES = {i: bytes([i]) for i in range(256)}
TEXTS = ["one", "", "three words here", "four", "the fifth"]


def tokenizer(special=(END,)):
    return Tokenizer(BYTES, [], list(special))


@pytest.fixture
def shards(tmp_path):
    write_shards(TEXTS, tokenizer(), tmp_path, shard_bytes=3)
    return ShardSet(tmp_path)


def whole(source):
    return source.window(0, len(source))


def test_a_set_by_hand(shards):
    tokens = whole(shards)
    assert len(shards.entries) == 4
    assert bytes(t for t in tokens if t < 256).decode() == "".join(TEXTS)
    assert [shards.end_of_text, shards.vocab_size] == [256, 257]
    assert len(shards) == sum(map(len, TEXTS)) + 5
    assert shards.num_documents == 5
    assert shards.document_starts.tolist() == [0, 4, 5, 22, 27, 37]
    for i, text in enumerate(TEXTS):
        assert bytes(shards.document(i).astype(np.uint8)).decode() == text


@settings(max_examples=50)
@given(st.data())
def test_windows_are_slices_of_a_circle(tmp_path_factory, data):
    texts = data.draw(st.lists(st.text("ab ", max_size=9), min_size=1))
    size = data.draw(st.integers(1, 12))
    folder = tmp_path_factory.mktemp("s")
    write_shards(texts, tokenizer(), folder, shard_bytes=size)
    shards = ShardSet(folder)
    ids = [[*text.encode(), 256] for text in texts]
    circle = np.concatenate(ids)
    memory = TokenArray(circle.astype(np.uint16), 256, 257)
    start = data.draw(st.integers(-len(circle), 2 * len(circle)))
    length = data.draw(st.integers(0, 3 * len(circle)))
    expected = np.take(circle, range(start, start + length), mode="wrap")
    assert np.array_equal(shards.window(start, length), expected)
    assert np.array_equal(memory.window(start, length), expected)
    assert np.array_equal(memory.document_starts, shards.document_starts)


def test_a_window_is_a_copy(shards):
    shards.window(0, 4)[:] = 0
    TokenArray(memory := np.array([1, 2]), 2, 3).window(0, 1)[:] = 0
    assert whole(shards)[0] == ord("o")
    assert memory[0] == 1


def test_pages_are_given_back_in_time(shards, monkeypatch):
    calls = []
    monkeypatch.setattr(Shard, "release", lambda self: calls.append(1))
    monkeypatch.setattr(shard_set, "RELEASE", 10 * shard_set.PAGES)
    for _ in range(30):
        shards.window(0, 3)
    assert calls == [1, 1, 1]


def resident_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssFile:")[1].split()[0]) / 1024


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="Linux shows the pages"
)
@pytest.mark.parametrize("flat", [True, False])
def test_resident_memory_stays_flat(tmp_path, monkeypatch, flat):
    """A set of 32 MB read through a limit of 4 MB, and without one."""
    long = ["x" * 2**20] * 16
    write_shards(long, tokenizer(), tmp_path, shard_bytes=2**22)
    shards = ShardSet(tmp_path)
    monkeypatch.setattr(shard_set, "RELEASE", 2**22 if flat else 2**40)
    before, peak = resident_mb(), 0.0
    for start in range(0, len(shards), 2**15):
        shards.window(start, 2**15)
        peak = max(peak, resident_mb() - before)
    assert (peak < 8) == flat


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="Linux shows the pages"
)
def test_small_windows_at_random_keep_the_bound(tmp_path, monkeypatch):
    """A system may map much more than the page that is touched."""
    long = ["x" * 2**20] * 32
    write_shards(long, tokenizer(), tmp_path, shard_bytes=2**25)
    shards = ShardSet(tmp_path)
    monkeypatch.setattr(shard_set, "RELEASE", 2**23)
    places = np.random.default_rng(0).integers(0, len(shards), 500)
    before, peak = resident_mb(), 0.0
    for start in places.tolist():
        shards.window(start, 16)
        peak = max(peak, resident_mb() - before)
    assert peak < 9


def test_few_files_are_open_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_set, "MAX_OPEN", 2)
    write_shards("abcdefgh", tokenizer(), tmp_path, shard_bytes=1)
    shards = ShardSet(tmp_path)
    for _ in range(2):
        assert bytes(whole(shards)[::2].astype(np.uint8)) == b"abcdefgh"
    assert len(shards._open) == 2


def test_a_shard_may_be_opened_while_pages_are_given_back(shards, monkeypatch):
    """As another thread does that reads the same set."""
    shards.shard(0)
    shards.shard(1)
    monkeypatch.setattr(Shard, "release", lambda self: shards.shard(2))
    shards.release()
    assert sorted(shards._open) == [0, 1, 2]


def test_the_fingerprint_is_of_the_content(tmp_path, shards):
    same = write_shards(TEXTS, tokenizer(), tmp_path / "b", shard_bytes=3)
    write_shards(TEXTS[::-1], tokenizer(), tmp_path / "c", shard_bytes=3)
    assert same.complete
    assert ShardSet(tmp_path / "b").fingerprint == shards.fingerprint
    assert ShardSet(tmp_path / "c").fingerprint != shards.fingerprint


def test_the_fingerprint_of_an_array_sees_its_meaning():
    ids = np.array([1, 2, 2], np.uint16)
    kinds = [(ids, 2, 3), (ids, 2, 4), (ids.astype(np.uint32), 2, 3)]
    assert len({TokenArray(*kind).fingerprint for kind in kinds}) == 3


def test_another_tokenizer_is_refused(shards):
    ShardSet(shards.folder, tokenizer())
    with pytest.raises(ValueError, match="were made with the tokenizer"):
        ShardSet(shards.folder, tokenizer((END, "<|pad|>")))


def test_a_swapped_shard_is_found(shards):
    names = [shards.folder / entry["name"] for entry in shards.entries]
    names[1].write_bytes(names[0].read_bytes())
    again = ShardSet(shards.folder)
    with pytest.raises(ValueError, match=r"is not the file that index.json"):
        whole(again)


def test_verifying_names_the_damaged_shard(shards):
    path = shards.folder / shards.entries[1]["name"]
    raw = bytearray(path.read_bytes())
    raw[1024] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"shard-00001.tokens is damaged"):
        ShardSet(shards.folder).verify()


def test_a_missing_shard_is_named(shards):
    (shards.folder / shards.entries[2]["name"]).unlink()
    with pytest.raises(FileNotFoundError, match="shard-00002"):
        whole(ShardSet(shards.folder))


def test_a_folder_that_is_empty_or_unfinished_is_refused(shards, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no shards; run"):
        ShardSet(tmp_path / "nowhere")
    (shards.folder / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"4 shards and no index.json"):
        ShardSet(shards.folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shards": 3}'])
def test_a_damaged_index_is_refused(shards, content):
    (shards.folder / "index.json").write_text(content)
    with pytest.raises(ValueError, match=r"index.json is damaged"):
        ShardSet(shards.folder)


@pytest.mark.parametrize("tokens", [[], [1, 2]])
def test_an_array_must_end_with_the_mark(tokens):
    with pytest.raises(ValueError, match="must be the end of text, 9"):
        TokenArray(np.array(tokens, np.uint16), 9, 10)


def test_the_index_lists_what_a_reader_wants(shards):
    index = json.loads((shards.folder / "index.json").read_text())
    assert [entry["documents"] for entry in index["shards"]] == [1, 2, 1, 1]
    assert len({entry["sha256"] for entry in index["shards"]}) == 4

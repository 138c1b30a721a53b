"""A shard gives back what was written, or says why it cannot."""

import dataclasses
import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data import shards
from llm_from_scratch.data.shards import (
    HEADER,
    Shard,
    read_header,
    token_dtype,
    tokenizer_hash,
    write_shard,
)
from llm_from_scratch.tokenizer import Tokenizer

DOCUMENTS = st.lists(st.lists(st.integers(0, 70_000), max_size=40), max_size=20)
BYTES = {i: bytes([i]) for i in range(256)}


def arrays(documents):
    return [np.array(ids, np.uint32) for ids in documents]


@pytest.fixture
def shard(tmp_path):
    documents = arrays([[1, 2, 3], [], [4]])
    write_shard(tmp_path / "s", documents, vocab_size=10, end_of_text=9)
    return tmp_path / "s"


def test_a_shard_by_hand(shard):
    raw = shard.read_bytes()
    assert raw[:8] == b"LLMSHARD"
    assert raw[HEADER - 1 : HEADER] == b"\n"
    tokens = np.frombuffer(raw[HEADER : HEADER + 14], "<u2")
    assert tokens.tolist() == [1, 2, 3, 9, 9, 4, 9]
    assert raw[HEADER + 14 : HEADER + 16] == bytes(2)
    assert np.frombuffer(raw[HEADER + 16 :], "<i8").tolist() == [0, 4, 5, 7]
    header = json.loads(raw[8:HEADER])
    assert header["sha256"] == hashlib.sha256(raw[HEADER:]).hexdigest()
    assert (header["tokens"], header["documents"]) == (7, 3)


def test_one_line_of_numpy_reads_a_shard(shard):
    tokens = np.memmap(shard, "<u2", "r", offset=1024, shape=7)
    assert tokens.tolist() == Shard(shard).tokens.tolist()


@given(DOCUMENTS)
def test_documents_come_back(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("s") / "shard"
    options = {"vocab_size": 70_002, "end_of_text": 70_001}
    header = write_shard(path, arrays(documents), **options)
    shard = Shard(path)
    shard.verify()
    assert read_header(path) == header == shard.header
    back = [shard.document(i).tolist() for i in range(header.documents)]
    assert back == documents
    assert len(shard) == sum(map(len, documents)) + len(documents)


def test_blocks_do_not_show(tmp_path):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 500, n) for n in rng.integers(0, 60_000, 40)]
    write_shard(tmp_path / "s", documents, vocab_size=501, end_of_text=500)
    shard = Shard(tmp_path / "s")
    shard.verify()
    assert len(shard) > 2**19  # several blocks
    for i, ids in enumerate(documents):
        assert np.array_equal(shard.document(i), ids)


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(1, "<u2"), (65536, "<u2"), (65537, "<u4")]
)
def test_ids_take_two_bytes_where_they_can(vocab_size, dtype):
    assert token_dtype(vocab_size) == np.dtype(dtype)


@pytest.mark.parametrize("vocab_size", [0, -1, 2**32 + 1])
def test_impossible_vocabularies_are_refused(vocab_size):
    with pytest.raises(ValueError, match=f"got {vocab_size}"):
        token_dtype(vocab_size)


@pytest.mark.parametrize("bad", [70_000, 10])
def test_an_id_that_would_wrap_is_refused(tmp_path, bad):
    with pytest.raises(ValueError, match=f"id {bad} is outside"):
        write_shard(
            tmp_path / "s",
            arrays([[1], [2, bad]]),
            vocab_size=10,
            end_of_text=9,
        )
    assert list(tmp_path.iterdir()) == []


def test_negative_ids_are_refused(tmp_path):
    with pytest.raises(ValueError, match="id -1 is outside"):
        write_shard(
            tmp_path / "s", [np.array([-1])], vocab_size=10, end_of_text=9
        )


def test_a_header_that_does_not_fit_is_refused(tmp_path):
    options = {"vocab_size": 10, "end_of_text": 9}
    write_shard(tmp_path / "s", arrays([[1]]), **options, text="t" * 700)
    assert Shard(tmp_path / "s").tokens.tolist() == [1, 9]
    with pytest.raises(ValueError, match="does not fit into 1024"):
        write_shard(tmp_path / "t", arrays([[1]]), **options, text="t" * 900)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_writing_holds_a_block_and_not_the_shard(tmp_path):
    documents = (np.zeros(2**15, np.uint16) for _ in range(2**9))  # 32 MB
    tracemalloc.start()
    write_shard(tmp_path / "s", documents, vocab_size=2, end_of_text=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23
    assert len(Shard(tmp_path / "s")) == 2**24 + 2**9


def test_short_documents_are_written_in_long_blocks(tmp_path, monkeypatch):
    blocks, add = [], shards.ShardWriter.add

    def counted(self, ids, lengths):
        blocks.append(len(ids))
        add(self, ids, lengths)

    monkeypatch.setattr(shards.ShardWriter, "add", counted)
    documents = (np.zeros(2**12, np.uint16) for _ in range(2**8))
    write_shard(tmp_path / "s", documents, vocab_size=2, end_of_text=1)
    assert len(blocks) == 4
    assert sum(blocks) == 2**20 + 2**8


@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("s") / "shard"
    write_shard(path, arrays([[1, 2], [3]]), vocab_size=10, end_of_text=9)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(HEADER, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="does not have the checksum"):
        Shard(path).verify()


@given(st.integers(0, 1063))
def test_any_truncation_is_found_on_opening(tmp_path_factory, size):
    path = tmp_path_factory.mktemp("s") / "shard"
    write_shard(path, arrays([[1, 2], [3]]), vocab_size=10, end_of_text=9)
    raw = path.read_bytes()
    assert len(raw) == 1024 + 16 + 3 * 8
    path.write_bytes(raw[:size])
    with pytest.raises(ValueError, match=r"not a shard|damaged|cut short"):
        Shard(path)


def test_a_longer_file_is_found_on_opening(shard):
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"1073 bytes where .* 1072"):
        Shard(shard)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" * 400])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(ValueError, match="is not a shard: it begins with"):
        Shard(tmp_path / "s")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"version": 1', b'"version": 2', "format 2, this program reads 1"),
        (b'"tokens": 7', b'"tokens": x', "header of .* is damaged"),
        (b'"tokens": 7', b'"took_s": 7', "header of .* is damaged"),
        (b'"tokens": 7', b'"tokens":-7', "cut short or was changed"),
        (b'"version"', b'"\xff\xffrsion"', "header of .* is damaged"),
        (b'"vocab_size": 10', b'"vocab_size": -1', "header of .* is damaged"),
    ],
)
def test_a_damaged_header_is_told_apart(shard, old, new, message):
    raw = shard.read_bytes()
    assert old in raw
    shard.write_bytes(raw.replace(old, new))
    with pytest.raises(ValueError, match=message):
        Shard(shard)


def test_released_pages_are_read_again(shard):
    opened = Shard(shard)
    before = opened.tokens.tolist()
    opened.release()
    assert opened.tokens.tolist() == before


def test_tokens_cannot_be_written_to(shard):
    with pytest.raises(ValueError, match="read-only"):
        Shard(shard).tokens[0] = 1


def tokenizer(**changes):
    options = {"vocab": BYTES | {256: b"ab", 257: b"abc"}}
    options |= {"merges": [(b"a", b"b"), (b"ab", b"c")]}
    options |= {"special_tokens": {"<|endoftext|>": 258}}
    return Tokenizer(**options | changes)


def test_the_hash_of_a_tokenizer_survives_a_file(tmp_path):
    tokenizer().save_hf(tmp_path / "t.json")
    again = Tokenizer.from_hf(tmp_path / "t.json")
    assert tokenizer_hash(again) == tokenizer_hash(tokenizer())


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab": BYTES | {257: b"ab", 256: b"abc"}},
        {"merges": [(b"ab", b"c"), (b"a", b"b")]},
        {"merges": [(b"a", b"b")]},
        {"merges": None},
        {"special_tokens": {"<|endoftext|>": 259}},
        {"special_tokens": {"<|endoftexT|>": 258}},
        {"pattern": r"\s+|\S+"},
        {"ignore_merges": True},
    ],
)
def test_the_hash_sees_all_that_changes_ids(changes):
    assert tokenizer_hash(tokenizer(**changes)) != tokenizer_hash(tokenizer())


def test_the_hash_tells_special_tokens_from_others():
    vocab = BYTES | {256: b"ab", 257: b"abc", 258: b"<|e|>"}
    plain = tokenizer(vocab=vocab, special_tokens=None)
    special = tokenizer(special_tokens={"<|e|>": 258})
    assert plain.vocab == special.vocab
    assert tokenizer_hash(plain) != tokenizer_hash(special)


def test_the_hash_tells_no_merges_from_unlisted_ones():
    one = tokenizer(merges=[], ignore_merges=True)
    assert tokenizer_hash(one) != tokenizer_hash(tokenizer(merges=None))


def test_every_piece_of_a_large_shard_is_verified(shard, monkeypatch):
    monkeypatch.setattr(shards, "PIECE", 7)
    Shard(shard).verify()
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(ValueError, match="does not have the checksum"):
        Shard(shard).verify()


def test_the_header_holds_two_hashes_and_fits_its_kilobyte(tmp_path):
    header = write_shard(
        tmp_path / "s",
        [],
        vocab_size=2**32,
        end_of_text=2**32 - 1,
        tokenizer="f" * 64,
        text="e" * 64,
    )
    wide = dataclasses.replace(header, tokens=10**15, documents=10**12)
    assert len(wide.to_bytes()) == HEADER
    assert read_header(tmp_path / "s").tokenizer == "f" * 64

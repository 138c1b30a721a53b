"""The table of pieces counts what a Counter counts."""

import random
from collections import Counter

import numpy as np
import pytest

from llm_from_scratch.tokenizer.split import padded
from llm_from_scratch.tokenizer.table import (
    add_pieces,
    contents,
    copy_table,
    find_row,
    new_table,
    piece_key,
)


def added(table, items, value=1):
    """Add a list of bytes to a table."""
    sizes = np.array([len(item) for item in items])
    ends = np.cumsum(sizes)
    text, words = padded(int(ends[-1]))
    text[: ends[-1]] = np.frombuffer(b"".join(items), np.uint8)
    bounds = np.stack((ends - sizes, ends), 1)
    values = np.full(len(items), value, np.uint64)
    return add_pieces(table, words, bounds, values)


def as_dict(table):
    text, _, bounds, values = contents(table)
    raw = text.tobytes()
    return {
        raw[i:j]: int(v)
        for (i, j), v in zip(bounds.tolist(), values, strict=True)
    }


def test_counts_by_hand():
    assert as_dict(added(new_table(), [b"a", b"ab", b"a"])) == {
        b"a": 2,
        b"ab": 1,
    }


@pytest.mark.parametrize("alphabet", [b"a", b"\0a", b"ab", bytes(range(256))])
def test_counts_equal_counter(alphabet):
    items = [
        bytes(random.choices(alphabet, k=random.choice(range(1, 70))))
        for _ in range(20_000)
    ]
    assert as_dict(added(new_table(16), items)) == Counter(items)


def test_every_length_comes_back():
    items = [bytes(range(1, n + 1)) for n in range(1, 250)]
    assert as_dict(added(new_table(), items)) == dict.fromkeys(items, 1)


def test_zero_bytes_do_not_make_pieces_equal():
    items = [b"\0" * n for n in range(1, 40)]
    assert as_dict(added(new_table(), items)) == dict.fromkeys(items, 1)


def test_long_pieces_with_one_hash_are_told_apart():
    items = [b"x" * 20 + b"1", b"x" * 20 + b"2"]
    table = added(new_table(), items[:1])
    text, words = padded(21)
    text[:21] = np.frombuffer(items[1], np.uint8)
    row = np.flatnonzero(table.rows[:, 1])[0]
    # Pretend that the second piece hashes to the key of the first.
    key = table.rows[row, 0], table.rows[row, 1]
    assert find_row(table, words, 0, 21, *key) != row
    assert piece_key(words, 0, 21) != key


def test_merging_tables_adds_values():
    left = added(new_table(), [b"a", b"b" * 30])
    right = added(new_table(), [b"b" * 30, b"c"])
    assert as_dict(add_pieces(left, *contents(right)[1:])) == {
        b"a": 1,
        b"b" * 30: 2,
        b"c": 1,
    }


def test_a_copy_shares_nothing():
    table = added(new_table(), [b"a"])
    added(copy_table(table), [b"a", b"b"])
    assert as_dict(table) == {b"a": 1}


def test_empty_table_has_no_contents():
    assert as_dict(new_table()) == {}

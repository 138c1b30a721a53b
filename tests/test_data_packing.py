"""Every token of every document stands in one row, and none is full twice."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.bins import best_fit
from llm_from_scratch.data.packing import (
    plan_rows,
    restart_positions,
    waste,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)
WAYS = ["cut", "pad", "fit"]


def bounds(lengths):
    return np.cumsum([0, *lengths])


def rows_of(plan):
    return [
        [
            (int(plan.starts[j]), int(plan.lengths[j]))
            for j in range(plan.first[i], plan.first[i + 1])
        ]
        for i in range(len(plan))
    ]


def test_three_ways_by_hand():
    starts = bounds([3, 2, 6])  # rows of 4
    assert rows_of(plan_rows(starts, 4, "cut")) == [
        [(0, 3), (3, 1)],
        [(4, 1), (5, 3)],
        [(8, 3)],
    ]
    pad = [[(0, 3)], [(3, 2)], [(5, 4)], [(9, 2)]]
    assert rows_of(plan_rows(starts, 4, "pad")) == pad
    fit = [[(5, 4)], [(0, 3)], [(3, 2), (9, 2)]]
    assert rows_of(plan_rows(starts, 4, "fit")) == fit


def test_waste_by_hand():
    starts = bounds([3, 2, 6])
    found = {w: waste(plan_rows(starts, 4, w), starts) for w in WAYS}
    assert [found[w].rows for w in WAYS] == [3, 4, 3]
    assert [found[w].padding for w in WAYS] == pytest.approx(
        [1 / 12, 5 / 16, 1 / 12]
    )
    assert [found[w].cut for w in WAYS] == [0.5, 0, 0]  # the 2nd of 2


@given(LENGTHS, st.integers(1, 50), st.sampled_from(WAYS))
def test_every_token_stands_in_one_row(lengths, context, way):
    plan = plan_rows(bounds(lengths), context, way)
    places = np.concatenate(
        [np.arange(s, s + n) for row in rows_of(plan) for s, n in row]
    )
    assert np.array_equal(np.sort(places), np.arange(sum(lengths)))
    assert (plan.filled <= context).all()
    assert (plan.filled > 0).all()
    assert len(plan.filled) == len(plan)


@given(LENGTHS, st.integers(1, 50), st.sampled_from(WAYS))
def test_no_piece_crosses_a_document(lengths, context, way):
    starts = bounds(lengths)
    plan = plan_rows(starts, context, way)
    owner = np.searchsorted(starts, plan.starts, "right")
    last = np.searchsorted(starts, plan.starts + plan.lengths - 1, "right")
    assert np.array_equal(owner, last)


@given(LENGTHS, st.integers(1, 50), st.sampled_from(["pad", "fit"]))
def test_only_documents_longer_than_a_row_are_cut(lengths, context, way):
    plan = plan_rows(bounds(lengths), context, way)
    assert waste(plan, bounds(lengths)).cut == 0
    assert len(plan.starts) == sum(-(-n // context) for n in lengths)


@given(LENGTHS, st.integers(1, 50))
def test_cutting_fills_every_row_but_the_last(lengths, context):
    plan = plan_rows(bounds(lengths), context, "cut")
    assert (plan.filled[:-1] == context).all()
    assert len(plan) == -(-sum(lengths) // context)


@given(st.lists(st.integers(1, 30), max_size=40))
def test_best_fit_takes_the_fullest_row(lengths):
    """Against the definition: look at all rows for every piece."""
    sizes = np.array(lengths, np.int64)
    space, expected = [], np.empty(len(sizes), np.int64)
    for piece in np.argsort(-sizes, kind="stable"):
        fits = [(s, r) for r, s in enumerate(space) if s >= sizes[piece]]
        row = min(fits)[1] if fits else len(space)
        if not fits:
            space.append(30)
        space[row] -= sizes[piece]
        expected[piece] = row
    rows = best_fit(sizes, 30)
    # Equal spaces may be taken in another order; the fill is the same.
    fill = lambda r: sorted(np.bincount(r, sizes).tolist())  # noqa: E731
    assert fill(rows) == fill(expected)


@given(st.lists(st.integers(1, 100), min_size=1))
def test_best_fit_needs_at_most_its_known_bound(lengths):
    sizes = np.array(lengths, np.int64)
    rows = best_fit(sizes, 100).max() + 1
    assert rows <= 11 / 9 * -(-sizes.sum() // 100) * 2  # never twice as many
    assert (np.bincount(best_fit(sizes, 100), sizes) <= 100).all()


def test_positions_restart_with_the_document():
    ids = torch.tensor([[0, 0, 1, 1, 1, -1], [3, 4, 4, 5, 5, 5]])
    assert restart_positions(ids).tolist() == [
        [0, 1, 0, 1, 2, 0],
        [0, 0, 1, 0, 1, 2],
    ]
    assert restart_positions(ids[:, :1]).tolist() == [[0], [0]]


def test_errors_name_the_value():
    with pytest.raises(ValueError, match=r"context must be .* got 0"):
        plan_rows(bounds([1]), 0, "cut")
    with pytest.raises(ValueError, match="a piece of 5 does not fit into 4"):
        best_fit(np.array([1, 5]), 4)

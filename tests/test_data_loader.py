"""A batch is a function of its step, and every token has its turn."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data.batch import Batch, get_batch
from llm_from_scratch.data.loader import TokenLoader, fetch_ahead
from llm_from_scratch.data.shard_set import ShardSet, TokenArray
from llm_from_scratch.data.write import write_shards
from llm_from_scratch.model import ModelConfig, TransformerLM
from llm_from_scratch.model.attention import document_mask
from llm_from_scratch.tokenizer import Tokenizer

END = 9999
WAYS = ["cut", "pad", "fit"]
LENGTHS = st.lists(st.integers(1, 20), min_size=8, max_size=40)


def source(lengths, first=0):
    """Documents whose tokens count upwards, so that each is known again."""
    ids = np.full(sum(lengths), END, np.uint16)
    starts = np.cumsum([0, *lengths])
    ids[: len(ids)] = first + np.arange(len(ids))
    ids[starts[1:] - 1] = END
    return TokenArray(ids, END, END + 1)


def loader(lengths=(7, 12, 3, 9, 20, 5, 30, 14), **options):
    return TokenLoader(
        source(list(lengths)), **{"batch_size": 4, "context": 8} | options
    )


def same(a, b):
    return all(
        torch.equal(x, y)
        for x, y in (
            (a.input_ids, b.input_ids),
            (a.targets, b.targets),
            (a.document_ids, b.document_ids),
        )
    )


def epoch(one):
    """All rows of the first epoch, as one batch."""
    rows = one.rows["all"]
    parts = rows.read(np.arange(rows.num_rows))
    return Batch(*map(torch.from_numpy, parts))


def test_targets_follow_inputs_by_hand():
    batch = loader([5, 5, 6], batch_size=2).batch(0)
    assert batch.input_ids.shape == batch.targets.shape == (2, 8)
    assert batch.input_ids.dtype == batch.targets.dtype == torch.int64
    assert torch.equal(batch.input_ids[:, 1:], batch.targets[:, :-1])
    circle = [0, 1, 2, 3, END, 5, 6, 7, 8, END, 10, 11, 12, 13, 14, END]
    for row, last in zip(batch.input_ids, batch.targets[:, -1], strict=True):
        start = next(
            i
            for i in range(16)
            if [circle[(i + k) % 16] for k in range(8)] == row.tolist()
        )
        assert last == circle[(start + 8) % 16]


@given(LENGTHS, st.sampled_from(WAYS), st.integers(0, 5))
def test_an_epoch_asks_for_every_token_once(lengths, way, seed):
    one = loader(lengths, packing=way, seed=seed)
    targets = epoch(one).targets
    counted = targets[targets >= 0].numpy()
    tokens = one.rows["all"].source.tokens
    missing = len(tokens) - len(counted)
    assert 0 <= missing < (8 if way == "cut" else 1)
    _, times = np.unique(counted[counted != END], return_counts=True)
    assert (times == 1).all()
    if way != "cut":
        assert np.array_equal(np.sort(counted), np.sort(tokens))


@given(LENGTHS, st.sampled_from(WAYS))
def test_each_row_has_something_to_learn(lengths, way):
    targets = epoch(loader(lengths, packing=way)).targets
    assert (targets >= 0).any(1).all()
    assert targets.max() <= END


@given(LENGTHS, st.sampled_from(WAYS))
def test_a_document_reads_its_mark_first_and_only_itself(lengths, way):
    """Whatever the packing, the sequence that a target sees is its own."""
    one = loader(lengths, packing=way, mask_documents=True)
    batch, tokens = epoch(one), one.rows["all"].source.tokens
    ids = batch.document_ids
    for row in range(len(ids)):
        for number in set(ids[row].tolist()) - {-1}:
            here = ids[row] == number
            x, y = batch.input_ids[row][here], batch.targets[row][here]
            assert torch.equal(x[1:], y[:-1])
            assert (x[1:] != END).all()
            if x[0] == END and y[0] != END:  # the first token of a document
                at = int(np.flatnonzero(tokens == int(y[0]))[0])
                assert at == 0 or tokens[at - 1] == END
        pad = ids[row] == -1
        assert (batch.targets[row][pad] == -100).all()
        assert (batch.targets[row][~pad] >= 0).all()


def test_masked_documents_do_not_read_each_other():
    """Row by row, the model gives what it gives to each document alone."""
    config = ModelConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model = TransformerLM(config).eval()
    tokens = np.random.default_rng(0).integers(0, 63, 60).astype(np.uint16)
    tokens[[6, 13, 15, 29, 40, 59]] = 63
    for way in WAYS:
        one = TokenLoader(
            TokenArray(tokens, 63, 64),
            batch_size=2,
            context=20,
            packing=way,
            mask_documents=True,
        )
        batch = one.batch(0)
        whole = model(
            batch.input_ids,
            positions=batch.positions,
            mask=document_mask(batch.document_ids),
        )
        for row, ids in enumerate(batch.document_ids):
            for number in ids.unique():
                here = ids == number
                alone = model(batch.input_ids[row][here][None])
                torch.testing.assert_close(whole[row][here], alone[0])


@pytest.mark.parametrize("way", WAYS)
def test_epochs_differ_in_order_and_cut(way):
    one = loader([13] * 40, packing=way, seed=1)
    rows = one.rows["all"]
    n = rows.num_rows
    first, second = (rows.read(np.arange(k * n, k * n + n))[1] for k in (0, 1))
    assert not np.array_equal(first, second)
    sets = [{tuple(r) for r in part.tolist()} for part in (first, second)]
    assert (sets[0] == sets[1]) == (way != "cut")


def test_an_epoch_is_a_permutation_and_no_sample_with_replacement():
    one = loader([10] * 100, batch_size=5, context=10)
    rows = one.rows["all"].num_rows
    seen = [
        tuple(r)
        for s in range(rows // 5)
        for r in one.batch(s).targets.tolist()
    ]
    assert rows == 100
    assert len(set(seen)) == 100


@given(
    st.sampled_from([1, 2, 3, 4, 6, 12]),
    st.integers(0, 40),
    st.sampled_from(WAYS),
)
def test_ranks_share_the_batch(world_size, step, way):
    options = {"batch_size": 12, "packing": way, "mask_documents": True}
    whole = loader(**options).batch(step)
    parts = [
        loader(**options, rank=r, world_size=world_size).batch(step)
        for r in range(world_size)
    ]
    joined = Batch(
        torch.cat([p.input_ids for p in parts]),
        torch.cat([p.targets for p in parts]),
        torch.cat([p.document_ids for p in parts]),
    )
    assert same(whole, joined)


@settings(max_examples=20)
@given(st.integers(0, 30), st.integers(0, 3), st.sampled_from([(1, 4), (4, 2)]))
def test_a_state_goes_on_with_the_next_batch(steps, prefetch, worlds):
    """Stop after any step, go on with other ranks: bitwise the same."""
    options = {"batch_size": 8, "mask_documents": True, "prefetch": prefetch}
    straight = loader(**options)
    expected = [straight.batch(s) for s in range(steps + 3)]
    before, after = worlds
    first = loader(**options, world_size=before)
    for _ in itertools.islice(first, steps):
        pass
    state = first.state_dict()
    assert state["step"] == steps
    for rank in range(after):
        again = loader(**options, rank=rank, world_size=after)
        again.load_state_dict(state)
        share = slice(rank * 8 // after, (rank + 1) * 8 // after)
        for wanted, batch in zip(expected[steps:], again, strict=False):
            assert torch.equal(wanted.input_ids[share], batch.input_ids)
            assert torch.equal(wanted.targets[share], batch.targets)
            assert torch.equal(wanted.document_ids[share], batch.document_ids)


def test_a_state_survives_json(tmp_path):
    import json

    one = loader()
    next(iter(one))
    again = loader()
    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert again.step == 1
    assert again.fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"batch_size": 8}, "batch_size: 4 -> 8"),
        ({"context": 4}, "context: 8 -> 4"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"packing": "fit"}, "packing: 'cut' -> 'fit'"),
        ({"mask_documents": True}, "mask_documents: False -> True"),
        ({"lengths": (50, 50)}, "sources.all.content: "),
    ],
)
def test_a_state_of_other_batches_is_refused(change, line):
    other = loader(**change)
    with pytest.raises(ValueError, match=f"another loader: {line}"):
        other.load_state_dict(loader().state_dict())
    assert other.step == 0
    assert other.fingerprint != loader().fingerprint


def test_the_order_of_sources_is_part_of_the_state():
    """The same names, weights and content in another order: other rows."""
    pair = {"a": (source([50]), 1.0), "b": (source([50], 5000), 1.0)}
    swapped = dict(reversed(pair.items()))
    one, two = (
        TokenLoader(s, batch_size=4, context=8) for s in (pair, swapped)
    )
    assert not torch.equal(one.batch(0).targets, two.batch(0).targets)
    assert one.fingerprint != two.fingerprint
    with pytest.raises(ValueError, match="another loader: order"):
        two.load_state_dict(one.state_dict())


def test_sources_are_mixed_by_weight():
    sources = {
        "a": (source([100]), 3),
        "b": (source([50, 50], first=5000), 1.0),
    }
    one = TokenLoader(sources, batch_size=16, context=10)
    batches = [one.batch(s) for s in range(64)]  # one block of 1024 rows
    first = torch.cat(
        [b.targets.masked_fill(b.targets == END, -1).amax(1) for b in batches]
    )
    assert (first >= 5000).sum() == 256
    assert one.epochs(64) == {"a": 76.8, "b": 25.6}
    assert one.epochs(0) == {"a": 0.0, "b": 0.0}
    assert one.tokens_per_step == 160


def test_each_source_of_a_mix_is_read_without_replacement():
    sources = {
        "a": (source([10] * 60), 1.0),
        "b": (source([10] * 400, first=1000), 1.0),
    }
    one = TokenLoader(sources, batch_size=8, context=10)
    rows = [tuple(r) for s in range(128) for r in one.batch(s).targets.tolist()]
    from_b = [row for row in rows if max(t for t in row if t != END) >= 1000]
    assert len(from_b) == 512
    assert len(set(from_b[:400])) > 390  # one epoch; its cut repeats a few


def test_seeds_and_sources_have_orders_of_their_own():
    first, second = (loader(seed=s).batch(0).targets for s in (0, 1))
    assert not torch.equal(first, second)
    twins = {name: (source([10] * 60), 1.0) for name in "ab"}
    one = TokenLoader(twins, batch_size=8, context=10)
    a, b = (rows.read(np.arange(60))[:2] for rows in one.rows.values())
    assert not np.array_equal(a, b)
    other = TokenLoader(twins, batch_size=8, context=10, seed=1)
    mixed = [x.mixture(np.arange(1024))[0] for x in (one, other)]
    assert not np.array_equal(*mixed)


def test_shards_and_memory_give_the_same_batches(tmp_path):
    known = Tokenizer(
        {i: bytes([i]) for i in range(256)}, [], ["<|endoftext|>"]
    )
    texts = [f"text number {i} " * (i % 5 + 1) for i in range(60)]
    write_shards(texts, known, tmp_path, shard_bytes=200)
    shards = ShardSet(tmp_path, known)
    memory = TokenArray(shards.window(0, len(shards)), 256, 257)
    for way in WAYS:
        a, b = (
            TokenLoader(s, batch_size=4, context=16, packing=way)
            for s in (shards, memory)
        )
        for step in range(20):
            assert torch.equal(a.batch(step).targets, b.batch(step).targets)


def test_the_batches_are_fixed_for_good():
    found = loader(batch_size=2).batch(3).targets.tolist()
    assert found == [
        [29, 9999, 31, 32, 33, 34, 35, 36],
        [45, 46, 47, 48, 49, 9999, 51, 52],
    ]


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_fetching_ahead_changes_nothing(depth):
    ahead = fetch_ahead(lambda step: step * step, 3, depth)
    assert list(itertools.islice(ahead, 9)) == [s * s for s in range(3, 12)]
    ahead.close()


def test_a_thread_fetches_while_the_caller_works():
    done = []

    def slow(step):
        done.append(step)
        return step

    ahead = fetch_ahead(slow, 0, 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(done) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert done == [0, 1, 2, 3, 4]  # given, three waiting, one in hand
    ahead.close()


def test_the_thread_ends_with_the_iterator():
    before = threading.active_count()
    ahead = iter(loader())
    next(ahead)
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [0, 2])
def test_an_error_of_the_thread_reaches_the_caller(depth):
    def broken(step):
        if step == 2:
            raise OSError("shard went away")
        return step

    ahead = fetch_ahead(broken, 0, depth)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(OSError, match="shard went away"):
        next(ahead)


def test_the_state_counts_what_was_handed_out():
    one = loader(prefetch=4)
    batches = iter(one)
    for _ in range(3):
        next(batches)
    time.sleep(0.05)  # the thread has fetched more by now
    assert one.state_dict()["step"] == 3
    assert torch.equal(next(iter(one)).targets, one.batch(3).targets)


def test_a_batch_moves_as_a_whole():
    batch = loader(mask_documents=True).batch(0)
    moved = batch.to("meta", non_blocking=True)
    devices = {
        t.device.type
        for t in (moved.input_ids, moved.targets, moved.document_ids)
    }
    assert devices == {"meta"}
    assert loader().batch(0).to("meta").document_ids is None
    assert loader().batch(0).positions is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_pinned_batches_reach_the_gpu():
    one = loader(mask_documents=True, pin_memory=True)
    batch = one.batch(0)
    assert batch.input_ids.is_pinned()
    moved = batch.to("cuda", non_blocking=True)
    torch.cuda.synchronize()
    assert torch.equal(moved.targets.cpu(), loader().batch(0).targets)


def test_random_windows_reach_both_ends():
    data = np.arange(30, dtype=np.uint16)
    x, y = get_batch(data, 500, 7, "cpu")
    assert torch.equal(y, x + 1)
    assert x.shape == (500, 7)
    assert x.dtype == y.dtype == torch.int64
    assert [x[:, 0].min(), x[:, 0].max()] == [0, 22]
    assert get_batch(data, 1, 7, "meta")[0].device.type == "meta"


def test_errors_name_the_value():
    with pytest.raises(ValueError, match="30 tokens hold no window of 30"):
        get_batch(np.arange(30), 1, 30, "cpu")
    with pytest.raises(ValueError, match="7 tokens do not fill one row of 8"):
        loader([7])
    with pytest.raises(ValueError, match="4 rows cannot be shared by 3 ranks"):
        loader(world_size=3)
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        loader(rank=2, world_size=2)
    with pytest.raises(ValueError, match="steps begin at 0, got -1"):
        loader().batch(-1)
    with pytest.raises(ValueError, match="a batch of 0 rows"):
        loader(batch_size=0)
    with pytest.raises(ValueError, match=r"prefetch must be .* got -1"):
        next(iter(loader(prefetch=-1)))

"""The cache of keys and values, and positions and masks of padded texts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llm_from_scratch.infer.cache import (
    KVCache,
    padded_mask,
    padded_positions,
)
from llm_from_scratch.infer.generation import pad_left
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from tests.model_reference import CASES, case, ids_for, our_copy, their_model

SIZES = ModelConfig(
    vocab_size=5,
    hidden_size=24,
    intermediate_size=8,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=3,
    head_dim=4,
)


def pieces(batch, length, seed):
    """New keys and values; no two entries are equal."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, batch, 3, length, 4)
    return torch.randn(shape, generator=generator).unbind()


def fill(cache, seed, *lengths):
    """Put pieces of these lengths into every layer; return what they were."""
    written = []
    for number, length in enumerate(lengths):
        for layer in range(2):
            k, v = pieces(2, length, 100 * seed + 10 * number + layer)
            cache.update(layer, k, v)
            written.append((layer, k, v))
    return written


# ---- by hand


def test_positions_and_mask_by_hand():
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]).bool()
    assert padded_positions(real, 4).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert padded_positions(real, 1).tolist() == [[1], [3]]
    mask = padded_mask(real, 4)
    assert mask.shape == (2, 1, 4, 4)
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0],  # padding sees itself only
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 1, 1],
    ]
    assert torch.equal(mask[1, 0], torch.ones(4, 4).tril().bool())
    assert torch.equal(padded_mask(real, 2), mask[:, :, 2:])


def test_new_ones_stand_behind_old_ones():
    cache = KVCache(SIZES, 2, 7)
    written = fill(cache, 1, 3, 1, 2)
    assert cache.length == 6
    k, v = pieces(2, 1, 999)
    keys, values = cache.update(1, k, v)
    mine = [w for w in written if w[0] == 1] + [(1, k, v)]
    assert torch.equal(keys, torch.cat([w[1] for w in mine], 2))
    assert torch.equal(values, torch.cat([w[2] for w in mine], 2))


def test_length_moves_on_with_the_last_layer():
    cache = KVCache(SIZES, 2, 7)
    k, v = pieces(2, 3, 0)
    keys, _ = cache.update(0, k, v)
    assert keys.shape == (2, 3, 3, 4)
    assert cache.length == 0
    cache.update(1, k, v)
    assert cache.length == 3


# ---- against reference


@pytest.mark.parametrize("each", CASES, ids=str)
@pytest.mark.parametrize("cuts", [(1,), (4, 5, 6), (7, 11)])
def test_in_pieces_equals_in_one_go(each, cuts):
    theirs = their_model(each, torch.float64)
    model, ids = our_copy(theirs, each), ids_for(each.config, 2, 12)
    whole = model(ids)
    cache = KVCache.like(model, 2, 12)
    found = [model(part, cache=cache) for part in ids.tensor_split(cuts, 1)]
    assert cache.length == 12
    assert_close(torch.cat(found, 1), whole, rtol=1e-9, atol=1e-10)


def test_a_padded_batch_equals_each_text_alone():
    each = CASES[1]
    model = our_copy(their_model(each, torch.float64), each)
    texts = [ids_for(each.config, 1, n, seed=n)[0].tolist() for n in (3, 7, 1)]
    ids, real = pad_left(texts, 0)
    for chunks in ([7], [4, 7], [1, 2, 3, 4, 5, 6, 7]):
        cache, found, start = KVCache.like(model, 3, 7), [], 0
        for end in chunks:
            new, seen = end - start, real[:, :end]
            where = padded_positions(seen, new)
            mask = padded_mask(seen, new)
            logits = model(
                ids[:, start:end], cache=cache, positions=where, mask=mask
            )
            found.append(logits)
            start = end
        logits = torch.cat(found, 1)
        assert logits.isfinite().all()  # of padding as well
        for row, text in enumerate(texts):
            alone = model(torch.tensor([text]))[0]
            assert_close(logits[row, -len(text) :], alone)


# ---- properties


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 9))
def test_what_may_be_read(lengths, num_new):
    longest = max(lengths)
    num_new = min(num_new, longest)
    _, real = pad_left([[7] * n for n in lengths], 0)
    where, mask = padded_positions(real, num_new), padded_mask(real, num_new)
    for row, n in enumerate(lengths):
        for i in range(num_new):
            t = longest - num_new + i
            first = longest - n
            assert where[row, i] == max(0, t - first)
            allowed = set(range(first, t + 1)) | {t}
            assert set(mask[row, 0, i].nonzero()[:, 0].tolist()) == allowed


def test_a_cache_takes_its_memory_once():
    cache = KVCache(SIZES, 2, 9)
    before = cache.keys.data_ptr(), cache.values.data_ptr()
    k, v = pieces(2, 4, 0)
    for _ in range(2):
        for layer in range(2):
            keys, values = cache.update(layer, k, v)
            assert keys.data_ptr() == cache.keys[layer].data_ptr()
            assert values.data_ptr() == cache.values[layer].data_ptr()
    assert (cache.keys.data_ptr(), cache.values.data_ptr()) == before


def test_reset_forgets_every_token():
    cache = KVCache(SIZES, 2, 4)
    fill(cache, 1, 4)
    cache.reset()
    assert cache.length == 0
    k, v = pieces(2, 2, 5)
    keys, values = cache.update(0, k, v)
    assert torch.equal(keys, k)
    assert torch.equal(values, v)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_like_a_model(dtype):
    each = case("gqa", num_key_value_heads=2, num_hidden_layers=3)
    model = TransformerLM(each.config).to(dtype)
    cache = KVCache.like(model, 5, 6)
    assert cache.keys.shape == cache.values.shape == (3, 5, 2, 6, 8)
    assert cache.keys.dtype == cache.values.dtype == dtype
    assert cache.max_length == 6
    assert KVCache.like(model.to("meta"), 5, 6).keys.device.type == "meta"


# ---- edges


def test_no_texts_and_a_full_cache():
    cache = KVCache(SIZES, 0, 4)
    keys, _ = cache.update(0, *pieces(0, 4, 0))
    assert keys.shape == (0, 3, 4, 4)
    cache = KVCache(SIZES, 2, 4)
    fill(cache, 0, 1, 3)
    assert cache.length == cache.max_length == 4


def test_default_is_float32():
    assert KVCache(SIZES, 1, 1).keys.dtype == torch.float32


# ---- error messages


def test_too_many_tokens():
    cache = KVCache(SIZES, 2, 4)
    fill(cache, 0, 3)
    with pytest.raises(
        ValueError,
        match="2 tokens for each of 2 texts do not fit: the cache holds 3 of "
        "4 tokens for 2 texts; make a larger one, or reset it",
    ):
        cache.update(0, *pieces(2, 2, 0))
    assert cache.length == 3


def test_another_batch():
    cache = KVCache(SIZES, 2, 4)
    with pytest.raises(ValueError, match="each of 1 texts do not fit"):
        cache.update(0, *pieces(1, 1, 0))


@pytest.mark.parametrize("sizes", [(-1, 4), (1, 0)])
def test_sizes_that_hold_nothing(sizes):
    with pytest.raises(
        ValueError, match=f"a cache for {sizes[0]} texts of {sizes[1]} tokens"
    ):
        KVCache(SIZES, *sizes)

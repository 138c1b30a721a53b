"""The compiled decoder against `generate`, its memory, and bad input.

Compiling takes seconds, so most tests run the same decoder uncompiled.
"""

import copy
import dataclasses
import os

import pytest
import torch
from clean_process import in_clean_process
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llm_from_scratch.infer import compiled
from llm_from_scratch.infer.compiled import (
    CompiledDecoder,
    StaticCache,
    has_cpp_compiler,
    static_mask,
)
from llm_from_scratch.infer.generation import generate, pad_left
from tests.model_reference import (
    CASES,
    GQA,
    QWEN,
    TEXTS,
    ids_for,
    our_copy,
    their_model,
)


def model_of(case=GQA):
    return our_copy(their_model(case), case).eval()


@pytest.fixture
def uncompiled(monkeypatch):
    """Let decoders run as they are written."""
    monkeypatch.setattr(torch, "compile", lambda function, **more: function)
    monkeypatch.setattr(compiled, "has_cpp_compiler", lambda: True)


# ---- by hand


def test_mask_by_hand():
    mask = static_mask(torch.tensor([2, 3]), torch.tensor([[0], [3]]), 5)
    assert mask.shape == (2, 1, 2, 5)
    assert mask[0, 0].int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    assert mask[1, 0].int().tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]


def test_cache_writes_its_slots_and_returns_everything():
    keys = [torch.zeros(2, 1, 5, 3) for _ in range(2)]
    values = [torch.zeros(2, 1, 5, 3) for _ in range(2)]
    cache = StaticCache(keys, values, torch.tensor([3, 1]))
    k, v = torch.randn(2, 2, 1, 2, 3).unbind()
    a, b = cache.update(1, k, v)
    assert a is keys[1]
    assert b is values[1]
    assert torch.equal(a[:, :, [3, 1]], k)
    assert torch.equal(b[:, :, [3, 1]], v)
    assert not a[:, :, [0, 2, 4]].any()
    assert not keys[0].any()
    assert not values[0].any()


# ---- against reference


def compiled_float32():
    torch.set_num_threads(1)
    ids, real = pad_left(TEXTS, 0)
    model = model_of(QWEN)
    decoder = CompiledDecoder(model, 4, 30, dtype=torch.float32)
    assert decoder.step != decoder.logits  # it was compiled
    for more in (
        {"attention_mask": real},
        {},
        {"attention_mask": real, "eos_token_id": 3, "pad_token_id": 9},
        {"temperature": 1.0, "top_k": 20, "top_p": 0.9},
    ):
        draw = torch.Generator().manual_seed(1)
        a = decoder.generate(ids, 20, generator=draw, **more)
        draw = torch.Generator().manual_seed(1)
        b = generate(model, ids, 20, generator=draw, **more)
        assert torch.equal(a, b), more
        assert len(a[:, 7:].unique()) > 6


def compiled_bfloat16():  # after the other: each has its own code
    torch.set_num_threads(1)
    model = model_of()
    decoder = CompiledDecoder(model, 2, 12)
    narrow = copy.deepcopy(model).bfloat16()
    ids = ids_for(GQA.config, 2, 6)
    with torch.no_grad():
        exact = model(ids)[:, -1]
        plain = narrow(ids)[:, -1].float()
        starts = torch.zeros(2, 1, dtype=torch.long)
        decoder.logits(ids[:, :5], torch.arange(5), starts)
        fast = decoder.step(ids[:, 5:], torch.tensor([5]), starts).float()
    error = (plain - exact).norm()
    assert 0 < (fast - exact).norm() < 1.5 * error


@pytest.mark.slow
def test_what_is_compiled_in_both_precisions(tmp_path):
    in_clean_process(tmp_path, compiled_float32, compiled_bfloat16)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kind_of_model_equals_generate(case):
    model = model_of(case)
    ids, real = pad_left(TEXTS, 0)
    decoder = CompiledDecoder(model, 4, 27, dtype=torch.float32)
    for mask in (None, real):
        a = decoder.generate(ids, 20, attention_mask=mask)
        assert torch.equal(a, generate(model, ids, 20, attention_mask=mask))


# ---- properties


@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=3),
    st.lists(st.integers(0, 7), min_size=1, max_size=4),
)
def test_what_may_be_read(starts, slots):
    mask = static_mask(torch.tensor(slots), torch.tensor(starts)[:, None], 8)
    for row, first in enumerate(starts):
        for i, place in enumerate(slots):
            allowed = set(range(first, place + 1)) | {place}
            assert set(mask[row, 0, i].nonzero()[:, 0].tolist()) == allowed


@pytest.mark.usefixtures("uncompiled")
def test_nothing_is_left_of_the_texts_before():
    model = model_of()
    decoder = CompiledDecoder(model, 2, 40, dtype=torch.float32)
    long = ids_for(GQA.config, 2, 20, seed=1)
    decoder.generate(long, 20)
    for length in (1, 5):
        short = ids_for(GQA.config, 2, length, seed=2)
        expected = generate(model, short, 8)
        assert torch.equal(decoder.generate(short, 8), expected)


@pytest.mark.usefixtures("uncompiled")
def test_later_changes_of_the_model_do_not_reach_it():
    model = model_of()
    ids = ids_for(GQA.config, 2, 4)
    decoder = CompiledDecoder(model, 2, 12, dtype=torch.float32)
    before = generate(model, ids, 8)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(-1.3)
    assert torch.equal(decoder.generate(ids, 8), before)
    assert not torch.equal(generate(model, ids, 8), before)


@pytest.mark.usefixtures("uncompiled")
def test_the_model_itself_stays_as_it_was():
    model = model_of()
    before = copy.deepcopy(model.state_dict())
    decoder = CompiledDecoder(model, 2, 12)
    decoder.generate(ids_for(GQA.config, 2, 4), 8)
    for name, p in model.named_parameters():
        assert p.dtype == torch.float32
        assert p.requires_grad
        assert torch.equal(p, before[name])
    assert not any(p.requires_grad for p in decoder.model.parameters())
    assert {p.dtype for p in decoder.model.parameters()} == {torch.bfloat16}


def test_every_token_but_the_prompt_runs_in_one_shape(monkeypatch):
    shapes = []

    def spy(function, **options):
        assert options == {"fullgraph": True, "dynamic": False}

        def run(*args):
            # Other strides would be compiled for again, unfrozen.
            assert all(x.is_contiguous() for x in args)
            assert {x.dtype for x in args} == {torch.long}
            shapes.append([tuple(x.shape) for x in args])
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", spy)
    monkeypatch.setattr(compiled, "has_cpp_compiler", lambda: True)
    decoder = CompiledDecoder(model_of(), 2, 12, dtype=torch.float32)
    assert len(shapes) == 1  # compiled when made, not at the first token
    for length in (1, 4, 7):
        decoder.generate(ids_for(GQA.config, 2, length), 5)
    assert shapes == [[(2, 1), (1,), (2, 1)]] * (1 + 3 * 4)


def test_options_of_the_compiler_are_set_only_while_it_compiles(monkeypatch):
    import torch._inductor.config as options

    def spy(function, **more):
        def run(*args):
            seen.append((options.freezing, options.cpp_wrapper))
            return function(*args)

        return run

    seen, before = [], (options.freezing, options.cpp_wrapper)
    monkeypatch.setattr(torch, "compile", spy)
    monkeypatch.setattr(compiled, "has_cpp_compiler", lambda: True)
    CompiledDecoder(model_of(), 1, 4)
    assert seen == [(True, True)]
    assert (options.freezing, options.cpp_wrapper) == before


# ---- edges


@pytest.mark.usefixtures("uncompiled")
def test_one_place_one_token_and_none():
    model = model_of()
    decoder = CompiledDecoder(model, 1, 1, dtype=torch.float32)
    ids = torch.tensor([[5]])
    assert torch.equal(decoder.generate(ids, 0), ids)
    limit = GQA.config.max_position_embeddings
    decoder = CompiledDecoder(model, 1, limit, dtype=torch.float32)
    out = decoder.generate(ids, limit - 1)
    assert torch.equal(out, generate(model, ids, limit - 1))
    assert torch.equal(decoder.generate(ids, 1), out[:, :2])
    prompt = out[:, : limit - 1]
    assert torch.equal(decoder.generate(prompt, 1), out)


@pytest.mark.usefixtures("uncompiled")
def test_ends_and_padding():
    model = model_of()
    ids, real = pad_left(TEXTS, 0)
    free = generate(model, ids, 12, attention_mask=real)
    ends = [free[0, 9].item(), free[2, 11].item()]
    decoder = CompiledDecoder(model, 4, 20, dtype=torch.float32)
    for eos in (ends[0], ends, [int(x) for x in free[:, 8]]):
        more = {"attention_mask": real, "eos_token_id": eos, "pad_token_id": 1}
        a = decoder.generate(ids, 12, **more)
        assert torch.equal(a, generate(model, ids, 12, **more))
    assert a.shape[1] < 19  # the last of them ended all


def test_without_a_compiler_it_warns_and_works(monkeypatch):
    monkeypatch.setattr(compiled, "has_cpp_compiler", lambda: False)
    model = model_of()
    with pytest.warns(UserWarning, match="no C.. compiler .* install g.. or"):
        decoder = CompiledDecoder(model, 1, 12, dtype=torch.float32)
    ids = ids_for(GQA.config, 1, 4)
    assert torch.equal(decoder.generate(ids, 8), generate(model, ids, 8))


def test_the_compiler_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not has_cpp_compiler()
    tool = tmp_path / "my-c++"
    tool.write_text("")
    tool.chmod(0o755)
    monkeypatch.setenv("CXX", str(tool))
    assert has_cpp_compiler()
    monkeypatch.delenv("CXX")
    for platform, name in (
        ("linux", "g++"),
        ("darwin", "clang++"),
        ("win32", "cl"),
    ):
        monkeypatch.setattr(compiled.sys, "platform", platform)
        monkeypatch.setattr(compiled.shutil, "which", lambda x: x)
        seen = []
        monkeypatch.setattr(compiled.shutil, "which", seen.append)
        has_cpp_compiler()
        assert seen == [name]
    assert os.environ.get("CXX") is None


# ---- error messages


@pytest.mark.usefixtures("uncompiled")
def test_another_number_of_prompts():
    decoder = CompiledDecoder(model_of(), 2, 12)
    with pytest.raises(
        ValueError, match="3 prompts for a decoder of 2; make one for this"
    ):
        decoder.generate(ids_for(GQA.config, 3, 4), 2)


@pytest.mark.usefixtures("uncompiled")
def test_more_than_there_is_room_for():
    decoder = CompiledDecoder(model_of(), 2, 12)
    decoder.generate(ids_for(GQA.config, 2, 4), 8)
    with pytest.raises(
        ValueError, match=r"a prompt of 4 tokens and 9 new .* at most 12 in all"
    ):
        decoder.generate(ids_for(GQA.config, 2, 4), 9)


@pytest.mark.parametrize("sizes", [(0, 4), (-1, 4), (1, 0), (1, 65)])
def test_decoders_that_cannot_be(sizes):
    with pytest.raises(
        ValueError,
        match=f"decoder for {sizes[0]} texts of {sizes[1]} tokens; .* 1 to 64",
    ):
        CompiledDecoder(model_of(), *sizes)


@pytest.mark.usefixtures("uncompiled")
def test_settings_and_masks_are_checked_too():
    decoder = CompiledDecoder(model_of(), 2, 12)
    ids = ids_for(GQA.config, 2, 4)
    with pytest.raises(ValueError, match="top_k is 0"):
        decoder.generate(ids, 2, temperature=1.0, top_k=0)
    with pytest.raises(ValueError, match="pad on the left"):
        decoder.generate(ids, 2, attention_mask=ids < 0)
    with pytest.raises(ValueError, match="token id 97"):
        decoder.generate(torch.full((2, 4), 97), 2)


@pytest.mark.usefixtures("uncompiled")
def test_room_may_be_all_the_model_has():
    config = dataclasses.replace(GQA.config, max_position_embeddings=64)
    decoder = CompiledDecoder(model_of(), 1, config.max_position_embeddings)
    assert decoder.max_length == 64
    assert_close(decoder.keys[0].shape, torch.Size([1, 2, 64, 8]))

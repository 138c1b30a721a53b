"""States in files: what goes in comes out, and damage is noticed."""

import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from run_small import SHAPE, small
from safetensors.torch import load_file

from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.train.checkpoint import (
    CheckpointError,
    StateFile,
    load_checkpoint,
    load_model_state,
    on_cpu,
    pack,
    read_state,
    save_checkpoint,
    unpack,
    write_state,
)
from llm_from_scratch.train.optim import make_optimizer

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool),
]


def through(state):
    """Write a state and read it back."""
    file = io.BytesIO()
    write_state(pack(state), file)
    return read_state(file)


def as_bytes(state):
    file = io.BytesIO()
    write_state(pack(state), file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)])
def test_tensors_of_each_type_and_shape_come_back(dtype, shape):
    x = torch.randint(0, 2, shape).to(dtype)
    back = through({"x": x})["x"]
    assert back.dtype == dtype
    assert torch.equal(back, x)


def test_bits_come_back_even_of_nan():
    x = torch.tensor([math.nan, -0.0, math.inf, 1e-45])
    back = through([x])[0]
    assert torch.equal(back.view(torch.int32), x.view(torch.int32))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=3) | st.integers(), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_come_back_with_their_types(value):
    back = through({"value": value})["value"]
    assert back == value
    assert repr(back) == repr(value)  # a tuple is no list, 1 is no True


def test_a_dict_that_looks_like_a_mark_comes_back():
    state = {"tensor": "x", "dict": [1], "tuple": {"tuple": (1,)}}
    assert through(state) == state


def test_tensors_of_a_strange_layout_come_back():
    x = torch.arange(12.0).view(3, 4)
    state = {"t": x.T, "slice": x[:, 1:3], "row": x[1]}
    back = through(state)
    assert all(torch.equal(back[k], state[k]) for k in state)


def test_shared_memory_is_kept_once():
    x = torch.ones(1000)
    packed = pack({"a": x, "b": x, "other": x.clone(), "part": x[:10]})
    assert list(packed.tensors) == ["a", "other", "part"]
    back = through({"a": x, "b": x})
    assert back["a"] is back["b"]


@pytest.mark.parametrize("bad", [object(), {1, 2}, b"raw", np.ones(2)])
def test_what_is_not_plain_is_refused_by_name(bad):
    kind = type(bad).__name__
    with pytest.raises(ValueError, match=rf"a/b/0 is a {kind}; a checkpoint"):
        pack({"a": {"b": [bad]}})


@pytest.mark.parametrize(
    "state",
    [
        {"a": {"b": torch.ones(2)}, "a/b": torch.zeros(2)},
        {0: torch.ones(2), "0": torch.zeros(2)},
    ],
)
def test_two_tensors_of_one_name_are_refused(state):
    with pytest.raises(ValueError, match="two tensors would be stored as"):
        pack(state)


@pytest.mark.parametrize("key", [(1, 2), 1.5, None])
def test_keys_that_would_not_come_back_are_refused(key):
    with pytest.raises(ValueError, match="of 'a' is no string or int"):
        pack({"a": {key: 1}})


def test_a_copy_does_not_change_with_its_original():
    x = torch.ones(3)
    copy = on_cpu(pack({"x": x}), {})
    x.zero_()
    assert copy.tensors["x"].tolist() == [1, 1, 1]


def test_buffers_are_used_again_where_they_fit():
    buffers = {}
    first = on_cpu(pack({"x": torch.ones(3)}), buffers).tensors["x"]
    second = on_cpu(pack({"x": torch.zeros(3)}), buffers).tensors["x"]
    assert first is second
    third = on_cpu(pack({"x": torch.zeros(4)}), buffers).tensors["x"]
    assert third.tolist() == [0] * 4


def test_a_copy_of_a_transposed_tensor_is_written_in_order():
    x = torch.arange(6.0).view(2, 3).T
    packed = on_cpu(pack({"x": x}), {})
    assert torch.equal(unpack(packed.tree, packed.tensors.get)["x"], x)


def test_the_library_of_safetensors_reads_the_file(tmp_path):
    state = {"a": torch.randn(3, 4), "b": {"c": torch.arange(5)}}
    path = tmp_path / "x.safetensors"
    path.write_bytes(as_bytes(state))
    theirs = load_file(path)
    assert set(theirs) == {"a", "b/c"}
    assert torch.equal(theirs["b/c"], state["b"]["c"])


def test_data_begins_at_a_multiple_of_eight():
    for width in range(9):
        length = int.from_bytes(as_bytes({"x" * width: 1})[:8], "little")
        assert length % 8 == 0


def test_a_branch_is_read_alone():
    file = io.BytesIO(as_bytes({"a": {"b": torch.ones(2)}, "c": torch.ones(3)}))
    assert read_state(file, "a", "b").tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="holds no a/x"):
        read_state(file, "a", "x")
    with pytest.raises(CheckpointError, match="holds no a/b/c"):
        read_state(file, "a", "b", "c")


def test_damage_outside_a_branch_does_not_matter_to_it():
    data = bytearray(as_bytes({"a": torch.ones(2), "c": torch.ones(3)}))
    data[-1] ^= 1  # in c
    assert read_state(io.BytesIO(data), "a").tolist() == [1, 1]
    with pytest.raises(CheckpointError, match="bytes of c do not fit"):
        read_state(io.BytesIO(data))


def test_every_flipped_bit_is_noticed():
    good = as_bytes({"x": torch.arange(4), "n": 3, "l": (1.5, "a")})
    for place in range(len(good)):
        for bit in range(8):
            data = bytearray(good)
            data[place] ^= 1 << bit
            with pytest.raises(CheckpointError, match="is damaged"):
                read_state(io.BytesIO(data))


def test_every_cut_and_every_excess_is_noticed():
    good = as_bytes({"x": torch.arange(4), "n": 3})
    for size in range(len(good)):
        with pytest.raises(CheckpointError, match="is damaged"):
            read_state(io.BytesIO(good[:size]))
    with pytest.raises(CheckpointError, match="should have"):
        read_state(io.BytesIO(good + b"\0"))


def test_a_foreign_safetensors_file_is_refused():
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    data = len(header).to_bytes(8, "little") + header
    with pytest.raises(CheckpointError, match="no header of a checkpoint"):
        StateFile(io.BytesIO(data), "theirs")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*none\.pt"):
        read_state(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("to_file", [True, False])
def test_model_optimizer_and_iteration_come_back(tmp_path, name, to_file):
    model, loader, _ = small()
    optimizer = make_optimizer(model, name=name)
    model(loader.batch(0).input_ids).sum().backward()
    optimizer.step()
    out = io.BytesIO() if to_file else tmp_path / "c.pt"
    save_checkpoint(model, optimizer, 17, out)
    fresh = TransformerLM(SHAPE, generator=torch.Generator().manual_seed(5))
    other = make_optimizer(fresh, name=name)
    if to_file:
        out.seek(0)
    assert load_checkpoint(out, fresh, other) == 17
    a, b = optimizer.state_dict(), other.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for key, state in a["state"].items():
        for part, value in state.items():
            found = b["state"][key][part]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(found))
    assert fresh.lm_head.weight is fresh.model.embed_tokens.weight
    pairs = zip(model.parameters(), fresh.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    model, _, _ = small()
    optimizer = make_optimizer(model)
    path = tmp_path / "c.pt"
    save_checkpoint(model, optimizer, 1, path)
    model.extra = torch.nn.Parameter(torch.zeros(1, dtype=torch.complex64))
    with pytest.raises(KeyError):
        save_checkpoint(model, optimizer, 2, path)
    del model.extra
    assert load_checkpoint(path, model, optimizer) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_weights_alone_come_from_the_checkpoint_of_a_run():
    model, _, _ = small()
    file = io.BytesIO(as_bytes({"parts": {"model": model.state_dict()}}))
    found = load_model_state(file)
    assert found.keys() == model.state_dict().keys()
    model.load_state_dict(found)

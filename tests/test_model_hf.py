"""Folders: ours to transformers, theirs to us, and damaged ones."""

import hashlib
import itertools
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from llm_from_scratch.model.hf import from_pretrained, save_pretrained
from llm_from_scratch.model.rope import rope_frequencies
from llm_from_scratch.model.transformer import TransformerLM
from tests.model_reference import CASES, GQA, Case, ids_for, their_model

TIED = next(c for c in CASES if c.name == "tied")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def our_model(case: Case, seed: int = 0) -> TransformerLM:
    return TransformerLM(
        case.config, generator=torch.Generator().manual_seed(seed)
    )


def edit(folder: Path, **changes: torch.Tensor | None) -> None:
    """Add, replace or drop tensors of a single-file folder; `__` is `.`."""
    state = load_file(folder / WEIGHTS)
    for name, tensor in changes.items():
        name = name.replace("__", ".")
        state.pop(name, None)
        if tensor is not None:
            state[name] = tensor
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def folder(tmp_path) -> Path:
    save_pretrained(our_model(GQA), tmp_path / "m")
    return tmp_path / "m"


# ---- both directions


@pytest.mark.parametrize("shard", ["5GB", "10KB"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_we_read_what_they_write(case, shard, tmp_path):
    theirs = their_model(case)
    theirs.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / INDEX).exists() == (shard == "10KB")
    ours = from_pretrained(tmp_path)
    assert ours.config == case.config or case.config.bos_token_id is None
    state = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    ids = ids_for(case.config, 2, 13)
    assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard", [5_000_000_000, 10_000])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_they_read_what_we_write(case, shard, tmp_path):
    ours = our_model(case)
    save_pretrained(ours, tmp_path / "m", max_shard_size=shard)
    theirs, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "m", output_loading_info=True
    )
    assert not any(report.values()), report
    ids = ids_for(case.config, 2, 13)
    assert_close(theirs(ids).logits, ours(ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [GQA, TIED], ids=str)
@pytest.mark.parametrize("shard", [5_000_000_000, 10_000])
def test_there_and_back_gives_the_same_bytes(case, shard, tmp_path):
    def hashes(folder):
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
        }

    save_pretrained(our_model(case), tmp_path / "a", max_shard_size=shard)
    again = from_pretrained(tmp_path / "a")
    save_pretrained(again, tmp_path / "b", max_shard_size=shard)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_through_their_hands_every_weight_stays(tmp_path):
    ours = our_model(TIED)
    save_pretrained(ours, tmp_path / "a")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    theirs.save_pretrained(tmp_path / "b")
    back = from_pretrained(tmp_path / "b")
    assert back.config == ours.config
    assert all(map(torch.equal, back.parameters(), ours.parameters()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_is_that_of_the_file_or_as_asked(dtype, tmp_path):
    save_pretrained(our_model(GQA).to(dtype), tmp_path / "m")
    spec = json.loads((tmp_path / "m" / "config.json").read_text())
    assert spec["dtype"] == str(dtype).removeprefix("torch.")
    loaded = from_pretrained(tmp_path / "m")
    assert loaded.lm_head.weight.dtype == dtype
    other = from_pretrained(tmp_path / "m", dtype=torch.float32)
    assert other.lm_head.weight.dtype == torch.float32
    assert other.model.rotary.cos.dtype == torch.float32


def test_a_loaded_model_trains_and_owns_its_memory(folder):
    model = from_pretrained(folder)
    model(ids_for(GQA.config, 1, 5)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    before = [p.detach().clone() for p in model.parameters()]
    header = 8 + struct.unpack("<Q", (folder / WEIGHTS).read_bytes()[:8])[0]
    size = (folder / WEIGHTS).stat().st_size
    with open(folder / WEIGHTS, "r+b") as file:  # the same file, in place
        file.seek(header)
        file.write(bytes(size - header))
    assert all(map(torch.equal, model.parameters(), before))


def test_a_compiled_model_is_saved_under_the_same_names(tmp_path):
    model = our_model(GQA)
    save_pretrained(torch.compile(model, backend="eager"), tmp_path / "m")
    again = from_pretrained(tmp_path / "m")
    assert all(map(torch.equal, again.parameters(), model.parameters()))


def test_random_state_is_left_alone(folder):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    from_pretrained(folder)
    assert torch.equal(torch.rand(1), expected)


# ---- the file by hand


def test_the_format_by_hand(folder):
    raw = (folder / WEIGHTS).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    assert header["__metadata__"] == {"format": "pt"}  # old versions ask
    start, stop = header["model.norm.weight"]["data_offsets"]
    data = raw[8 + size + start : 8 + size + stop]
    assert torch.frombuffer(bytearray(data), dtype=torch.float32).eq(1).all()
    parameters = sum(p.numel() for p in our_model(GQA).parameters())
    assert len(raw) == 8 + size + 4 * parameters


def test_shards_respect_the_limit_and_the_order(tmp_path):
    model = our_model(GQA)
    save_pretrained(model, tmp_path / "m", max_shard_size=10_000)
    index = json.loads((tmp_path / "m" / INDEX).read_text())
    names = list(index["weight_map"].values())
    state = model.state_dict()
    assert set(index["weight_map"]) == set(state)
    for name in set(names):
        tensors = load_file(tmp_path / "m" / name).values()
        assert sum(t.nbytes for t in tensors) <= 10_000 or len(tensors) == 1
    total = sum(t.nbytes for t in state.values())
    assert index["metadata"]["total_size"] == total
    assert f"-of-{len(set(names)):05}." in names[0]
    assert "model-00001-of-" in min(names)
    firsts: dict[str, str] = {}  # no shard had room for the next one's first
    for key in state:
        firsts.setdefault(index["weight_map"][key], key)
    held = dict.fromkeys(firsts, 0)
    for key, tensor in state.items():
        held[index["weight_map"][key]] += tensor.nbytes
    for before, after in itertools.pairwise(sorted(firsts)):
        assert held[before] + state[firsts[after]].nbytes > 10_000


def test_a_shard_may_be_filled_to_the_last_byte(tmp_path):
    model = our_model(GQA)
    total = sum(t.nbytes for t in model.state_dict().values())
    save_pretrained(model, tmp_path / "one", max_shard_size=total)
    assert (tmp_path / "one" / WEIGHTS).exists()
    save_pretrained(model, tmp_path / "two", max_shard_size=total - 1)
    assert len(list((tmp_path / "two").glob("*.safetensors"))) == 2


# ---- tying


def test_a_tied_head_is_left_out_and_comes_back_tied(tmp_path):
    save_pretrained(our_model(TIED), tmp_path / "m")
    assert "lm_head.weight" not in load_file(tmp_path / "m" / WEIGHTS)
    model = from_pretrained(tmp_path / "m")
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_tied_head_may_be_repeated_in_the_file(tmp_path):
    model = our_model(TIED)
    save_pretrained(model, tmp_path / "m")
    edit(tmp_path / "m", lm_head__weight=model.lm_head.weight.detach().clone())
    again = from_pretrained(tmp_path / "m")
    assert again.lm_head.weight is again.model.embed_tokens.weight


def test_a_tied_head_that_differs_is_refused(tmp_path):
    model = our_model(TIED)
    save_pretrained(model, tmp_path / "m")
    edit(tmp_path / "m", lm_head__weight=model.lm_head.weight.detach() + 1)
    with pytest.raises(ValueError, match=r"lm_head.weight differs from"):
        from_pretrained(tmp_path / "m")


def test_an_untied_head_must_be_there(folder):
    edit(folder, lm_head__weight=None)
    with pytest.raises(ValueError, match=r"lm_head.weight is missing"):
        from_pretrained(folder)


# ---- what old files hold


def test_frequencies_of_old_files_are_compared_and_left(folder):
    frequencies = rope_frequencies(8, 10000.0)
    name = "model__layers__0__self_attn__rotary_emb__inv_freq"
    edit(folder, **{name: frequencies.half()})
    from_pretrained(folder)
    for wrong in (frequencies * 2, frequencies[:2]):
        edit(folder, **{name: wrong})
        with pytest.raises(ValueError, match="other frequencies than rope_th"):
            from_pretrained(folder)


def test_frequencies_of_old_files_follow_their_own_base(tmp_path):
    case = next(c for c in CASES if c.name == "theta and eps")
    save_pretrained(our_model(case), tmp_path / "m")
    name = "model__layers__1__self_attn__rotary_emb__inv_freq"
    edit(tmp_path / "m", **{name: rope_frequencies(8, 500000.0)})
    from_pretrained(tmp_path / "m")
    edit(tmp_path / "m", **{name: rope_frequencies(8, 10000.0)})
    with pytest.raises(ValueError, match="than rope_theta 500000"):
        from_pretrained(tmp_path / "m")


# ---- damage


def test_missing_extra_and_misshapen_tensors_are_named(folder):
    edit(
        folder,
        model__norm__weight=None,
        model__layers__0__self_attn__q_proj__bias=torch.zeros(32),
        lm_head__weight=torch.zeros(32, 97),
    )
    with pytest.raises(ValueError, match="do not fit") as error:
        from_pretrained(folder)
    for part in (
        "model.norm.weight is missing",
        "model.layers.0.self_attn.q_proj.bias is not part of this model",
        "lm_head.weight is [32, 97], not [97, 32]",
    ):
        assert part in str(error.value)


def test_a_configuration_of_another_size_is_noticed(folder):
    configure(folder, num_hidden_layers=3)
    with pytest.raises(ValueError, match=r"layers.2.* missing.*and 6 more"):
        from_pretrained(folder)
    configure(folder, num_hidden_layers=1)
    with pytest.raises(ValueError, match=r"layers.1.* not part"):
        from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_a_truncated_file_is_refused(folder, keep):
    path = folder / WEIGHTS
    raw = path.read_bytes()
    keep = int(len(raw) * keep) if isinstance(keep, float) else keep
    path.write_bytes(raw[:keep])
    with pytest.raises(ValueError, match="is no whole safetensors file"):
        from_pretrained(folder)


def test_a_missing_shard_is_named(tmp_path):
    save_pretrained(our_model(GQA), tmp_path / "m", max_shard_size=10_000)
    lost = sorted((tmp_path / "m").glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=f"{lost.name} does not exist"):
        from_pretrained(tmp_path / "m")


def test_an_index_that_lies_is_refused(tmp_path):
    save_pretrained(our_model(GQA), tmp_path / "m", max_shard_size=10_000)
    path = tmp_path / "m" / INDEX
    index = json.loads(path.read_text())
    first = index["weight_map"]["model.embed_tokens.weight"]
    index["weight_map"]["model.norm.weight"] = first
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"disagree about model.norm.weight"):
        from_pretrained(tmp_path / "m")


@pytest.mark.parametrize("change", ["omits one", "makes one up", "no map"])
def test_an_index_must_tell_what_the_files_hold(tmp_path, change):
    save_pretrained(our_model(GQA), tmp_path / "m", max_shard_size=10_000)
    path = tmp_path / "m" / INDEX
    index = json.loads(path.read_text())
    if change == "omits one":
        del index["weight_map"]["model.norm.weight"]
    elif change == "makes one up":
        first = index["weight_map"]["model.norm.weight"]
        index["weight_map"]["model.norm.bias"] = first
    else:
        del index["weight_map"]
    path.write_text(json.dumps(index))
    message = "has no weight_map|disagree about model.norm.(weight|bias)"
    with pytest.raises(ValueError, match=message):
        from_pretrained(tmp_path / "m")


def test_two_sets_of_weights_are_refused(folder):
    (folder / INDEX).write_text('{"weight_map": {}}')
    with pytest.raises(ValueError, match="has both"):
        from_pretrained(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\x00", b'{"a": "\xff"}'])
def test_a_broken_config_is_refused(folder, data):
    (folder / "config.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"config.json (is not|holds no) JSON"):
        from_pretrained(folder)


def test_absent_files_are_named(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"config.json"):
        from_pretrained(tmp_path / "nothing")
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="only safetensors are read"):
        from_pretrained(folder)


def test_mixed_and_coded_dtypes_are_refused(folder):
    edit(folder, model__norm__weight=torch.ones(32, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"mixes torch.bf.*16, torch.float32"):
        from_pretrained(folder)
    assert from_pretrained(folder, dtype=torch.float32)
    edit(folder, model__norm__weight=torch.ones(32, dtype=torch.int8))
    with pytest.raises(ValueError, match="type I8: only floats"):
        from_pretrained(folder, dtype=torch.float32)


# ---- whole or not at all


class Unwritable:
    """A tokenizer that fails when the weights are already written."""

    def save_hf(self, path):
        assert (Path(path).parent / WEIGHTS).exists()
        raise OSError("disk full")


def test_a_failed_save_leaves_what_was_there(folder):
    before = (folder / WEIGHTS).read_bytes()
    with pytest.raises(OSError, match="disk full"):
        save_pretrained(our_model(GQA, 1), folder, tokenizer=Unwritable())
    assert (folder / WEIGHTS).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_saving_again_leaves_no_old_shard(folder):
    model = our_model(GQA, 1)
    save_pretrained(model, folder, max_shard_size=10_000)
    assert not (folder / WEIGHTS).exists()
    save_pretrained(model, folder)
    assert {path.name for path in folder.iterdir()} == {"config.json", WEIGHTS}


def test_saving_over_foreign_files_is_refused(folder):
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis.tex, which saving here"):
        save_pretrained(our_model(GQA), folder)
    assert (folder / "thesis.tex").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(FileExistsError, match="m is a file, not a folder"):
        save_pretrained(our_model(GQA), tmp_path / "m")


def test_shards_must_hold_something(tmp_path):
    with pytest.raises(ValueError, match="at least 1 byte, got 0"):
        save_pretrained(our_model(GQA), tmp_path / "m", max_shard_size=0)


def test_the_tokenizer_goes_along(tmp_path):
    from llm_from_scratch.tokenizer import Tokenizer, train_bpe

    (tmp_path / "text").write_text("a rose is a rose is a rose")
    vocab, merges = train_bpe(tmp_path / "text", 260, ["<|end|>"])
    tokenizer = Tokenizer(vocab, merges, ["<|end|>"])
    save_pretrained(our_model(GQA), tmp_path / "m", tokenizer=tokenizer)
    again = Tokenizer.from_hf(tmp_path / "m" / "tokenizer.json")
    assert again.encode("a rose") == tokenizer.encode("a rose")

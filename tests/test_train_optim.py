"""Which weight goes into which group, and one optimizer for a whole model."""

import copy

import pytest
import torch
from optimizer_steps import saved
from torch import nn

from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.train.adamw import AdamW
from llm_from_scratch.train.loss import cross_entropy
from llm_from_scratch.train.muon import Muon
from llm_from_scratch.train.optim import make_optimizer, parameter_groups


def small(tied=True, seed=0, **more):
    config = ModelConfig(
        vocab_size=23,
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        **more,
    )
    g = torch.Generator().manual_seed(seed)
    return TransformerLM(config, generator=g)


def names(model, params):
    """Names of parameters, in the model's order."""
    ids = {id(p) for p in params}
    return [name for name, p in model.named_parameters() if id(p) in ids]


def train(model, optimizer, steps, start=0):
    for step in range(start, start + steps):
        g = torch.Generator().manual_seed(step)
        ids = torch.randint(23, (4, 9), generator=g)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + step) * group["lr_scale"]
        optimizer.zero_grad()
        cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
        optimizer.step()


def same(a, b):
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


# ---- groups


@pytest.mark.parametrize("tied", [True, False])
def test_matrices_decay_and_the_rest_does_not(tied):
    model = small(tied, model_type="qwen3")
    decayed, rest = parameter_groups(model, 0.3)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    expected = [
        name
        for name, _ in model.named_parameters()
        if "proj" in name or name == "lm_head.weight"
    ]
    assert names(model, decayed["params"]) == expected
    assert ("lm_head.weight" in expected) != tied
    assert "model.embed_tokens.weight" in names(model, rest["params"])


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_is_there_once(tied, name):
    model = small(tied)
    optimizer = make_optimizer(model, name=name)
    found = [id(p) for g in optimizer.param_groups for p in g["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())
    assert len(set(found)) == len(found)


def test_biases_and_pytorchs_embeddings_do_not_decay():
    model = nn.Sequential(
        nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 5)
    )
    decayed, _ = parameter_groups(model, 0.1)
    assert names(model, decayed["params"]) == ["1.weight", "3.weight"]


def test_frozen_weights_stay_in_their_group():
    model = small()
    model.model.norm.weight.requires_grad_(False)
    _, rest = parameter_groups(model, 0.1)
    assert "model.norm.weight" in names(model, rest["params"])


@pytest.mark.parametrize("tied", [True, False])
def test_muon_takes_the_matrices_inside(tied):
    model = small(tied)
    inside, head, rest = make_optimizer(model, name="muon").param_groups
    muon = names(model, inside["params"])
    assert muon == [n for n, _ in model.named_parameters() if "proj" in n]
    assert inside["use_muon"]
    assert not head["use_muon"]
    assert not rest["use_muon"]
    assert names(model, head["params"]) == (["lm_head.weight"] * (not tied))


@pytest.mark.parametrize("name", ["head", "lm_head"])
def test_a_head_is_known_by_its_name_wherever_it_stands(name):
    top = nn.ModuleDict({name: nn.Linear(4, 5), "act": nn.ReLU()})
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "top": top})
    inside, head, rest = make_optimizer(model, name="muon").param_groups
    assert names(model, inside["params"]) == ["body.weight"]
    assert names(model, head["params"]) == [f"top.{name}.weight"]
    assert len(rest["params"]) == 2


def test_a_head_may_have_no_weight():
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "head": nn.ReLU()})
    inside, head, _ = make_optimizer(model, name="muon").param_groups
    assert names(model, inside["params"]) == ["body.weight"]
    assert head["params"] == []


def test_a_convolution_decays_and_is_no_matrix_for_muon():
    model = nn.Sequential(nn.Conv1d(3, 4, 2), nn.Linear(4, 4))
    decayed, _ = parameter_groups(model, 0.1)
    assert names(model, decayed["params"]) == ["0.weight", "1.weight"]
    inside, other, _ = make_optimizer(model, name="muon").param_groups
    assert names(model, inside["params"]) == ["1.weight"]
    assert names(model, other["params"]) == ["0.weight"]


# ---- the optimizer


@pytest.mark.parametrize(
    ("name", "decays"), [("adamw", [0.1, 0]), ("muon", [0.1, 0.1, 0])]
)
def test_defaults_are_those_of_the_chapter(name, decays):
    groups = make_optimizer(small(tied=False), name=name).param_groups
    assert [g["weight_decay"] for g in groups] == decays
    for group in groups:
        assert (group["lr"], group["lr_scale"]) == (1e-3, 1.0)
    for group in groups[-2:]:  # AdamW's
        found = [group[key] for key in ("betas", "eps", "fused")]
        assert found == [(0.9, 0.95), 1e-8, True]


def test_adamw_is_adamw_with_groups():
    a, b = small(), small()
    ours = make_optimizer(
        a, lr=0.01, betas=(0.8, 0.9), eps=1e-7, weight_decay=0.2
    )
    assert isinstance(ours, AdamW)
    theirs = torch.optim.AdamW(
        [g | {"lr_scale": 1.0} for g in parameter_groups(b, 0.2)],
        lr=0.01,
        betas=(0.8, 0.9),
        eps=1e-7,
        fused=True,
    )
    train(a, ours, 30)
    train(b, theirs, 30)
    assert same(a, b)


def test_by_hand_and_by_the_kernel_agree():
    models = [small().double() for _ in range(2)]
    for model, fused in zip(models, (False, True), strict=True):
        optimizer = make_optimizer(model, fused=fused)
        assert [g["fused"] for g in optimizer.param_groups] == [fused] * 2
        train(model, optimizer, 20)
    pairs = zip(*(m.parameters() for m in models), strict=True)
    for p, q in pairs:
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_muon_is_pytorchs_muon_and_adamw():
    a, b = small(tied=False), small(tied=False)
    train(a, make_optimizer(a, name="muon", lr=0.02, weight_decay=0.2), 20)
    matrices = [p for n, p in b.named_parameters() if "proj" in n]
    inside = {id(p) for p in matrices}
    others = [
        g | {"params": [p for p in g["params"] if id(p) not in inside]}
        for g in parameter_groups(b, 0.2)
    ]
    one = torch.optim.Muon(
        matrices, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"
    )
    two = torch.optim.AdamW(others, betas=(0.9, 0.95), fused=True)
    for step in range(20):
        g = torch.Generator().manual_seed(step)
        ids = torch.randint(23, (4, 9), generator=g)
        b.zero_grad()
        cross_entropy(b(ids[:, :-1]), ids[:, 1:]).backward()
        for optimizer in (one, two):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 / (1 + step)
            optimizer.step()
    assert same(a, b)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_one_state_dict_holds_everything(name):
    a = small()
    one = make_optimizer(a, name=name, muon_lr_scale=3.0)
    train(a, one, 5)
    b = copy.deepcopy(a)
    two = make_optimizer(b, name=name, lr=9.0, weight_decay=0.9)
    two.load_state_dict(saved(one))
    train(a, one, 5, start=5)
    train(b, two, 5, start=5)
    assert same(a, b)


def test_scale_of_muon_is_kept_and_applied():
    model = small()
    groups = make_optimizer(
        model, name="muon", lr=0.1, muon_lr_scale=3.0
    ).param_groups
    assert [g["lr_scale"] for g in groups] == [3.0, 1.0, 1.0]
    assert [g["lr"] for g in groups] == pytest.approx([0.3, 0.1, 0.1])


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_it_learns(name):
    model, g = small(), torch.Generator().manual_seed(0)
    ids = torch.randint(23, (4, 9), generator=g)
    optimizer = make_optimizer(model, name=name, lr=0.02)
    assert isinstance(optimizer, Muon if name == "muon" else AdamW)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(model(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5


def test_float32_weights_learn_under_autocast():
    model, g = small(), torch.Generator().manual_seed(0)
    ids = torch.randint(23, (4, 9), generator=g)
    optimizer = make_optimizer(model, lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(ids[:, :-1])
        loss = cross_entropy(logits, ids[:, 1:])
        loss.backward()
        optimizer.step()
    assert logits.dtype == torch.bfloat16
    for p in model.parameters():
        assert p.dtype == optimizer.state[p]["exp_avg_sq"].dtype
        assert p.dtype == torch.float32
    assert loss.item() < 0.5


def test_an_optimizer_that_does_not_exist():
    with pytest.raises(ValueError, match="\"muon\", got 'lion'"):
        make_optimizer(small(), name="lion")

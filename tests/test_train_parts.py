"""One step, against transformers and torch.optim, and what guards it."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import transformers
from run_small import SHAPE, heldout, same_bits, small
from torch import nn
from torch.testing import assert_close

from llm_from_scratch.data.batch import Batch
from llm_from_scratch.model.attention import document_mask
from llm_from_scratch.model.hf_config import config_to_hf
from llm_from_scratch.train.parts import (
    Loader,
    backward,
    clip,
    make_parts,
    on_device,
    token_loss,
    train_step,
    update,
)


def parts_of(**settings):
    return make_parts(*small(**settings))


def bits(parts):
    return [p.detach().clone() for p in parts.model.parameters()]


def reference(model, loader, config, head):
    """Forty steps of transformers and torch.optim; the losses."""
    params = dict(model.named_parameters())
    flat = [n for n, p in params.items() if p.dim() < 2 or "emb" in n]
    groups = [
        {"params": [p for n, p in params.items() if n not in flat]},
        {"params": [params[n] for n in flat], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, config.lr, config.betas, config.eps, config.weight_decay
    )
    rate = transformers.get_cosine_with_min_lr_schedule_with_warmup(
        optimizer,
        round(config.warmup_fraction * config.steps),
        config.steps,
        min_lr_rate=config.final_fraction,
    )
    losses = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * rate.lr_lambdas[0](step + 1)
        batch = loader.batch(step)
        loss = model(
            batch.input_ids, labels=batch.targets, shift_labels=batch.targets
        ).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("micro", [None, 3])
def test_forty_steps_are_those_of_transformers_and_torch(tied, micro):
    shape = replace(SHAPE, tie_word_embeddings=tied)
    model, loader, config = small(steps=40, micro_batch_size=micro)
    model = type(model)(shape, generator=torch.Generator().manual_seed(0))
    values = config_to_hf(shape, torch.float32)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**values))
    theirs.load_state_dict(model.state_dict())
    theirs.tie_weights()
    parts = make_parts(model, loader, config)
    results = [train_step(parts, step) for step in range(40)]
    losses = reference(theirs, loader, config, shape)
    assert results[0].loss - results[-1].loss > 0.5
    assert_close(
        torch.tensor([r.loss for r in results]),
        torch.tensor(losses),
        rtol=1e-5,
        atol=1e-5,
    )
    state = theirs.state_dict()
    for name, p in model.state_dict().items():
        assert_close(p, state[name], rtol=1e-3, atol=1e-4)


def test_the_loss_is_the_sum_over_targets_that_count():
    model, loader, _ = small()
    batch = loader.batch(0)
    batch.targets[0, :5] = -100
    logits = model(batch.input_ids)
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), reduction="sum"
    )
    assert_close(token_loss(model, batch), expected)


def test_documents_in_a_row_do_not_see_each_other():
    model, loader, _ = small()
    plain = loader.batch(0)
    ids = torch.arange(16).ge(7).long().expand(4, 16).contiguous()
    batch = Batch(plain.input_ids, plain.targets, ids)
    logits = model(
        batch.input_ids, positions=batch.positions, mask=document_mask(ids)
    )
    expected = F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), reduction="sum"
    )
    assert_close(token_loss(model, batch), expected)
    assert abs(token_loss(model, plain) - expected) > 1e-3
    other = plain.input_ids.clone()
    other[:, :7] = 1
    masked = batch.targets.clone()
    masked[:, :7] = -100
    assert_close(
        token_loss(model, Batch(plain.input_ids, masked, ids)),
        token_loss(model, Batch(other, masked, ids)),
    )


def test_z_loss_and_precision_reach_the_loss():
    model, loader, _ = small()
    batch = loader.batch(0)
    plain = token_loss(model, batch)
    logits = model(batch.input_ids)
    z = logits.logsumexp(-1).square().sum()
    assert_close(token_loss(model, batch, z_loss=0.1), plain + 0.1 * z)
    half = token_loss(model, batch, precision="bf16")
    assert half != plain
    assert_close(half, plain, rtol=0.02, atol=0)


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    grads = []
    for micro in (None, 1, 3, 9):
        parts = parts_of(micro_batch_size=micro)
        batch = parts.next_batch(0)
        batch.targets[1, 2:] = -100  # rows that count differently
        mean, counted = backward(parts, batch)
        assert counted == 4 * 16 - 14
        grads.append([mean, *(p.grad for p in parts.model.parameters())])
    for other in grads[1:]:
        assert_close(grads[0], other, rtol=1e-4, atol=1e-6)


def test_clipping_returns_the_norm_before():
    parts = parts_of(clip_norm=0.01)
    backward(parts, parts.next_batch(0))
    params = list(parts.model.parameters())
    norm = torch.stack([p.grad.norm() for p in params]).norm()
    assert_close(clip(parts), norm)
    after = torch.stack([p.grad.norm() for p in params]).norm()
    assert_close(after, torch.tensor(0.01), rtol=1e-3, atol=0)


def test_a_clip_norm_of_zero_does_not_clip():
    parts = parts_of(clip_norm=0.0)
    backward(parts, parts.next_batch(0))
    before = [p.grad.clone() for p in parts.model.parameters()]
    clip(parts)
    assert same_bits(before, [p.grad for p in parts.model.parameters()])


def test_rates_follow_the_schedule_one_step_ahead():
    parts = parts_of(steps=20, warmup_fraction=0.2)
    results = [train_step(parts, step) for step in range(20)]
    rates = [r.lr for r in results]
    assert_close(rates[:4], [5e-3 * (i + 1) / 4 for i in range(4)])
    assert_close(rates[-1], 5e-4)
    assert parts.optimizer.param_groups[0]["lr"] == rates[-1]


def test_a_group_keeps_its_own_scale():
    parts = parts_of()
    parts.optimizer.param_groups[1]["lr_scale"] = 0.5
    lr = train_step(parts, 3).lr
    assert [g["lr"] for g in parts.optimizer.param_groups] == [lr, lr / 2]


def test_a_step_zeroes_the_gradient_of_the_last():
    parts = parts_of(clip_norm=0.0)
    first = train_step(parts_of(clip_norm=0.0), 1)
    backward(parts, parts.next_batch(0))  # left over
    assert train_step(parts, 1).norm == first.norm


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_never_reaches_the_weights(what):
    parts = parts_of()
    train_step(parts, 0)
    before = bits(parts)
    state = parts.optimizer.state_dict()["state"][0]["exp_avg"].clone()

    def bad_loss(model, batch):
        return token_loss(model, batch) * math.nan

    def bad_gradient(parts, batch):
        mean, counted = backward(parts, batch)
        next(parts.model.parameters()).grad[0, 0] = math.inf
        return mean, counted

    sick = (
        replace(parts, loss=bad_loss)
        if what == "loss"
        else replace(parts, backward=bad_gradient)
    )
    result = train_step(sick, 1)
    assert not result.updated
    assert same_bits(before, bits(parts))
    kept = parts.optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(kept, state)
    assert train_step(parts, 1).updated  # and it goes on


def test_an_overflow_in_fp16_lowers_the_scale_and_skips():
    parts = parts_of(precision="fp16")
    before, scale = bits(parts), parts.scaler.get_scale()

    def huge(model, batch):
        return token_loss(model, batch) * 1e36

    result = train_step(replace(parts, loss=huge), 0)
    assert not result.updated
    assert parts.scaler.get_scale() == scale / 2
    assert same_bits(before, bits(parts))


def test_the_norm_in_fp16_is_that_without_the_scale():
    plain = train_step(parts_of(), 0)
    scaled = train_step(parts_of(precision="fp16"), 0)
    assert scaled.updated
    assert_close(scaled.norm, plain.norm, rtol=0.05, atol=0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_saved_is_restored(precision):
    parts = parts_of(precision=precision)
    for step in range(3):
        train_step(parts, step)
    state = parts.save(parts, 3)
    other = parts_of(precision=precision, seed=0)
    assert other.restore(other, copy.deepcopy(state)) == 3
    for step in range(3, 6):
        assert train_step(parts, step) == train_step(other, step)
    assert same_bits(bits(parts), bits(other))


def test_checkpointing_changes_no_gradient():
    a, b = parts_of(), parts_of(activation_checkpointing=True)
    assert train_step(a, 0) == train_step(b, 0)
    assert same_bits(bits(a), bits(b))
    assert a.model.state_dict().keys() == b.model.state_dict().keys()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_settings_reach_the_optimizer(name):
    parts = parts_of(
        optimizer=name, betas=(0.8, 0.9), eps=1e-7, weight_decay=0.3
    )
    groups = parts.optimizer.param_groups
    ours = [g for g in groups if "betas" in g]
    assert all(g["betas"] == (0.8, 0.9) and g["eps"] == 1e-7 for g in ours)
    assert 0.3 in {g["weight_decay"] for g in groups}
    assert type(parts.optimizer).__name__.lower() == name


@pytest.mark.parametrize("kind", ["cosine", "wsd", "linear", "constant"])
def test_the_settings_reach_the_schedule(kind):
    parts = parts_of(schedule=kind, final_fraction=0.2, steps=50)
    end = 5e-3 if kind == "constant" else 1e-3
    assert parts.schedule(50) == pytest.approx(end)
    assert parts.schedule(25) == pytest.approx(
        {"wsd": 5e-3, "constant": 5e-3}.get(kind, parts.schedule(25))
    )


def test_a_loader_is_what_has_its_three_methods():
    _, loader, _ = small()
    assert isinstance(loader, Loader)
    assert not isinstance(object(), Loader)


def test_a_batch_on_the_cpu_stays_as_it_is():
    batch = heldout()[0]
    assert on_device(batch, torch.device("cpu")) is batch
    moved = on_device(batch, torch.device("meta"))
    assert moved.input_ids.device.type == "meta"


def test_an_update_says_whether_it_was_made():
    parts = parts_of()
    backward(parts, parts.next_batch(0))
    assert update(parts) is True

"""The bug zoo: every animal does what its label says, and raises nothing."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from llm_from_scratch.data.batch import IGNORED
from llm_from_scratch.train.bugs import BUGS, infect
from llm_from_scratch.train.bugs_in_model import attention_layers
from llm_from_scratch.train.cage import micro_batches
from llm_from_scratch.train.checks import CHECKS
from llm_from_scratch.train.checks_of_steps import (
    all_gradients,
    batch_gradient,
)
from llm_from_scratch.train.parts import train_step
from llm_from_scratch.train.zoo import ZOO_CONFIG, zoo_parts, zoo_run

SHORT = replace(ZOO_CONFIG, steps=12)


def sick(name):
    return infect(zoo_parts(0, SHORT), name)


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_raises_nothing_and_trains(name):
    parts = sick(name)
    losses = [train_step(parts, step).loss for step in range(3)]
    assert all(math.isfinite(loss) for loss in losses)
    assert infect(parts, None) is parts


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_names_its_check_and_a_source_that_exists(name):
    found, bib = BUGS[name], Path(__file__).parents[1] / "book/references.bib"
    assert found.name == name
    assert found.check in CHECKS
    assert f"{{{found.source}," in bib.read_text(encoding="utf-8")


def test_unshifted_targets_are_the_inputs():
    batch = sick("unshifted-targets").next_batch(0)
    counts = batch.targets != IGNORED
    assert counts.sum() > 300
    assert torch.equal(batch.targets[counts], batch.input_ids[counts])


def test_targets_shifted_twice_are_two_ahead():
    right, wrong = zoo_parts(0, SHORT), sick("shifted-twice")
    right, wrong = right.next_batch(1), wrong.next_batch(1)
    assert torch.equal(wrong.targets[:, :-1], right.targets[:, 1:])
    assert (wrong.targets[:, -1] == IGNORED).all()


def test_padding_is_counted_and_text_left_alone():
    right = zoo_parts(0, SHORT).next_batch(0)
    wrong = sick("padding-counted").next_batch(0)
    padded = right.document_ids < 0
    assert padded.any()
    assert (wrong.targets != IGNORED).all()
    assert torch.equal(wrong.targets[~padded], right.targets[~padded])


def test_repeated_rows_are_those_of_the_first_worker():
    right = zoo_parts(0, SHORT).next_batch(0)
    wrong = sick("repeated-rows").next_batch(0)
    assert torch.equal(wrong.input_ids[2:4], right.input_ids[:2])
    assert torch.equal(wrong.targets[6:], right.targets[:2])


def test_a_restarted_loader_begins_again_six_times():
    parts = sick("restarted-loader")
    first, again = parts.next_batch(0), parts.next_batch(SHORT.steps // 6)
    assert torch.equal(first.input_ids, again.input_ids)
    assert not torch.equal(first.input_ids, parts.next_batch(1).input_ids)


@pytest.mark.parametrize("steps", [12, 100])
def test_a_seen_heldout_text_is_what_is_trained_on(steps):
    parts = zoo_parts(0, replace(ZOO_CONFIG, steps=steps))
    parts = infect(parts, "seen-heldout")
    batches, at = list(parts.heldout()), 3 * max(1, steps // 16)
    assert len(batches) == 16
    assert torch.equal(batches[3].input_ids, parts.next_batch(at).input_ids)


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("unshifted-targets", True),
        ("shifted-twice", True),
        ("padding-counted", True),
        ("repeated-rows", False),
        ("restarted-loader", False),
    ],
)
def test_wrong_targets_are_wrong_held_out_too_wrong_rows_are_not(name, shared):
    right = zoo_parts(0, SHORT)
    pairs = list(zip(right.heldout(), sick(name).heldout(), strict=True))
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in pairs)
    same = all(torch.equal(a.targets, b.targets) for a, b in pairs)
    assert same is not shared
    bare = infect(replace(right, heldout=None), name)
    assert bare.heldout is None


def test_a_run_with_unshifted_targets_deceives_itself():
    run = zoo_run("unshifted-targets", 0, replace(ZOO_CONFIG, steps=40))
    assert run.told < 3
    assert run.true > run.told + 2


def gradient_by_place(parts):
    """Which places the loss at place 20 reads, by the gradient."""
    kept = []
    table = parts.model.model.embed_tokens

    def keep(module, args, y):
        y.retain_grad()
        kept.append(y)

    table.register_forward_hook(keep)
    batch = parts.next_batch(0)
    only = torch.full_like(batch.targets, IGNORED)
    only[:, 20] = batch.targets[:, 20].clamp(min=0)
    owner = torch.zeros_like(batch.targets)
    owner[:, :10] = 1  # two documents, cut at 10
    batch = replace(batch, targets=only, document_ids=owner)
    parts.loss(parts.model, batch).backward()
    return kept[0].grad.abs().sum((0, 2)) > 0  # (T,)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [(None, 10, 20), ("no-causal-mask", 10, 63), ("leaking-documents", 0, 20)],
)
def test_what_a_token_reads(name, first, last):
    read = gradient_by_place(sick(name)).nonzero().flatten()
    assert (read.min().item(), read.max().item()) == (first, last)


def test_rotary_over_heads_does_not_know_places():
    """Equal bytes everywhere: head 0 stays, the others turn by their number."""

    def projected(parts):
        seen = []
        layer = attention_layers(parts.model)[0]
        for part in (layer.q_proj, layer.k_proj):
            part.register_forward_hook(lambda m, a, y: seen.append(y))
        parts.model(torch.full((1, 8), 97))
        return seen

    (turned, keys), (plain, plain_keys) = (
        projected(parts) for parts in (sick("rotary-over-heads"), zoo_parts(0))
    )
    assert torch.equal(keys[..., :16], plain_keys[..., :16])
    assert not torch.allclose(keys[..., 16:], plain_keys[..., 16:])
    assert torch.equal(turned[0, 0], turned[0, 7])
    heads = turned.unflatten(-1, (4, 16)), plain.unflatten(-1, (4, 16))
    assert torch.equal(heads[0][..., 0, :], heads[1][..., 0, :])  # head 0
    assert not torch.allclose(heads[0][..., 3, :], heads[1][..., 3, :])


def test_the_wrong_scale_halves_scores_of_four_heads():
    seen = []
    for parts in (zoo_parts(0), sick("wrong-attention-scale")):
        layer = attention_layers(parts.model)[1].q_proj
        layer.register_forward_hook(lambda m, a, y: seen.append(y))
        parts.model.model.layers[1].self_attn(torch.ones(1, 4, 64))
    torch.testing.assert_close(seen[1], seen[0] / 2)  # sqrt(16 / 64)


def test_the_wrong_scale_of_a_layer_is_its_own():
    parts, x = zoo_parts(0), torch.ones(1, 4, 64)
    layers = attention_layers(parts.model)
    layers[0].head_dim = 4
    right = [layer.q_proj(x) for layer in layers]
    infect(parts, "wrong-attention-scale")
    for layer, before, factor in zip(layers, right, (4, 2), strict=True):
        torch.testing.assert_close(layer.q_proj(x), before / factor)


def test_an_untied_head_begins_equal_and_is_trained():
    parts = sick("untied-head")
    head, table = parts.model.lm_head, parts.model.model.embed_tokens
    assert torch.equal(head.weight, table.weight)
    drawn = head.weight.detach().clone()
    for step in range(2):
        train_step(parts, step)
    assert not torch.allclose(head.weight, table.weight, atol=1e-3)
    assert not torch.allclose(head.weight, drawn, atol=1e-3)


def test_softmax_twice_has_a_floor():
    parts = sick("softmax-twice")
    with torch.no_grad():
        parts.model.lm_head.weight.mul_(1e4)  # as certain as it can be
        batch = parts.next_batch(0)
        counted = (batch.targets != IGNORED).sum()
        loss = parts.loss(parts.model, batch) / counted
    assert loss > math.log(1 + 255 / math.e) - 1e-3


def test_the_mean_of_means_is_the_mean_of_means():
    parts, batch = sick("mean-of-means"), zoo_parts(0).next_batch(0)
    mean, counted = parts.backward(parts, batch)
    with torch.no_grad():
        means = [
            parts.loss(parts.model, piece) / (piece.targets != IGNORED).sum()
            for piece in micro_batches(parts, batch)
        ]
    assert len(means) == 4
    torch.testing.assert_close(mean, torch.stack(means).mean())
    assert counted == (batch.targets != IGNORED).sum()


def test_the_last_micro_batch_decides_alone():
    parts, batch = sick("last-micro-batch"), zoo_parts(0).next_batch(0)
    ours = batch_gradient(parts, batch)
    healthy = zoo_parts(0)
    *_, last = micro_batches(healthy, batch)
    loss = healthy.loss(healthy.model, last)
    (loss / (batch.targets != IGNORED).sum()).backward()
    torch.testing.assert_close(ours, all_gradients(healthy))


def test_without_zero_grad_gradients_add_up():
    parts, batch = sick("no-zero-grad"), zoo_parts(0).next_batch(0)
    once = batch_gradient(parts, batch)
    torch.testing.assert_close(batch_gradient(parts, batch), 2 * once)


def test_clipping_too_early_leaves_a_whisper():
    parts, batch = sick("clipped-before-unscaling"), zoo_parts(0).next_batch(0)
    before = batch_gradient(parts, batch).norm()
    told = parts.clip(parts)
    torch.testing.assert_close(told.double(), before, rtol=1e-4, atol=0)
    left = all_gradients(parts).norm() * 2**16
    assert left.item() == pytest.approx(1, rel=1e-3)


def test_an_orphaned_layer_stays_as_it_was_drawn():
    parts = sick("orphaned-layer")
    layer, other = (block.mlp.up_proj for block in parts.model.model.layers)
    old = layer.weight.clone(), other.weight.clone()
    for step in range(2):
        train_step(parts, step)
    assert torch.equal(layer.weight, old[0])
    assert not torch.equal(other.weight, old[1])


def test_all_groups_decay_and_all_weights_are_bf16():
    groups = sick("decayed-norms").optimizer.param_groups
    assert {group["weight_decay"] for group in groups} == {0.1}
    kinds = {p.dtype for p in sick("bf16-weights").model.parameters()}
    assert kinds == {torch.bfloat16}


def test_a_hasty_schedule_runs_four_times_as_fast():
    right, wrong = zoo_parts(0, SHORT), sick("hasty-schedule")
    assert wrong.schedule(2) == right.schedule(8)
    assert wrong.schedule(7) == right.schedule(SHORT.steps)


def test_forgotten_moments_are_gone_after_a_restore():
    parts = sick("forgotten-moments")
    train_step(parts, 0)
    assert parts.optimizer.state
    assert parts.restore(parts, parts.save(parts, 1)) == 1
    assert not parts.optimizer.state


def test_a_healthy_zoo_run_equals_a_straight_one():
    run, parts = zoo_run(None, 0, SHORT), zoo_parts(0, SHORT)
    losses = [train_step(parts, step).loss for step in range(SHORT.steps)]
    assert (run.curve * math.log(2)).tolist() == pytest.approx(losses)
    assert run.told == run.true
    assert len(run.norms) == SHORT.steps


def test_unknown_bugs_and_models_without_attention_are_refused():
    with pytest.raises(ValueError, match="'rust'; the zoo has unshifted"):
        infect(zoo_parts(0), "rust")
    with pytest.raises(ValueError, match="Linear has no Attention"):
        attention_layers(nn.Linear(2, 2))

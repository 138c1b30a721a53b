"""The small run in which bugs are watched: its text, its parts, its scores."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from llm_from_scratch.train.bugs import infect
from llm_from_scratch.train.parts import train_step
from llm_from_scratch.train.zoo import (
    ZOO_CONFIG,
    ZooRun,
    mean_bits,
    zoo_parts,
    zoo_run,
    zoo_text,
)

SHORT = replace(ZOO_CONFIG, steps=12)


def test_the_model_is_as_small_as_the_text_says():
    weights = zoo_parts(0).model.parameters()
    assert sum(p.numel() for p in weights) == 108_864


def test_documents_are_sentences_of_other_pages_in_the_other_split():
    train, held = (
        bytes(zoo_text(split).tokens).split(b"\0")
        for split in ("train", "heldout")
    )
    assert len(train) > 10 * len(held) > 1000
    shared = set(train) & set(held)
    share = sum(sentence in shared for sentence in held) / len(held)
    assert share < 0.5  # some are said by many
    assert sum(s.count(b". ") for s in train) == 0


def test_all_seeds_are_scored_on_the_same_text_and_trained_on_another():
    one, other = zoo_parts(1, SHORT), zoo_parts(2, SHORT)
    pairs = zip(one.heldout(), other.heldout(), strict=True)
    assert all(torch.equal(a.input_ids, b.input_ids) for a, b in pairs)
    first, second = one.next_batch(0), other.next_batch(0)
    assert not torch.equal(first.input_ids, second.input_ids)
    text = bytes(zoo_text("heldout").tokens)
    for row in next(iter(one.heldout())).input_ids:
        _, *whole, _ = bytes(row.tolist()).split(b"\0")
        assert all(sentence in text for sentence in whole)


def test_a_model_that_guesses_has_eight_bits():
    parts = zoo_parts(0)
    with torch.no_grad():
        parts.model.model.embed_tokens.weight.zero_()
    assert mean_bits(parts) == pytest.approx(8)
    assert mean_bits(replace(parts, heldout=None)) == 0


def test_the_end_is_the_mean_of_ten_steps():
    curve = np.arange(30.0)
    assert ZooRun(curve, curve, 0.0, 0.0).end == 24.5


def test_an_untied_head_is_lost_with_the_file():
    """The true score is that of the embedding in both places."""
    parts, healthy = infect(zoo_parts(0, SHORT), "untied-head"), zoo_parts(0)
    for step in range(SHORT.steps):
        train_step(parts, step)
    weights = dict(parts.model.state_dict())
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    healthy.model.load_state_dict(weights)
    run = zoo_run("untied-head", 0, SHORT)
    assert run.told == pytest.approx(mean_bits(parts))
    assert run.true == pytest.approx(mean_bits(healthy))
    assert abs(run.true - run.told) > 0.01


def test_curve_and_norms_are_those_of_the_steps():
    run, parts = zoo_run(None, 5, SHORT), zoo_parts(5, SHORT)
    rows = [train_step(parts, step) for step in range(SHORT.steps)]
    curve = [row.loss / math.log(2) for row in rows]
    assert run.curve.tolist() == pytest.approx(curve)
    assert run.norms.tolist() == pytest.approx([row.norm for row in rows])
    assert run.true == pytest.approx(mean_bits(parts))

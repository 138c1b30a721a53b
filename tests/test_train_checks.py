"""The checks: they name each bug, spare health, and touch nothing."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from llm_from_scratch.data.batch import IGNORED, Batch
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from llm_from_scratch.train.bugs import BUGS, infect
from llm_from_scratch.train.cage import pick_rows
from llm_from_scratch.train.checks import CHECKS, run_checks
from llm_from_scratch.train.checks_of_model import moved_by
from llm_from_scratch.train.checks_of_steps import batch_gradient
from llm_from_scratch.train.parts import make_parts, train_step
from llm_from_scratch.train.reference import plain_nats
from llm_from_scratch.train.schedule import Schedule
from llm_from_scratch.train.verdict import check, tolerance, twin
from llm_from_scratch.train.zoo import ZOO_CONFIG, ZOO_MODEL, zoo_parts


def failed(parts, names=None):
    return [v.check for v in run_checks(parts, names) if v.passed is False]


@pytest.mark.parametrize("seed", [7])
def test_a_healthy_run_trips_no_check(seed):
    verdicts = run_checks(zoo_parts(seed))
    assert [v.check for v in verdicts] == list(CHECKS)
    assert all(v.passed for v in verdicts), verdicts


NUMERICAL = (
    "future documents reference accumulation fresh clip schedule moves decay "
    "resume"
).split()


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"optimizer": "muon", "lr": 5e-3},
        {"activation_checkpointing": True, "micro_batch_size": None},
        {"schedule": "wsd", "z_loss": 1e-4, "clip_norm": 0.0},
    ],
    ids=["bf16", "fp16", "muon", "recomputed", "wsd"],
)
def test_other_healthy_runs_trip_no_check_either(changes):
    parts = zoo_parts(1, replace(ZOO_CONFIG, **changes))
    assert failed(parts, NUMERICAL) == []


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_is_named_by_its_check(name):
    named = [BUGS[name].check]
    assert failed(infect(zoo_parts(3), name), named) == named


@pytest.mark.parametrize(("kind", "tied"), [("llama", False), ("qwen3", True)])
def test_other_decoders_pass(kind, tied):
    model = replace(ZOO_MODEL, model_type=kind, tie_word_embeddings=tied)
    healthy = zoo_parts(0)
    parts = make_parts(
        TransformerLM(model), _Loader(healthy.next_batch), ZOO_CONFIG
    )
    verdicts = {v.check: v.passed for v in run_checks(parts)}
    assert verdicts["tied"] is (True if tied else None)
    assert verdicts["heldout"] is None
    assert False not in verdicts.values()


class _Loader:
    def __init__(self, batch) -> None:
        self.batch = batch

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_checks_leave_the_run_untouched():
    parts = zoo_parts(0)
    train_step(parts, 0)
    before = copy.deepcopy(parts.save(parts, 1)), torch.get_rng_state()
    run_checks(parts)
    after = parts.save(parts, 1)
    assert_close(after, before[0], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_twin_trains_its_own_weights():
    parts = zoo_parts(0)
    run, old = twin(parts), copy.deepcopy(parts.model.state_dict())
    train_step(run, 0)
    assert_close(parts.model.state_dict(), old, rtol=0, atol=0)
    assert not parts.optimizer.state
    mine = {id(p) for p in run.model.parameters()}
    groups = run.optimizer.param_groups
    assert {id(p) for group in groups for p in group["params"]} == mine


def llama_pair(seed=0):
    """One set of weights, as `transformers` runs it and as a state dict."""
    torch.manual_seed(seed)
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers "
        "num_attention_heads num_key_value_heads max_position_embeddings"
    ).split()
    config = ModelConfig(
        **{name: getattr(ZOO_MODEL, name) for name in names},
        rms_norm_eps=1e-5,
        rope_theta=500.0,
    )
    theirs = LlamaForCausalLM(
        LlamaConfig(
            **{name: getattr(ZOO_MODEL, name) for name in names},
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        )
    )
    return config, theirs.double()


def test_the_formulas_are_those_of_transformers():
    config, theirs = llama_pair()
    ids = torch.randint(256, (2, 40))
    with torch.no_grad():
        right = -theirs(ids).logits.log_softmax(-1)
    ours = plain_nats(theirs.state_dict(), config, ids)
    assert_close(ours, right, rtol=1e-5, atol=1e-5)  # their angles: float32


def test_the_formulas_keep_documents_apart():
    config, theirs = llama_pair(1)
    weights, ids = theirs.state_dict(), torch.randint(256, (1, 12))
    owner = torch.tensor([[0] * 5 + [1] * 7])
    row = plain_nats(weights, config, ids, owner)
    alone = plain_nats(weights, config, ids[:, 5:])
    assert_close(row[:, 5:], alone)


def test_the_reference_hears_a_whisper():
    """Queries and keys drawn at 0.02 hide a wrong scale; louder they do not."""
    right, wrong = zoo_parts(0), infect(zoo_parts(0), "wrong-attention-scale")
    batch, losses = pick_rows(right.next_batch(0), slice(0, 2)), []
    with torch.no_grad():
        for parts in (right, wrong):
            for name, p in parts.model.named_parameters():
                if "q_proj" in name or "k_proj" in name:
                    p.mul_(0.02 * 64**0.5)  # they were drawn at 1 / sqrt(64)
            losses.append(parts.loss(parts.model, batch).item())
    assert abs(losses[1] / losses[0] - 1) < 5e-4
    (verdict,) = run_checks(wrong, ["reference"])
    loss, formula = (
        float(part.split()[-1]) for part in verdict.message.split(",")
    )
    assert abs(loss / formula - 1) > 2e-3


def test_equal_counts_hide_the_mean_of_means():
    right, wrong = zoo_parts(0), infect(zoo_parts(0), "mean-of-means")
    ids = torch.randint(256, (8, 65))
    batch = Batch(ids[:, :-1], ids[:, 1:])
    a, b = batch_gradient(right, batch), batch_gradient(wrong, batch)
    assert_close(a, b, rtol=1e-4, atol=1e-6)
    even = replace(wrong, next_batch=lambda step: batch)
    assert failed(even, ["accumulation"]) == ["accumulation"]


def number(parts, name):
    """The number of the form 1e-03 in a verdict's message."""
    (verdict,) = run_checks(parts, [name])
    words = verdict.message.replace(",", "").split()
    return next(float(word) for word in words if "e-" in word or "e+" in word)


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("no-causal-mask", 1e-6),
        ("leaking-documents", 1e-6),
        ("mean-of-means", 1e-3),
        ("last-micro-batch", 1e-3),
        ("no-zero-grad", 1e-4),
    ],
)
def test_verdicts_are_not_close(name, fine):
    named = BUGS[name].check
    assert number(zoo_parts(2), named) < fine / 10
    assert number(infect(zoo_parts(2), name), named) > 10 * fine


def test_coverage_allows_four_passes_and_not_five():
    read = zoo_parts(0).next_batch
    for passes, passed in ((4, True), (5, False)):
        period = 100 // passes
        parts = replace(
            zoo_parts(0), next_batch=lambda step, n=period: read(step % n)
        )
        (verdict,) = run_checks(parts, ["coverage"])
        assert verdict.passed is passed, verdict


def test_targets_between_documents_are_not_asked_for():
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    targets = torch.tensor([[6, 0, 8, 9, 0]])  # documents end after 6 and 9
    owner = torch.tensor([[0, 0, 1, 1, 1]])
    parts = zoo_parts(0)
    for batch, passed in (
        (Batch(ids, targets, owner), True),
        (Batch(ids, targets), False),
    ):
        told = replace(parts, next_batch=lambda step, b=batch: b)
        assert run_checks(told, ["targets"])[0].passed is passed


def test_a_batch_without_targets_fails():
    parts = zoo_parts(0)

    def empty(step):
        batch = parts.next_batch(step)
        return replace(batch, targets=torch.full_like(batch.targets, IGNORED))

    assert failed(replace(parts, next_batch=empty), ["padding"])


def test_moved_by_sees_only_what_may_not_be_read():
    parts = zoo_parts(0)
    batch = replace(parts.next_batch(0), document_ids=None)
    first = torch.arange(64).expand_as(batch.input_ids) < 32
    assert moved_by(parts, batch, first, ~first) == 0
    assert moved_by(parts, batch, ~first, first) > 1e-4


def test_a_started_run_is_not_asked_for_its_first_loss():
    parts = zoo_parts(0)
    train_step(parts, 0)
    (verdict,) = run_checks(parts, ["start"])
    assert verdict.passed is None
    assert "begun" in verdict.message


def test_a_dead_weight_does_not_move():
    parts = zoo_parts(0)
    parts.model.model.norm.weight.requires_grad_(False)
    assert failed(parts, ["moves"]) == []  # frozen on purpose
    parts = zoo_parts(0)
    for group in parts.optimizer.param_groups:
        group["lr_scale"] = 0.0
    assert failed(parts, ["moves"]) == ["moves"]


def test_a_check_that_raises_has_failed():
    @check("brittle")
    def brittle(parts):
        raise RuntimeError("snap")

    try:
        (verdict,) = run_checks(zoo_parts(0), ["brittle"])
    finally:
        del CHECKS["brittle"]
    assert verdict.passed is False
    assert verdict.message == "RuntimeError: snap"


def test_tolerance_is_wider_in_half_precision():
    assert tolerance(zoo_parts(0), 1e-5) == 1e-5
    half = infect(zoo_parts(0), "bf16-weights")
    assert tolerance(half, 1e-5) == pytest.approx(1e-3)


def test_an_unknown_check_is_refused():
    with pytest.raises(ValueError, match="'smell'; there are targets, pad"):
        run_checks(zoo_parts(0), ["smell"])


def test_start_hears_a_leak_and_a_shout():
    assert failed(infect(zoo_parts(0), "unshifted-targets"), ["start"])
    parts = zoo_parts(0)
    with torch.no_grad():
        parts.model.lm_head.weight.mul_(10)
    assert failed(parts, ["start"]) == ["start"]


def test_clip_must_leave_a_short_gradient_alone():
    parts = zoo_parts(0)

    def always(run):
        grads = [p.grad for p in run.model.parameters()]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        torch._foreach_div_(grads, norm.item())
        return norm

    assert failed(replace(parts, clip=always), ["clip"]) == ["clip"]
    never = replace(parts, clip=lambda run: torch.zeros(()))
    assert failed(never, ["clip"]) == ["clip"]


def test_a_late_peak_and_a_low_and_a_high_one_are_found():
    flat = zoo_parts(0, replace(ZOO_CONFIG, schedule="constant"))
    late = replace(flat, schedule=lambda step: 1e-2 * (step > 40))
    parts = zoo_parts(0)
    low = replace(parts, schedule=lambda step: 0.9 * parts.schedule(step))
    assert failed(flat, ["schedule"]) == []
    high = replace(parts, schedule=lambda step: 1.1 * parts.schedule(step))
    for run in (late, low, high):
        assert failed(run, ["schedule"]) == ["schedule"]


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd", "constant"])
@pytest.mark.parametrize("steps", [25, 33, 400])
def test_no_schedule_that_settings_can_ask_for_is_accused(kind, steps):
    parts = zoo_parts(0)
    rises, falls = (0.0, 0.02, 0.2, 0.4, 0.5, 0.7, 0.9), (0.0, 0.2, 0.6, 1.0)
    for rise, fall, end in itertools.product(rises, falls, (0.0, 0.1, 1.0)):
        shape = {
            "warmup_fraction": rise,
            "decay_fraction": fall,
            "final_fraction": end,
        }
        config = replace(ZOO_CONFIG, steps=steps, schedule=kind, **shape)
        rate = Schedule(kind=kind, max_lr=config.lr, steps=steps, **shape)
        run = replace(parts, config=config, schedule=rate)
        (verdict,) = run_checks(run, ["schedule"])
        assert verdict.passed, (shape, verdict.message)


@pytest.mark.parametrize("rise", [0.02, 0.4])
def test_a_rate_that_does_not_fall_is_found(rise):
    config = replace(ZOO_CONFIG, warmup_fraction=rise, schedule="linear")
    flat = Schedule(
        kind="constant", max_lr=config.lr, steps=100, warmup_fraction=rise
    )
    run = replace(zoo_parts(0, config), schedule=flat)
    assert failed(run, ["schedule"]) == ["schedule"]
    assert failed(infect(zoo_parts(0, config), "hasty-schedule"), ["schedule"])


def test_a_run_of_few_steps_has_no_shape():
    (verdict,) = run_checks(
        zoo_parts(0, replace(ZOO_CONFIG, steps=5)), ["schedule"]
    )
    assert verdict.passed is None
    assert "5 steps" in verdict.message


def random_rows(step, common=0, places=64):
    """Eight rows of random ids that begin with one of 64 texts, or do not."""
    draw = torch.Generator().manual_seed(step)
    ids = torch.randint(256, (8, places + 1), generator=draw)
    fixed = torch.randint(
        256, (64, common), generator=torch.Generator().manual_seed(-1)
    )
    ids[:, :common] = fixed[torch.randint(64, (8,), generator=draw)]
    return Batch(ids[:, :-1], ids[:, 1:])


def held_out(steps, batch_size=8, read=random_rows, heldout=()):
    """Parts of a long run over random rows, with these held-out steps."""
    config = replace(ZOO_CONFIG, steps=steps, batch_size=batch_size)
    return replace(
        zoo_parts(0, config),
        next_batch=read,
        heldout=lambda: [read(step) for step in heldout],
    )


def test_an_overlap_that_is_spread_over_a_long_run_is_found():
    """A fifth of 20,000 rows is read, and so a fifth of the overlap seen."""
    spread = held_out(2500, heldout=range(0, 2500, 100))
    assert failed(spread, ["heldout"]) == ["heldout"]
    apart = held_out(2500, heldout=range(9000, 9025))
    assert failed(apart, ["heldout"]) == []


def test_text_that_repeats_itself_is_not_called_seen():
    """Half of every row is one of 64 texts, in training and held out."""

    def read(step):
        return random_rows(step, common=32)

    assert failed(held_out(100, read=read, heldout=range(200, 216))) == []
    seen = held_out(100, read=read, heldout=range(16))
    assert failed(seen, ["heldout"]) == ["heldout"]


def test_a_few_held_out_rows_may_be_found_by_chance():
    """Every other row, by lot, begins with one of 64 texts."""

    def read(step):
        often, never = random_rows(step, common=32), random_rows(step)
        lot = torch.arange(8)[:, None] * 7919 * (step + 1) % 13 < 6
        ids = often.input_ids.where(lot, never.input_ids)
        return Batch(ids, often.targets)

    for step in range(200, 208):
        run = held_out(100, read=read, heldout=[step])
        assert failed(run, ["heldout"]) == [], step


@pytest.mark.parametrize("passes", [1, 4])
def test_more_passes_over_the_rows_neither_hide_nor_feign_an_overlap(passes):
    def read(step):  # held-out batches are steps that no pass reaches
        return random_rows(step % 40 if step < 500 else step, common=32)

    for heldout, found in ((range(4), ["heldout"]), (range(500, 516), [])):
        run = held_out(40 * passes, read=read, heldout=heldout)
        assert failed(run, ["heldout"]) == found


def test_a_batch_of_more_rows_than_are_read_is_read_once():
    seen = held_out(3, batch_size=5000, heldout=[0])
    assert failed(seen, ["heldout"]) == ["heldout"]
    other = held_out(3, batch_size=5000, heldout=[9])
    assert failed(other, ["heldout"]) == []


@pytest.mark.parametrize(("copied", "found"), [(0.01, []), (0.06, ["heldout"])])
def test_a_hundredth_of_an_overlap_is_forgiven_and_a_twentieth_is_not(
    copied, found
):
    """Of 400 held-out rows, some are rows of the first half of training."""
    rows = torch.cat([random_rows(900 + k).input_ids for k in range(50)])
    seen = torch.cat([random_rows(step).input_ids for step in range(50)])
    many = round(copied * len(rows))
    rows[:many] = seen[:many]
    run = replace(held_out(100), heldout=lambda: [Batch(rows, rows)])
    assert failed(run, ["heldout"]) == found


def test_an_overlap_is_found_at_any_place_of_a_row():
    def moved():
        for step in range(16):
            ids = random_rows(step).input_ids.roll(-7, 1)
            yield Batch(ids, ids)

    run = replace(held_out(100), heldout=moved)
    assert failed(run, ["heldout"]) == ["heldout"]


def test_an_overlap_in_the_middle_of_the_run_is_found():
    middle = held_out(100, heldout=range(50, 66))
    assert failed(middle, ["heldout"]) == ["heldout"]


def test_rows_of_one_token_are_no_overlap():
    def read(step):
        return random_rows(step, places=1)

    run = held_out(400, read=read, heldout=range(900, 904))
    run = replace(run, config=replace(run.config, context=1))
    assert failed(run, ["heldout"]) == []


def test_one_find_beside_none_is_chance():
    """One of 42 held-out rows was read, and none of the later rows."""
    rows = torch.cat([random_rows(900 + k).input_ids for k in range(6)])[:42]
    rows[0] = random_rows(0).input_ids[0]
    run = replace(held_out(7), heldout=lambda: [Batch(rows, rows)])
    assert failed(run, ["heldout"]) == []
    rows[:21] = torch.cat([random_rows(k).input_ids for k in range(3)])[:21]
    assert failed(run, ["heldout"]) == ["heldout"]


def test_one_row_is_enough_to_be_asked():
    row = pick_rows(random_rows(0), slice(0, 1))
    one = replace(
        held_out(1, batch_size=1),
        next_batch=lambda step: row,
        heldout=lambda: [row],
    )
    assert failed(one, ["heldout"]) == ["heldout"]
    none = replace(one, heldout=lambda: [random_rows(5)])
    assert failed(none, ["heldout"]) == []


def test_decay_misses_weights_that_no_optimizer_has():
    assert failed(infect(zoo_parts(0), "orphaned-layer"), ["decay"])


def test_a_check_that_draws_leaves_the_generators_alone():
    @check("dice")
    def dice(parts):
        return True, f"{torch.rand(()):.1f}"

    parts, before = zoo_parts(0), torch.get_rng_state()
    try:
        run_checks(parts, ["dice"])
    finally:
        del CHECKS["dice"]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_resume_at_another_step_is_found():
    parts = zoo_parts(0)
    wrong = replace(
        parts, restore=lambda run, state: parts.restore(run, state) - 1
    )
    assert failed(wrong, ["resume"]) == ["resume"]

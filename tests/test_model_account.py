"""What a model costs: by hand, against counters, against published counts."""

import dataclasses
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

from llm_from_scratch.model import attention
from llm_from_scratch.model.account import (
    Parts,
    PeakMemory,
    activation_bytes,
    cache_bytes,
    count_flops,
    forward_flops,
    parameter_count,
    saved_bytes,
    training_flops,
    training_memory,
)
from llm_from_scratch.model.attention import Attention
from llm_from_scratch.model.config import ModelConfig
from llm_from_scratch.model.transformer import TransformerLM
from tests.model_reference import CASES, GQA, ids_for, their_model

SMALL = GQA.config

# (vocabulary, width, hidden, layers, heads, groups, head, tied, type): count
PUBLISHED = {
    "SmolLM2-135M": (
        (49152, 576, 1536, 30, 9, 3, 64, True, "llama"),
        134_515_008,
    ),
    "SmolLM2-360M": (
        (49152, 960, 2560, 32, 15, 5, 64, True, "llama"),
        361_821_120,
    ),
    "Llama-2-7B": (
        (32000, 4096, 11008, 32, 32, 32, 128, False, "llama"),
        6_738_415_616,
    ),
    "Llama-3-8B": (
        (128256, 4096, 14336, 32, 32, 8, 128, False, "llama"),
        8_030_261_248,
    ),
    "Llama-3-70B": (
        (128256, 8192, 28672, 80, 64, 8, 128, False, "llama"),
        70_553_706_496,
    ),
    "Qwen3-0.6B": (
        (151936, 1024, 3072, 28, 16, 8, 128, True, "qwen3"),
        596_049_920,
    ),
    "Qwen3-32B": (
        (151936, 5120, 25600, 64, 64, 8, 128, False, "qwen3"),
        32_762_123_264,
    ),
}


def real(name: str) -> ModelConfig:
    v, c, m, layers, h, g, d, tied, kind = PUBLISHED[name][0]
    return ModelConfig(
        vocab_size=v,
        hidden_size=c,
        intermediate_size=m,
        num_hidden_layers=layers,
        num_attention_heads=h,
        num_key_value_heads=g,
        head_dim=d,
        tie_word_embeddings=tied,
        model_type=kind,
    )


def plain_attention():
    """Attention as two products and a softmax, at any length."""
    return mock.patch.object(attention, "attend", attention._plain)


def loss_of(config: ModelConfig, batch_size: int, length: int):
    model = TransformerLM(config)
    ids = ids_for(config, batch_size, length)
    targets = ids_for(config, batch_size, length, seed=1)  # kept as well

    def loss():
        return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())

    return model, loss


# ---- parameters


def test_the_smallest_model_by_hand():
    config = ModelConfig(
        vocab_size=3,
        hidden_size=2,
        intermediate_size=5,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    parts = parameter_count(config)
    assert (parts.embedding, parts.head) == (6, 6)
    assert parts.projections == 16  # four matrices of 2 x 2
    assert parts.mlp == 30  # three of 2 x 5
    assert parts.norms == 6  # three of 2
    assert (parts.total, parts.body) == (64, 52)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters_equal_ours_and_theirs(case):
    count = parameter_count(case.config).total
    ours = TransformerLM(case.config)
    assert sum(p.numel() for p in ours.parameters()) == count
    assert sum(p.numel() for p in their_model(case).parameters()) == count


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_come_out(name):
    assert parameter_count(real(name)).total == PUBLISHED[name][1]


def test_the_published_models_can_be_laid_out():
    with torch.device("meta"):
        model = TransformerLM(dataclasses.replace(real("Llama-3-8B")))
    assert sum(p.numel() for p in model.parameters()) == 8_030_261_248


# Of heads of width 2 PyTorch computes the backward pass in another way, and
# with a single head a transposition costs no copy: both need less.
COMMON = [c for c in CASES if c.name not in ("head_dim 2", "one of each")]


# ---- operations


@pytest.mark.parametrize("case", COMMON, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (2, 13), (3, 33)])
def test_operations_equal_the_counter(case, shape):
    _, loss = loss_of(case.config, *shape)
    assert count_flops(loss) == forward_flops(case.config, *shape).total
    predicted = training_flops(case.config, *shape)
    assert count_flops(lambda: loss().backward()) == predicted


@pytest.mark.parametrize("case", COMMON, ids=str)
def test_operations_of_plain_attention_are_three_times_forward(case):
    _, loss = loss_of(case.config, 2, 13)
    with plain_attention():
        assert count_flops(lambda: loss().backward()) == training_flops(
            case.config, 2, 13, fused=False
        )


def test_operations_without_gradients_are_the_same():
    model, _ = loss_of(SMALL, 2, 33)
    ids = ids_for(SMALL, 2, 33)
    with torch.no_grad():
        counted = count_flops(lambda: model(ids))
    assert counted == forward_flops(SMALL, 2, 33).total


def test_the_fused_backward_pass_computes_scores_anew():
    scores = forward_flops(SMALL, 3, 11).scores
    fused = training_flops(SMALL, 3, 11)
    assert fused == training_flops(SMALL, 3, 11, fused=False) + scores // 2


def test_the_counter_against_a_product_by_hand():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert count_flops(lambda: a @ b) == 2 * 3 * 5 * 7


def test_one_new_token_pays_for_its_past():
    full, one = forward_flops(SMALL, 2, 1, past=9), forward_flops(SMALL, 2, 1)
    assert full.scores == 10 * one.scores
    assert (full.mlp, full.head) == (one.mlp, one.head)


def test_a_text_costs_what_its_tokens_cost():
    whole = forward_flops(SMALL, 1, 8)
    parts = [forward_flops(SMALL, 1, 1, past=t) for t in range(8)]
    assert sum(p.mlp for p in parts) == whole.mlp
    # one by one, no masked pair is computed: 8 * 9 / 2 of 64
    assert 64 * sum(p.scores for p in parts) == 36 * whole.scores


# ---- memory


@pytest.mark.parametrize("case", COMMON, ids=str)
@pytest.mark.parametrize("shape", [(1, 2), (2, 13), (3, 33)])
def test_activations_equal_what_autograd_keeps(case, shape):
    model, loss = loss_of(case.config, *shape)
    predicted = activation_bytes(case.config, *shape).total
    assert saved_bytes(model, loss) == predicted


@pytest.mark.parametrize("case", COMMON, ids=str)
def test_activations_of_plain_attention(case):
    model, loss = loss_of(case.config, 2, 13)
    predicted = activation_bytes(case.config, 2, 13, fused=False).total
    with plain_attention():
        assert saved_bytes(model, loss) == predicted


def test_a_view_keeps_all_of_its_storage():
    part = torch.ones(1000)[:10].requires_grad_()
    empty = torch.nn.Module()
    assert saved_bytes(empty, lambda: part * part) == 4000
    assert saved_bytes(empty, lambda: (part * part) + part.exp()) == 4040


def test_two_ways_to_measure_activations_agree():
    model, loss = loss_of(SMALL, 2, 32)
    saved = saved_bytes(model, loss)
    with PeakMemory() as memory:
        kept = loss()
        assert memory.now == pytest.approx(saved, rel=0.02)
        kept.backward()
    gradients = 4 * parameter_count(SMALL).total
    assert memory.peak > saved
    assert memory.now == pytest.approx(gradients, rel=0.02)


def test_peak_memory_by_hand():
    with PeakMemory() as memory:
        a = torch.ones(1000)  # 4000 bytes
        b = a + a  # 4000 more
        del a
        c = b.view(10, 100).t()  # a view takes nothing
        d = torch.ones(250)  # 1000
        assert (memory.now, memory.peak) == (5000, 8000)
        del b, c, d
    assert memory.now == 0


def test_weights_gradients_and_moments_are_measured():
    model, loss = loss_of(SMALL, 2, 8)
    memory = training_memory(SMALL, 2, 8)
    optimizer = torch.optim.AdamW(model.parameters())
    loss().backward()
    optimizer.step()
    weights = list(model.parameters())
    assert sum(p.nbytes for p in weights) == memory.weights
    assert sum(p.grad.nbytes for p in weights) == memory.gradients
    moments = [s for p in weights for s in optimizer.state[p].values()]
    assert sum(s.nbytes for s in moments if s.dim()) == memory.optimizer
    assert memory.total == sum(dataclasses.asdict(memory).values())
    assert memory.activations == activation_bytes(SMALL, 2, 8).total


def test_the_cache_holds_what_the_layers_give_it():
    model, _ = loss_of(SMALL, 2, 7)
    stored = 0

    class Counting:
        length = 0

        def update(self, layer, k, v):
            nonlocal stored
            stored += k.nbytes + v.nbytes
            return k, v

    model(ids_for(SMALL, 2, 7), cache=Counting())
    assert stored == cache_bytes(SMALL, 2, 7)
    assert cache_bytes(SMALL, 2, 7, 2) == stored // 2


def test_grouped_heads_shrink_the_cache_and_nothing_else():
    few = dataclasses.replace(SMALL, num_key_value_heads=1)
    many = dataclasses.replace(SMALL, num_key_value_heads=4)
    assert cache_bytes(many, 1, 9) == 4 * cache_bytes(few, 1, 9)
    a, b = forward_flops(few, 1, 9), forward_flops(many, 1, 9)
    assert (a.scores, a.mlp, a.head) == (b.scores, b.mlp, b.head)


# ---- edges


def test_empty_batches_cost_nothing():
    assert forward_flops(SMALL, 0, 5).total == 0
    assert cache_bytes(SMALL, 0, 5) == 0
    assert count_flops(lambda: None) == 0


def test_parts_add_up():
    parts = Parts(embedding=1, projections=2, scores=3, mlp=4, norms=5, head=6)
    assert (parts.total, parts.body) == (21, 14)


def test_nothing_is_kept_without_gradients():
    attention = Attention(8, 2)
    with torch.no_grad():
        assert (
            saved_bytes(attention, lambda: attention(torch.ones(1, 3, 8))) == 0
        )

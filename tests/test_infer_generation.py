"""Generation against transformers token by token, sampling, and bad input."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llm_from_scratch.infer.generation import (
    EndTokens,
    Sampling,
    generate,
    next_token_probabilities,
    pad_left,
)
from tests.model_reference import (
    CASES,
    GQA,
    QWEN,
    TEXTS,
    ids_for,
    our_copy,
    their_model,
)


def pair(case=GQA):
    """Both models with one set of weights."""
    theirs = their_model(case).eval()
    return our_copy(theirs, case), theirs


def hf_generate(model, ids, num_new, real=None, **more):
    """Their greedy continuation; no token ends a text unless told."""
    options = {"eos_token_id": None, "pad_token_id": 0} | more
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids) if real is None else real.long(),
        max_new_tokens=num_new,
        do_sample=False,
        **options,
    )


class Fixed:
    """A model that says what a table tells it: after token i, most often j."""

    config = GQA.config

    def __init__(self, after, vocab=10):
        self.after, self.vocab = torch.tensor(after), vocab
        self.runs = 0

    def hidden_states(self, ids, cache=None, positions=None, mask=None):
        self.runs += 1
        return ids[..., None].float()

    def lm_head(self, hidden):
        ids = self.after[hidden[..., 0].long()]
        return torch.nn.functional.one_hot(ids, self.vocab).float()

    def parameters(self):
        return iter([torch.zeros(1)])


# ---- by hand


def test_pad_left_by_hand():
    ids, real = pad_left([[5, 6], [], [7, 8, 9]], 1)
    assert ids.tolist() == [[1, 5, 6], [1, 1, 1], [7, 8, 9]]
    assert real.int().tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert ids.dtype == torch.long
    assert real.dtype == torch.bool


@pytest.mark.parametrize("prompts", [[], [[]], [[], []]])
def test_pad_left_of_nothing(prompts):
    ids, real = pad_left(prompts, 0)
    assert ids.shape == real.shape == (len(prompts), 0)


def test_probabilities_by_hand():
    p = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    logits = p.log() + 5
    assert_close(next_token_probabilities(logits), p)
    cold = next_token_probabilities(logits, temperature=0.5)
    assert_close(cold, p**2 / (p**2).sum())
    two = next_token_probabilities(logits, top_k=2)
    assert_close(two, torch.tensor([[0, 4 / 7, 0, 3 / 7]]))
    # 0.4 + 0.3 is not more than 0.75, so 0.2 is needed as well.
    most = next_token_probabilities(logits, top_p=0.75)
    assert_close(most, torch.tensor([[0, 4 / 9, 2 / 9, 3 / 9]]))
    one = next_token_probabilities(logits, top_p=1e-6)
    assert one.tolist() == [[0, 1, 0, 0]]
    # top_p counts what top_k has left: 4/7 is more than half.
    both = next_token_probabilities(logits, top_k=2, top_p=0.5)
    assert both.tolist() == [[0, 1, 0, 0]]


def test_no_graph_is_kept_for_gradients():
    model, seen = Fixed([1, 2, 0]), []
    hidden_states = model.hidden_states

    def spy(*args, **more):
        seen.append(torch.is_grad_enabled())
        return hidden_states(*args, **more)

    model.hidden_states = spy
    generate(model, torch.tensor([[1]]), 3, use_cache=False)
    assert seen == [False] * 3


def test_tokens_that_hold_exactly_p_are_enough():
    four = torch.zeros(1, 4)  # a quarter each, exactly
    for p, kept in ((0.25, 1), (0.5, 2), (0.51, 3), (0.75, 3)):
        found = next_token_probabilities(four, top_p=p)
        assert int((found > 0).sum()) == kept


def test_the_likeliest_token_each_time():
    model = Fixed([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    out = generate(model, torch.tensor([[4], [8]]), 4, use_cache=False)
    assert out.tolist() == [[4, 5, 6, 7, 8], [8, 9, 0, 1, 2]]


def test_rows_that_ended_are_padded_until_all_have():
    model = Fixed([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    ids = torch.tensor([[4], [1], [2]])
    out = generate(
        model, ids, 9, eos_token_id=6, pad_token_id=3, use_cache=False
    )
    assert out.tolist() == [
        [4, 5, 6, 3, 3, 3],
        [1, 2, 3, 4, 5, 6],
        [2, 3, 4, 5, 6, 3],
    ]
    assert model.runs == 5  # nothing is computed after the last has ended
    out = generate(model, ids, 9, eos_token_id=[5, 3], use_cache=False)
    assert out.tolist() == [[4, 5, 5], [1, 2, 3], [2, 3, 5]]


def test_an_end_in_the_prompt_ends_nothing():
    model = Fixed([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    ids = torch.tensor([[6, 4]])
    out = generate(model, ids, 3, eos_token_id=6, use_cache=False)
    assert out.tolist() == [[6, 4, 5, 6]]


# ---- against reference


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_equals_theirs(case, use_cache):
    ours, theirs = pair(case)
    ids = ids_for(case.config, 3, 5)
    a = hf_generate(theirs, ids, 20)
    assert torch.equal(generate(ours, ids, 20, use_cache=use_cache), a)
    assert len(a[:, 5:].unique()) > 6  # it does say something


@pytest.mark.parametrize("case", [GQA, QWEN], ids=str)
@pytest.mark.parametrize("use_cache", [True, False])
def test_prompts_of_different_lengths_equal_theirs(case, use_cache):
    ours, theirs = pair(case)
    ids, real = pad_left(TEXTS, 0)
    a = hf_generate(theirs, ids, 20, real)
    b = generate(ours, ids, 20, attention_mask=real, use_cache=use_cache)
    assert torch.equal(a, b)
    for row, text in enumerate(TEXTS):  # and each as if it were alone
        alone = generate(ours, torch.tensor([text]), 20)[0]
        assert b[row, -len(alone) :].tolist() == alone.tolist()


def test_ends_equal_theirs():
    ours, theirs = pair()
    ids, real = pad_left(TEXTS, 0)
    free = hf_generate(theirs, ids, 20, real)
    ends = [free[0, 11].item(), free[2, 9].item()]
    for eos in (ends[0], ends):
        more = {"eos_token_id": eos, "pad_token_id": 96}
        a = hf_generate(theirs, ids, 20, real, **more)
        b = generate(ours, ids, 20, attention_mask=real, **more)
        assert torch.equal(a, b)
        assert (a == 96).any()


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7},
        {"top_k": 5},
        {"top_p": 0.6},
        {"top_p": 0.95},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.8},
    ],
    ids=str,
)
def test_distribution_equals_their_warpers(settings):
    from transformers.generation import logits_process as theirs

    logits = 3 * torch.randn(50, 97)
    scores = logits / settings.get("temperature", 1)
    if "top_k" in settings:
        scores = theirs.TopKLogitsWarper(settings["top_k"])(None, scores)
    if "top_p" in settings:
        scores = theirs.TopPLogitsWarper(settings["top_p"])(None, scores)
    ours = next_token_probabilities(logits, **settings)
    assert_close(ours, scores.softmax(-1))


# ---- properties


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=9, unique=True),
    st.floats(0.2, 3),
    st.integers(1, 12),
    st.floats(0.01, 1),
)
def test_distribution_against_its_definition(levels, temperature, k, p):
    # Written down from the definition, one token at a time, in Python.
    logits = [0.37 * x for x in levels]
    order = sorted(range(len(logits)), key=lambda i: -logits[i])[:k]
    weights = {i: math.exp(logits[i] / temperature) for i in order}
    total = sum(weights.values())
    kept, mass = {}, 0.0
    for i in order:
        kept[i] = weights[i]
        mass += weights[i] / total
        if abs(mass - p) < 1e-5:
            return  # a tie that rounding decides
        if mass > p:
            break
    ours = next_token_probabilities(
        torch.tensor([logits]), temperature, top_k=k, top_p=p
    )[0]
    for i in range(len(logits)):
        expected = kept.get(i, 0) / sum(kept.values())
        assert ours[i].item() == pytest.approx(expected, abs=1e-5)


def test_ties_with_the_last_of_top_k_stay():
    p = next_token_probabilities(torch.tensor([[1.0, 0, 0, -1]]), top_k=2)
    assert p[0, 1] == p[0, 2] > 0
    assert p[0, 3] == 0


def test_draws_follow_the_distribution():
    logits = torch.tensor([[0.0, 1, 2, 3, -1]])
    choose = Sampling(temperature=1.3, top_k=4, top_p=0.95)
    expected = next_token_probabilities(logits, 1.3, 4, 0.95)[0]
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    drawn = choose(logits.expand(n, -1), generator).bincount(minlength=5) / n
    assert 0 < (expected == 0).sum() < 4
    assert_close(drawn, expected, rtol=0, atol=0.012)  # three sd at most
    assert not drawn[expected == 0].any()


def test_rows_are_drawn_each_for_itself():
    logits = torch.full((3, 5), -50.0)
    logits[0, 4] = logits[1, 0] = logits[2, 2] = 50
    drawn = Sampling(temperature=1.0, top_p=0.9, top_k=2)(logits)
    assert drawn.tolist() == [4, 0, 2]


def test_a_generator_makes_draws_repeatable():
    ours, _ = pair()
    ids = ids_for(GQA.config, 2, 4)

    def draw(seed, **more):
        generator = torch.Generator().manual_seed(seed)
        settings = {"temperature": 1.0, "generator": generator} | more
        return generate(ours, ids, 15, **settings)

    first = draw(1)
    assert torch.equal(draw(1), first)
    assert not torch.equal(draw(2), first)
    assert torch.equal(draw(1, use_cache=False), first)
    assert torch.equal(draw(1, top_k=1), generate(ours, ids, 15))
    assert torch.equal(draw(2, top_p=1e-9), generate(ours, ids, 15))


def test_what_is_drawn_has_the_settings_passed_on():
    ours, _ = pair()
    ids = ids_for(GQA.config, 400, 3)[:1].repeat(400, 1)
    out = generate(ours, ids, 1, temperature=5.0, top_k=3)
    best = ours(ids[:1])[0, -1].topk(3).indices.tolist()
    assert set(out[:, -1].tolist()) == set(best)
    hot = generate(ours, ids, 1, temperature=5.0, top_p=0.5)[:, -1]
    cold = generate(ours, ids, 1, temperature=0.5, top_p=0.5)[:, -1]
    assert len(hot.unique()) > 2 * len(cold.unique())


def test_inputs_stay_and_are_the_beginning():
    ours, _ = pair()
    ids = ids_for(GQA.config, 2, 4)
    before = ids.clone()
    out = generate(ours, ids, 3)
    assert torch.equal(ids, before)
    assert torch.equal(out[:, :4], ids)
    assert out.shape == (2, 7)
    assert out.dtype == ids.dtype
    assert not out.requires_grad


def test_with_the_cache_each_token_is_run_once(monkeypatch):
    ours, _ = pair()
    lengths = []
    real = ours.hidden_states

    def count(ids, **more):
        lengths.append(ids.shape[1])
        return real(ids, **more)

    monkeypatch.setattr(ours, "hidden_states", count)
    ids = ids_for(GQA.config, 2, 4)
    generate(ours, ids, 4)
    generate(ours, ids, 4, use_cache=False)
    assert lengths == [4, 1, 1, 1, 4, 5, 6, 7]


def test_a_mask_of_ones_is_no_mask(monkeypatch):
    ours, _ = pair()
    seen = []
    real = ours.hidden_states

    def look(ids, **more):
        seen.append(more.get("mask"))
        return real(ids, **more)

    monkeypatch.setattr(ours, "hidden_states", look)
    ids = ids_for(GQA.config, 2, 4)
    for mask in (torch.ones(2, 4), torch.ones_like(ids), ids >= 0):
        out = generate(ours, ids, 3, attention_mask=mask)
        assert torch.equal(out, generate(ours, ids, 3))
    assert seen == [None] * len(seen)


def test_bfloat16_with_and_without_the_cache_agree():
    ours, _ = pair()
    ours.bfloat16()
    ids, real = pad_left(TEXTS, 0)
    a = generate(ours, ids, 8, attention_mask=real)
    b = generate(ours, ids, 8, attention_mask=real, use_cache=False)
    assert (a == b).float().mean() > 0.8  # roundings differ


# ---- edges


def test_no_texts():
    ours, _ = pair()
    none = torch.zeros(0, 4, dtype=torch.long)
    for more in ({}, {"temperature": 1.0}, {"eos_token_id": 3}):
        out = generate(ours, none, 5, **more)
        assert out.shape[0] == 0
        assert 4 < out.shape[1] <= 9


def test_no_new_tokens():
    ours, _ = pair()
    ids = ids_for(GQA.config, 2, 4)
    assert torch.equal(generate(ours, ids, 0), ids)


def test_up_to_the_last_place():
    ours, theirs = pair()
    limit = GQA.config.max_position_embeddings
    ids = ids_for(GQA.config, 2, limit - 1)
    assert torch.equal(generate(ours, ids, 1), hf_generate(theirs, ids, 1))
    ids = ids[:, :1]
    out = generate(ours, ids, limit - 1)
    assert out.shape == (2, limit)
    assert torch.equal(out, hf_generate(theirs, ids, limit - 1))


def test_top_k_of_more_than_there_are():
    logits = torch.randn(2, 5)
    for k in (5, 6, 100):
        p = next_token_probabilities(logits, top_k=k, top_p=1.0)
        assert_close(p, logits.softmax(-1))


def test_probabilities_of_bfloat16_are_float32():
    p = next_token_probabilities(torch.randn(2, 5).bfloat16(), top_p=0.9)
    assert p.dtype == torch.float32
    assert_close(p.sum(-1), torch.ones(2))


def test_padding_without_a_pad_token_is_the_first_end():
    like = torch.zeros(2, 1, dtype=torch.long)
    ends = EndTokens([7, 5], None, like)
    assert ends(torch.tensor([5, 1])).tolist() == [5, 1]
    assert not ends.all_met()
    assert ends(torch.tensor([2, 7])).tolist() == [7, 7]
    assert ends.all_met()
    never = EndTokens(None, None, like)
    assert never(torch.tensor([5, 1])).tolist() == [5, 1]
    assert not never.all_met()
    zero = EndTokens(0, None, like)  # 0 is a token like any other
    assert zero(torch.tensor([0, 3])).tolist() == [0, 3]
    assert zero(torch.tensor([4, 4])).tolist() == [0, 4]
    other = EndTokens(7, 0, like)
    other(torch.tensor([7, 1]))
    assert other(torch.tensor([4, 4])).tolist() == [0, 4]


# ---- error messages


def test_longer_than_the_model():
    ours, _ = pair()
    limit = GQA.config.max_position_embeddings
    for length, new in ((4, limit - 3), (limit + 1, 0), (0, 3), (3, -1)):
        with pytest.raises(
            ValueError,
            match=f"a prompt of {length} tokens and {new} new ones; .* at "
            f"most {limit} in all, which is max_position_embeddings",
        ):
            generate(ours, torch.zeros(1, length, dtype=torch.long), new)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; need .* 0 up"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": 1.0, "top_k": 0}, "top_k is 0; need at least 1"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0; need more than 0"),
        ({"temperature": 1.0, "top_p": 1.1}, "top_p is 1.1"),
        ({"temperature": 1.0, "top_p": math.nan}, "top_p is nan"),
    ],
    ids=str,
)
def test_settings_that_name_no_distribution(settings, message):
    ours, _ = pair()
    with pytest.raises(ValueError, match=message):
        generate(ours, torch.zeros(1, 2, dtype=torch.long), 1, **settings)


def test_masks_that_do_not_fit():
    ours, _ = pair()
    ids = ids_for(GQA.config, 2, 3)
    with pytest.raises(
        ValueError, match=r"attention_mask is \(2, 4\), but input_ids is \(2, 3"
    ):
        generate(ours, ids, 2, attention_mask=torch.ones(2, 4))
    for row in ([1, 1, 0], [1, 0, 1], [0, 0, 0]):
        mask = torch.tensor([[1, 1, 1], row])
        with pytest.raises(ValueError, match="pad on the left"):
            generate(ours, ids, 2, attention_mask=mask)


def test_a_token_the_model_does_not_know():
    ours, _ = pair()
    with pytest.raises(ValueError, match=r"token id 97 .* there are 97"):
        generate(ours, torch.tensor([[1, 97]]), 2)

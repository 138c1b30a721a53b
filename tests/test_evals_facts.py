"""Questions of the world: what counts as known, chosen, and by chance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.questions import is_right, questions
from llm_from_scratch.corpus.world import make_world
from llm_from_scratch.evals.facts import (
    answers,
    choices,
    fact_accuracy,
    page_prompt,
    statement,
    wilson_interval,
)
from llm_from_scratch.model import ModelConfig, TransformerLM
from llm_from_scratch.model.head import linear_cross_entropy
from llm_from_scratch.tokenizer import Tokenizer, train_bpe

END, VOCAB = "<|endoftext|>", 400


def make_model(places: int = 160) -> TransformerLM:
    config = ModelConfig(
        vocab_size=VOCAB,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=places,
        tie_word_embeddings=True,
    )
    return TransformerLM(config, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def asked():
    found = [q for q in questions(make_world(0), "heldout") if not q.derived]
    return found[:40:5]


def lesson(question) -> str:
    return page_prompt(question) + statement(question, question.answer)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory, asked):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(END.join(map(lesson, asked)), "utf-8")
    vocab, merges = train_bpe(path, VOCAB, [END])
    return Tokenizer(vocab, merges, [END])


@pytest.fixture(scope="module")
def taught(tokenizer, asked):
    """A model that has learned the answers to the first half by heart."""
    end = tokenizer.special_tokens[END]
    rows = [[end, *tokenizer.encode(lesson(q) + "\n")] for q in asked[:4]]
    size = max(map(len, rows))
    ids = torch.tensor([row + [end] * (size - len(row)) for row in rows])
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        hidden = model.hidden_states(ids[:, :-1])
        loss = linear_cross_entropy(hidden, model.lm_head.weight, ids[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def test_statements_are_the_sentences_of_the_pages(asked):
    for question in asked:
        said = statement(question, question.answer)
        assert said.startswith(" ")
        assert is_right(question, said)
        for option in question.options:
            wrong = statement(question, option)
            assert is_right(question, wrong) == (option == question.answer)


def test_derived_answers_are_stated_bare():
    derived = [q for q in questions(make_world(0), "all") if q.derived]
    assert statement(derived[0], "Kess") == " Kess."


def test_what_was_learned_is_chosen_and_said(taught, tokenizer, asked):
    known = asked[:4]
    assert choices(taught, tokenizer, known) == [q.answer for q in known]
    for question, reply in zip(
        known, answers(taught, tokenizer, known), strict=True
    ):
        assert reply == statement(question, question.answer).strip()
    score = fact_accuracy(taught, tokenizer, known)
    assert (score.choice.right, score.answer.right) == (4, 4)
    assert score.answer.share == 1.0
    assert score.chance == 0.25


def test_what_was_not_learned_is_not_said(taught, tokenizer, asked):
    score = fact_accuracy(taught, tokenizer, asked)
    assert score.answer.right < score.answer.asked == 8
    assert len(score.replies) == 8
    assert not any("\n" in reply or END in reply for reply in score.replies)


def test_answers_do_not_depend_on_the_batch(taught, tokenizer, asked):
    alone = [answers(taught, tokenizer, [q])[0] for q in asked]
    assert answers(taught, tokenizer, asked, batch_size=3) == alone
    assert answers(taught, tokenizer, asked) == alone


def test_a_model_with_few_places_is_asked_all_the_same(tokenizer, asked):
    model = make_model(16)
    score = fact_accuracy(model, tokenizer, asked)
    assert score.choice.asked == 8
    assert len(score.replies) == 8


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [  # Brown, Cai, DasGupta 2001 and the formula by hand
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_wilson_by_hand(right, asked, low, high):
    assert wilson_interval(right, asked) == pytest.approx((low, high), abs=1e-4)


@given(st.data())
def test_wilson_stays_in_bounds_and_narrows(data):
    asked = data.draw(st.integers(1, 1000))
    right = data.draw(st.integers(0, asked))
    low, high = wilson_interval(right, asked)
    assert 0 <= low <= right / asked <= high <= 1
    more = wilson_interval(4 * right, 4 * asked)
    assert more[1] - more[0] < high - low


def test_errors_name_the_value(taught, tokenizer):
    with pytest.raises(ValueError, match="no question was asked"):
        fact_accuracy(taught, tokenizer, [])
    with pytest.raises(ValueError, match="got 3, 2 and"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="got 0, 0 and"):
        wilson_interval(0, 0)

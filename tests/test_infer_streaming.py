"""Streamed tokens are those that `generate` returns, and go on after."""

import pytest
import torch

from llm_from_scratch.infer.generation import generate
from llm_from_scratch.infer.streaming import stream_text, stream_tokens
from llm_from_scratch.model import ModelConfig, TransformerLM
from llm_from_scratch.tokenizer import Tokenizer

END = "<|endoftext|>"


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(
        vocab_size=257,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=24,
    )
    generator = torch.Generator().manual_seed(1)
    model = TransformerLM(config, generator=generator)
    torch.nn.init.normal_(model.lm_head.weight, generator=generator)
    return model


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer({i: bytes([i]) for i in range(256)}, [], [END])


@pytest.mark.parametrize(
    "how",
    [{}, {"temperature": 1.0}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9}],
)
def test_a_stream_is_what_generate_appends(model, how):
    prompt = [5, 6, 7, 8]
    mine = stream_tokens(
        model, prompt, 20, generator=torch.Generator().manual_seed(3), **how
    )
    ids = generate(
        model,
        torch.tensor([prompt]),
        20,
        generator=torch.Generator().manual_seed(3),
        **how,
    )
    assert list(mine) == ids[0, 4:].tolist()


def test_it_goes_on_where_places_end(model):
    tokens = list(stream_tokens(model, [1, 2, 3], 60))
    assert len(tokens) == 60
    seen, limit = [1, 2, 3], 24
    for number, token in enumerate(tokens[:30]):
        if len(seen) > limit:
            seen = seen[-limit // 2 :]
        logits = model(torch.tensor([seen]))[0, -1]
        assert int(logits.argmax()) == token, number
        seen = [*seen, token]


def test_a_long_prompt_keeps_its_end(model):
    prompt = list(range(100))
    short = list(stream_tokens(model, prompt[-12:], 5))
    assert list(stream_tokens(model, prompt, 5)) == short


def test_it_ends_before_the_end_token(model):
    free = list(stream_tokens(model, [1], 10))
    at = free.index(free[4])
    stopped = stream_tokens(model, [1], 10, eos_token_id=free[4])
    assert list(stopped) == free[:at]
    assert list(stream_tokens(model, [1], 0)) == []


def test_text_comes_in_whole_characters(model, tokenizer, monkeypatch):
    ids = [0xC3, 0xA4, 0x62, 0xE2, 0x82]  # "ä", "b", two thirds of a euro
    monkeypatch.setattr(
        "llm_from_scratch.infer.streaming.stream_tokens",
        lambda *_, **__: iter(ids),
    )
    assert list(stream_text(model, tokenizer, "x", 9)) == ["ä", "b", "�"]


def test_text_begins_after_the_end_of_another(model, tokenizer, monkeypatch):
    given = []
    monkeypatch.setattr(
        "llm_from_scratch.infer.streaming.stream_tokens",
        lambda _, prompt, *__, **how: given.append((prompt, how)) or iter(()),
    )
    list(stream_text(model, tokenizer, f"a{END}", 9, temperature=0.5))
    [(prompt, how)] = given
    assert prompt == [256, *f"a{END}".encode()]
    assert how == {"eos_token_id": 256, "temperature": 0.5}


def test_errors_name_the_value(model):
    with pytest.raises(ValueError, match=r"^0 tokens"):
        list(stream_tokens(model, [], 3))
    with pytest.raises(ValueError, match="-1 new ones"):
        list(stream_tokens(model, [1], -1))
    with pytest.raises(ValueError, match="temperature"):
        list(stream_tokens(model, [1], 1, temperature=-1.0))

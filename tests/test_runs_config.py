"""The configuration of a run: presets that fit, settings that do not."""

import dataclasses

import pytest

from llm_from_scratch.core.config import override, settings
from llm_from_scratch.model.account import parameter_count
from llm_from_scratch.runs.config import (
    OPERATION,
    SECTIONS,
    CorpusConfig,
    EvaluationConfig,
    RunConfig,
    how_to_fetch,
    is_fetched,
    missing_sets,
    needed_sets,
    steering,
)
from llm_from_scratch.runs.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_models_of_their_size(name):
    sizes = {"tiny": (1e5, 2e5), "laptop": (1e6, 6e6), "gpu": (9e7, 1.3e8)}
    config = preset(name)
    low, high = sizes[name]
    assert low < parameter_count(config.model_config).total < high
    assert config.model_config.max_position_embeddings == config.train.context
    assert config.train.checkpoint_every > 0


def test_tiny_needs_nothing_that_must_be_fetched():
    assert needed_sets(preset("tiny")) == []


def test_every_setting_steers_a_stage_or_only_how_it_runs():
    config = RunConfig()
    steered = {
        name for stage in SECTIONS for name in steering(config, stage)
    } | set(OPERATION)
    assert steered == set(settings(config))
    assert not set(OPERATION) - set(settings(config))
    assert "train.lr" in steering(config, "pretrain")
    assert "train.threads" not in steering(config, "pretrain")
    assert "corpus.shares" in steering(config, "pretrain")


def test_real_false_leaves_out_what_is_fetched():
    corpus = CorpusConfig(sources=("smallweb", "tales"), shares=(3.0, 1.0))
    assert corpus.chosen == {"smallweb": 3.0, "tales": 1.0}
    without = dataclasses.replace(corpus, real=False)
    assert without.chosen == {"smallweb": 3.0}
    assert is_fetched("tales")
    assert is_fetched("bench")
    assert not is_fetched("smallweb-web")
    assert not is_fetched("my/own.txt")


def test_missing_sets_are_named_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path))
    config = override(RunConfig(), ["corpus.sources=smallweb,tales,recipes"])
    assert missing_sets(config) == ["tales", "recipes"]
    told = how_to_fetch(["tales", "recipes"])
    assert "make data" in told
    assert "fetch tales recipes" in told
    assert "corpus.real=false" in told
    bench = override(RunConfig(), ["corpus.sources=bench"])
    assert "novels" in missing_sets(bench)


def test_sizes_that_are_absent_are_filled_in():
    shape = RunConfig().model
    config = shape.config(1000, 64, 999)
    assert config.intermediate_size >= 8 * shape.hidden_size / 3
    assert (config.vocab_size, config.eos_token_id) == (1000, 999)
    given = dataclasses.replace(shape, intermediate_size=77)
    assert given.config(1000, 64).intermediate_size == 77


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("corpus.sources=smalweb", "did you mean smallweb"),
        ("corpus.sources=qq", "no set and no file is 'qq'; known: bench"),
        ("corpus.sources=tales,tales", "names one twice"),
        ("corpus.shares=1,2", "2 numbers for 4 sources"),
        ("corpus.shares=1,1,1,0", "must be positive"),
        ("corpus.pages=0", "must be positive, got 0"),
        ("tokenizer.vocab_size=256", "at least 257"),
        ("tokenizer.pattern=gpt3", "'gpt2' or 'cl100k'"),
        ("shards.threads=0", "at least 1, got"),
        ("loader.packing=loose", "'cut' or 'pad' or 'fit'"),
        ("model.hidden_size=193", "not divisible"),
        ("model.model_type=gpt", "must be one of llama, qwen3"),
        ("train.lr=0", "train.lr must be"),
        ("evaluation.temperature=-1", "temperature is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        override(RunConfig(), [change])


def test_real_false_with_nothing_left_is_refused():
    changes = ["corpus.sources=tales", "corpus.real=false"]
    with pytest.raises(ValueError, match="no source is left"):
        override(RunConfig(), changes)


def test_unknown_presets_list_the_known():
    with pytest.raises(ValueError, match="'huge'; known: tiny, laptop, gpu"):
        preset("huge")


def test_negative_sizes_of_an_evaluation_are_refused():
    with pytest.raises(ValueError, match="texts must be at least 0, got -1"):
        EvaluationConfig(texts=-1)

"""One function leads to every text, and its splits hold."""

import importlib
from itertools import islice

import pytest

from llm_from_scratch.corpus import Document
from llm_from_scratch.corpus.documents import BENCH, READERS, documents
from llm_from_scratch.corpus.manifest import manifest

NOT_TEXTS = {"vocabularies", "language-model"}


def make_file(tmp_path, count=400):
    path = tmp_path / "mine.txt"
    path.write_text("\n<|endoftext|>\n".join(map(str, range(count))))
    return path


def test_every_set_has_a_reader():
    known = set(READERS) - {"smallweb", "smallweb-web"}
    assert known == set(manifest()) - NOT_TEXTS


def test_splits_are_disjoint_and_complete(tmp_path):
    path = make_file(tmp_path)
    parts = {s: list(documents(path, split=s)) for s in ("train", "heldout")}
    every = list(documents(path))
    train, heldout = (set(part) for part in parts.values())
    assert train.isdisjoint(heldout)
    assert train | heldout == set(every)
    assert len(parts["train"]) + len(parts["heldout"]) == len(every) == 400
    assert 5 <= len(heldout) <= 40


def test_growth_moves_nobody_to_the_other_side(tmp_path):
    few = set(documents(make_file(tmp_path, 200), split="heldout"))
    more = set(documents(make_file(tmp_path, 400), split="heldout"))
    assert few < more


def test_a_path_may_be_a_string(tmp_path):
    path = make_file(tmp_path, 3)
    assert list(documents(str(path))) == list(documents(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "tails"}, "'tails'; known are bench, smallweb, "),
        ({"source": "tales", "split": "test"}, "or \"heldout\", got 'test'"),
    ],
)
def test_wrong_arguments_fail_before_the_first_record(arguments, message):
    with pytest.raises(ValueError, match=message):
        documents(**arguments)


@pytest.mark.parametrize("source", ["tales", "bench"])
def test_an_absent_set_fails_before_the_first_record(
    source, tmp_path, monkeypatch
):
    monkeypatch.setenv("LLM_FROM_SCRATCH_DATA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"'tales' is not in .*make data"
    ):
        documents(source)


def test_the_invented_web_is_made_lazily():
    first = list(islice(documents("smallweb", pages=10**9), 3))
    again = list(documents("smallweb", pages=3))
    assert first == again
    assert [d.id for d in first] == [f"smallweb/{n:06}" for n in range(3)]
    assert all(isinstance(d, Document) for d in first)


def test_another_seed_is_another_web():
    one, two = (next(iter(documents("smallweb", seed=s))) for s in (0, 1))
    assert one.text != two.text


def test_the_raw_web_is_bytes():
    raw = list(islice(documents("smallweb-web", pages=20), 3))
    assert all(isinstance(page.data, bytes) for page in raw)
    assert all(page.url.startswith("http") for page in raw)


def test_options_belong_to_their_source():
    with pytest.raises(TypeError, match="page"):
        documents("smallweb", page=3)


@pytest.mark.data
def test_the_bench_text_is_large_and_in_order():
    sizes = [
        (d.id.partition("/")[0], len(d.text.encode()))
        for d in documents("bench")
    ]
    assert tuple(dict.fromkeys(name for name, _ in sizes)) == BENCH
    assert sum(size for _, size in sizes) > 50_000_000


@pytest.mark.data
@pytest.mark.parametrize("source", BENCH)
def test_real_splits_are_disjoint_and_complete(source):
    train = [d.id for d in documents(source, split="train")]
    heldout = [d.id for d in documents(source, split="heldout")]
    works = [{id.partition("#")[0] for id in part} for part in (train, heldout)]
    assert works[0].isdisjoint(works[1])
    assert len(train) + len(heldout) == sum(1 for _ in documents(source))
    assert heldout


def test_importing_documents_is_light():
    module = importlib.import_module("llm_from_scratch.corpus.documents")
    assert "clean_pages" not in vars(module)

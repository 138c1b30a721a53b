# ruff: noqa: RUF001
"""Files of others are read right, written right, and refused in words."""

import json

import pytest
import tokenizers
from tokenizer_reference import SAMPLE

from llm_from_scratch.tokenizer import Tokenizer, train_bpe
from llm_from_scratch.tokenizer.files import (
    byte_alphabet,
    from_visible,
    to_visible,
)
from llm_from_scratch.tokenizer.pattern import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    O200K_PATTERN,
)

PATTERNS = [GPT2_PATTERN, CL100K_PATTERN, O200K_PATTERN]
TEXTS = [
    *SAMPLE.splitlines(keepends=True),
    SAMPLE,
    "",
    " ",
    "<|end|>",
    " <|end|>\n<|end|><s>",
    "a\n ",
    "\r\n\r\n  x",
    "'ſ'S",
    "a" * 500,
    "\x00\x7f\u00ad\u0301",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "text.txt"
    path.write_text(SAMPLE, "utf-8", newline="")
    return {p: train_bpe(path, 600, ["<|end|>"], pattern=p) for p in PATTERNS}


@pytest.fixture
def tokenizer(trained):
    return Tokenizer(*trained[GPT2_PATTERN], ["<|end|>"])


def test_alphabet_is_gpt2s():
    alphabet = byte_alphabet()
    assert alphabet[ord(" ")] == "Ġ"
    assert alphabet[ord("\n")] == "Ċ"
    assert len(set(alphabet.values())) == 256
    every = bytes(range(256))
    assert from_visible(to_visible(every)) == every


@pytest.mark.parametrize("pattern", PATTERNS)
def test_hugging_face_opens_ours_with_identical_ids(trained, pattern, tmp_path):
    special = ["<|end|>", "<s>"]
    ours = Tokenizer(*trained[pattern], special, pattern=pattern)
    ours.save_hf(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        ids = ours.encode(text)
        assert theirs.encode(text).ids == ids, repr(text)
        assert theirs.decode(ids, skip_special_tokens=False) == text
    assert theirs.get_vocab_size() == len(ours.vocab)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ours_opens_its_own_file(trained, pattern, tmp_path):
    ours = Tokenizer(*trained[pattern], ["<|end|>"], pattern=pattern)
    ours.save_hf(tmp_path / "tokenizer.json")
    again = Tokenizer.from_hf(tmp_path / "tokenizer.json")
    assert again.vocab == ours.vocab
    assert again.merges == ours.merges
    assert again.special_tokens == ours.special_tokens
    assert [again.encode(t) for t in TEXTS] == [ours.encode(t) for t in TEXTS]


def test_special_ids_with_gaps_survive(trained, tmp_path):
    special = {"<s>": 700, "<|pad|>": 650, "<|end|>": 599}
    ours = Tokenizer(*trained[GPT2_PATTERN], special)
    ours.save_hf(tmp_path / "tokenizer.json")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "a<s>b<|pad|><|end|>"
    assert theirs.encode(text).ids == ours.encode(text)
    again = Tokenizer.from_hf(tmp_path / "tokenizer.json")
    assert again.encode(text) == ours.encode(text)


def test_ours_opens_hugging_faces_file(tmp_path):
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>"],
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    theirs.train_from_iterator([SAMPLE], trainer)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.from_hf(tmp_path / "tokenizer.json")
    assert ours.special_tokens == {"<|end|>": 0}
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text).ids, repr(text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_tiktoken_encoding_has_identical_ids(trained, pattern):
    ours = Tokenizer(*trained[pattern], ["<|end|>"], pattern=pattern)
    theirs = ours.to_tiktoken("sample")
    for text in TEXTS:
        ids = ours.encode(text)
        assert theirs.encode(text, allowed_special="all") == ids, repr(text)
        assert theirs.decode(ids) == text


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ranks_equal_tiktoken(trained, pattern, tmp_path):
    vocab, _ = trained[pattern]
    ranks = {token: id for id, token in vocab.items() if id < 599}
    ours = Tokenizer.from_ranks(ranks, {"<|end|>": 650}, pattern=pattern)
    theirs = ours.to_tiktoken()
    ours.save_hf(tmp_path / "tokenizer.json")
    hugging = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        ids = ours.encode(text)
        assert theirs.encode(text, allowed_special="all") == ids
        assert hugging.encode(text).ids == ids


def test_gpt2_files(tokenizer, tmp_path):
    vocab = {to_visible(t): i for t, i in tokenizer.plain.items()}
    (tmp_path / "vocab.json").write_text(
        json.dumps(vocab | tokenizer.special_tokens)
    )
    lines = [f"{to_visible(a)} {to_visible(b)}" for a, b in tokenizer.merges]
    text = "#version: 0.2\n" + "\n".join(lines) + "\n"
    (tmp_path / "merges.txt").write_text(text, "utf-8")
    paths = tmp_path / "vocab.json", tmp_path / "merges.txt"
    again = Tokenizer.from_files(*paths, special_tokens=["<|end|>"])
    assert again.vocab == tokenizer.vocab
    assert [again.encode(t) for t in TEXTS] == [
        tokenizer.encode(t) for t in TEXTS
    ]


def spec_of(tokenizer, tmp_path):
    tokenizer.save_hf(tmp_path / "tokenizer.json")
    return json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, "has normalizer, which we do not"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "need ByteLevel alone"),
        ({"pre_tokenizer": None}, "need ByteLevel alone"),
        ({"model": {"type": "WordPiece"}}, "has model type"),
        ({"model": None}, "is no tokenizer.json"),
        ({"added_tokens": 3}, "is no tokenizer.json"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}},
            "has add_prefix_space",
        ),
    ],
)
def test_what_would_differ_is_refused(tokenizer, tmp_path, change, message):
    spec = spec_of(tokenizer, tmp_path) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_hf(tmp_path / "tokenizer.json")


def test_part_of_a_model_is_refused(tokenizer, tmp_path):
    for key in ("vocab", "merges"):
        spec = spec_of(tokenizer, tmp_path)
        del spec["model"][key]
        (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
        with pytest.raises(ValueError, match=rf"no tokenizer\.json: .*{key}"):
            Tokenizer.from_hf(tmp_path / "tokenizer.json")
    spec = spec_of(tokenizer, tmp_path)
    spec["model"]["byte_fallback"] = True
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match="has byte_fallback"):
        Tokenizer.from_hf(tmp_path / "tokenizer.json")


def test_corrupt_files_are_named(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": ')
    with pytest.raises(ValueError, match=r"tokenizer\.json is not JSON .*save"):
        Tokenizer.from_hf(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="is not JSON"):
        Tokenizer.from_hf(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="holds no JSON object"):
        Tokenizer.from_hf(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"is no tokenizer\.json: KeyError"):
        Tokenizer.from_hf(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        Tokenizer.from_hf(tmp_path / "absent.json")
    (tmp_path / "merges.txt").write_text("#version\na b c\n")
    path.write_text(json.dumps({to_visible(bytes([b])): b for b in range(256)}))
    with pytest.raises(ValueError, match=r"merges\.txt has the line 'a b c'"):
        Tokenizer.from_files(path, tmp_path / "merges.txt")


def test_disordered_ids_do_not_go_to_tiktoken(trained):
    vocab, merges = trained[GPT2_PATTERN]
    swapped = vocab | {300: vocab[400], 400: vocab[300]}
    with pytest.raises(ValueError, match=r"another order[^;]*; use save_hf"):
        Tokenizer(swapped, merges, ["<|end|>"]).to_tiktoken()
    with pytest.raises(ValueError, match="use save_hf"):
        Tokenizer(vocab | {900: b"unlisted"}, merges, ["<|end|>"]).to_tiktoken()


def test_unfinished_write_leaves_the_old_file(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save_hf(path)
    before = path.read_bytes()
    tokenizer.special_tokens["x"] = object()  # cannot be written
    with pytest.raises(TypeError):
        tokenizer.save_hf(path)
    assert path.read_bytes() == before

"""Readers on small copies of their files, and on the real ones."""

import base64
import json
from hashlib import blake2b

import pytest

from llm_from_scratch.corpus import slices as module
from llm_from_scratch.corpus.documents import documents
from llm_from_scratch.corpus.slices import (
    countries,
    grimm,
    moby_dick,
    novels,
    parables,
    plays,
    recipes,
    sections,
    speeches,
    tales,
    tiktoken_ranks,
    vocabulary,
    wikipedia,
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write files that a reader will take for its set."""

    def use(**contents):
        paths = []
        for name, data in contents.items():
            path = tmp_path / name.replace("__", ".").replace("_S_", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode())
            paths.append(path)
        monkeypatch.setattr(module, "slice_files", lambda _: paths)

    return use


LONG = "Once upon a time there was a line  of text\r\nthat went on. " * 5


def test_tales_are_cut_where_the_typist_cut(files):
    inner = f"{LONG}\r\n\r\n\r\nFIRST EVENING\r\n\r\n{LONG}"
    gap = "\r\n" * 5
    files(x=f"\ufeff\r\nTHE BELL\r\n\r\n{inner}{gap}THE TOAD\r\n\r\n{LONG}\r\n")
    first, second = tales()
    assert first.id == "tales/001-the-bell"
    assert second.id == "tales/002-the-toad"
    assert first.text.startswith("THE BELL\n\nOnce upon a time")
    assert "\n\nFIRST EVENING\n\n" in first.text
    assert "\r" not in first.text + second.text
    assert "  " not in first.text


def test_a_lone_heading_belongs_to_what_follows(files):
    files(**{"Conrard, Joseph - Heart of Darkness__txt": f"I\n\n\n\n\n{LONG}"})
    [chapter] = novels()
    assert chapter.id == "novels/heart-of-darkness/01"
    assert chapter.text.startswith("I\n\nOnce upon")


def test_recipes_are_written_out(files):
    recipe = {
        "title": "Toast",
        "ingredients": ["1 slice (/) bread", "butter ()  , soft"],
        "steps": ["Toast the bread .", "Butter it."],
    }
    files(x=json.dumps({"Cookbook:Toast": recipe}))
    [found] = recipes()
    assert found.id == "recipes/0001-toast"
    assert found.text == (
        "Toast\n\nIngredients:\n- 1 slice bread\n- butter, soft\n\n"
        "Steps:\n1. Toast the bread.\n2. Butter it."
    )


def test_passages_are_distinct_and_know_their_article(files):
    passages = [
        "Oak -- A tree.",
        "Ash -- A tree.",
        "Oak -- A tree.",
        "Oak -- Its wood -- hard.",
    ]
    files(x="\n".join(json.dumps({"passage": p}) for p in passages))
    ids, texts = zip(*((d.id, d.text) for d in wikipedia()), strict=True)
    assert ids == ("wikipedia/oak#1", "wikipedia/ash#1", "wikipedia/oak#2")
    assert texts[2] == "Oak\n\nIts wood -- hard."


def test_speeches_carry_year_and_speaker(files):
    files(**{"1790_george_washington_n__txt": "Fellow-Citizens:  \n\nIt is."})
    [speech] = speeches()
    assert speech.id == "speeches/1790-george-washington-n"
    assert speech.text == "Fellow-Citizens:\n\nIt is."


def test_chapters_come_in_the_order_of_the_book(files):
    chapter = {"title": "Loomings.", "text": "Call me Ishmael."}
    numbers = ("10", "2", "1")
    files(**{f"c{n}": json.dumps({"chapter": n, **chapter}) for n in numbers})
    ids = [d.id for d in moby_dick()]
    assert ids == ["moby-dick/001", "moby-dick/002", "moby-dick/010"]
    assert next(iter(moby_dick())).text == (
        "Chapter 1. Loomings.\n\nCall me Ishmael."
    )


def test_the_broken_play_is_left_out(files):
    files(hamlet_gut__txt="HAMLET \n\n\n\nBer.\nWho?", cymbeline_gut__txt="ACT")
    [play] = plays()
    assert play.id == "plays/hamlet"
    assert play.text == "HAMLET\n\nBer.\nWho?"


def test_sections_lose_the_mark_of_their_questions(files):
    lines = ["One. CANNOTANSWER", "One. CANNOTANSWER", "Two."]
    files(x="\n".join(json.dumps({"passage": p}) for p in lines))
    assert [d.text for d in sections()] == ["One.", "Two."]


def test_countries_keep_every_text_under_its_key(files):
    area = {"total": {"text": "12 sq km"}, "note": {"text": None}}
    profile = {"Geography": {"Area": area, "Climate": {"text": "mild"}}}
    files(europe_S_ui__json=json.dumps(profile))
    [country] = countries()
    assert country.id == "countries/europe/ui"
    assert country.text == "Geography\ntotal: 12 sq km\nClimate: mild"


def test_a_table_row_is_a_tale(files):
    row = "Magic\tThe Frog\tA frog.\tThere was  a frog.\t1\tMagic"
    files(x=f"head\r\ntypes\r\n\r\n{row}\r\n")
    [tale] = grimm()
    assert (tale.id, tale.text) == (
        "grimm/01-the-frog",
        "The Frog\n\nThere was a frog.",
    )


def test_parables_get_their_spaces_back(files):
    asked = 'A fox.He said,"Sour."Then he left.\nWhich moral is this story'
    record = {"input": [{"content": "system"}, {"content": asked}]}
    files(x=json.dumps(record))
    assert [d.text for d in parables()] == [
        'A fox. He said, "Sour." Then he left.'
    ]


def test_ranks_are_counted_from_the_first_of_their_line(files):
    a, b, c = (base64.b64encode(t).decode() for t in (b"a", b"b", b" ab"))
    table = {
        "pat_str": "x",
        "special_tokens": {"<|end|>": 9},
        "bpe_ranks": f"! 0 {a} {b}\n! 5 {c}",
    }
    files(gpt2__json=json.dumps(table))
    assert tiktoken_ranks("gpt2") == {b"a": 0, b"b": 1, b" ab": 5}
    assert vocabulary("gpt2")["special_tokens"] == {"<|end|>": 9}
    with pytest.raises(ValueError, match="'gpt5'; known are gpt2"):
        vocabulary("gpt5")


@pytest.mark.data
@pytest.mark.parametrize(
    ("source", "count", "size", "digest"),
    [
        ("tales", 127, 1_990_981, "5e81d2ac40f3168c"),
        ("novels", 172, 3_775_929, "786300ae4877f5bf"),
        ("moby-dick", 135, 1_192_371, "4f6ff04f18557b9b"),
        ("plays", 41, 4_953_911, "6e40d02ec07f2374"),
        ("wikipedia", 12_271, 7_203_491, "22c84517856c5eb3"),
        ("sections", 1_000, 2_651_801, "4762bc397b313643"),
        ("countries", 262, 5_510_307, "ae5528b4bc44a970"),
        ("recipes", 3_129, 2_673_940, "5965488d2803134a"),
        ("speeches", 233, 10_761_027, "730fd3467d275677"),
        ("chats", 4_017, 12_552_581, "0a261084c2bd039b"),
    ],
)
def test_the_real_sets_never_change(source, count, size, digest):
    found = list(documents(source))
    assert len(found) == len({d.id for d in found}) == count
    assert sum(len(d.text.encode()) for d in found) == size
    assert all(d.text == d.text.strip() != "" for d in found)
    assert not any(c in d.text for d in found for c in "\r\ufeff")
    whole = "".join(f"{d.id}\0{d.text}\0" for d in found)
    assert blake2b(whole.encode(), digest_size=8).hexdigest() == digest


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "count"),
    [("gpt2", 50_256), ("cl100k_base", 100_256), ("o200k_base", 199_998)],
)
def test_the_real_ranks_are_complete(name, count):
    ranks = tiktoken_ranks(name)
    assert sorted(ranks.values()) == list(range(count))
    assert all(bytes([b]) in ranks for b in range(256))

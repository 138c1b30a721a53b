"""Readers of labeled sets: the label reaches the right record."""

import json

import pytest

from llm_from_scratch.corpus import labeled as module
from llm_from_scratch.corpus.labeled import (
    chats,
    language_model,
    languages,
    news,
    pages,
    spam,
    toxicity,
    toxicity_prompts,
)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write files that a reader will take for its set."""

    def use(contents):
        paths = []
        for name, data in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
            paths.append(path)
        monkeypatch.setattr(module, "slice_files", lambda _: paths)

    return use


def turn(sender, *texts):
    return [{"sender": sender, "text": text} for text in texts]


def test_a_chat_is_a_line_a_turn(files):
    long = {
        "messages": [
            turn("x", "Hi", "you?"),
            turn("y", "Yes\n"),
            turn("x", "A"),
        ],
        "ratings": {"witty": "10", "upbeat": "5", "interesting": "1"},
    }
    alone = {"messages": [turn("z", "Anybody?")]}
    files({"x": json.dumps({"0123456789abcdef": long, "other": alone})})
    [chat] = chats()
    assert chat.id == "chats/0123456789abc"
    assert chat.text == "A: Hi you?\nB: Yes\nA: A"
    assert chat.turns == (("A", "Hi you?"), ("B", "Yes"), ("A", "A"))
    assert chat.ratings == {"witty": 10, "upbeat": 5, "interesting": 1}


def test_the_folder_is_the_label(files):
    files({"hard-ham-1/0001.abc.txt": b"\xff", "spam-2/0002.def.txt": b"buy"})
    ham, bad = spam()
    assert (ham.id, ham.data, ham.spam) == (
        "spam/hard-ham-1/0001",
        b"\xff",
        False,
    )
    assert (bad.id, bad.data, bad.spam) == ("spam/spam-2/0002", b"buy", True)


def test_scores_stay_with_their_text(files):
    files({"x": json.dumps({"text": " words ", "insult": 0.5})})
    [comment] = toxicity()
    assert (comment.text, comment.scores) == ("words", {"insult": 0.5})


def test_a_prompt_in_two_lists_has_two_kinds(files):
    files({"rtp_threat.txt": "one\ntwo\n\n", "rtp_insult.txt": "two\n"})
    one, two = toxicity_prompts()
    assert one.scores == {"threat": 1.0}
    assert two.scores == {"threat": 1.0, "insult": 1.0}


def test_a_declaration_is_its_paragraphs(files):
    page = (
        '<html data-code="xyz_latn" data-iso6393="xyz"><title>Xyz</title>'
        "<h1>T&amp;T</h1><p>One\n  <b>two</b></p><ol><li>Three</li></ol>"
    )
    files({"xyz.html": page})
    [found] = languages()
    assert found.text == "T&T\nOne two\nThree"
    assert (found.language, found.code) == ("xyz", "xyz_latn")


TESTS = """
MOCK_PAGES = {"http://a/1": "one.html", "http://b/2": "two.html"}

def test_main():
    result = load_mock_page("http://a/1", xml)
    assert "yes" in result and "no" not in result
    assert "more" in result
    result = load_mock_page("http://b/2")
    assert "nav" not in result
    result = extract("<p>other</p>")
    assert "other" in result
    my_result = 1
    assert "mine" in my_result

def load_mock_page(url):
    raise SystemExit("never run")
"""


def test_gold_is_read_from_assertions_that_are_not_run(files):
    files({"one.html": b"<1>", "two.html": b"<2>", "unit_tests.py": TESTS})
    first, second = pages()
    assert (first.url, first.data) == ("http://a/1", b"<1>")
    assert first.wanted == ("yes", "more")
    assert first.unwanted == ("no",)
    assert (second.url, second.data) == ("http://b/2", b"<2>")
    assert (second.wanted, second.unwanted) == ((), ("nav",))


def test_tests_without_pages_are_an_error(files):
    files({"one.html": b"", "unit_tests.py": "PAGES = {}"})
    with pytest.raises(ValueError, match="no assignment to MOCK_PAGES"):
        list(pages())


def test_only_pages_with_text_are_news(files):
    files({"b.html": b"<b>", "a.html": b"<a>", "b.txt": " gold\n", "c.txt": ""})
    [page] = news()
    assert (page.id, page.data, page.text) == ("news/b", b"<b>", "gold")


@pytest.mark.data
@pytest.mark.parametrize(
    ("reader", "count"),
    [
        (chats, 4017),
        (spam, 6046),
        (toxicity, 993),
        (toxicity_prompts, 623),
        (languages, 532),
        (pages, 85),
        (news, 23),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_real_sets_have_their_size(reader, count):
    found = list(reader())
    assert len(found) == len({record.id for record in found}) == count


@pytest.mark.data
def test_the_labels_of_the_real_sets():
    assert sum(mail.spam for mail in spam()) == 1896
    gold = list(pages())
    assert sum(len(page.wanted) for page in gold) == 205
    assert sum(len(page.unwanted) for page in gold) == 196
    assert sum(bool(chat.ratings) for chat in chats()) == 3704
    assert {len(c.scores) for c in toxicity()} == {8}
    assert language_model().stat().st_size == 938_013

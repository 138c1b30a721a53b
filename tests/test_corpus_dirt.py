"""Dirt, quarrels, personal data, edits and broken charsets."""

import gzip
import ipaddress
import re
import zlib
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.charset import (
    HABITS,
    CharsetPlan,
    break_text,
    encode_page,
    mend_text,
    meta_tag,
    plan_charset,
)
from llm_from_scratch.corpus.copies import (
    edit_text,
    excerpt_text,
    split_sentences,
)
from llm_from_scratch.corpus.crawl import (
    TRANSPORTS,
    http_head,
    sha1_digest,
    transport_body,
    warc_record,
)
from llm_from_scratch.corpus.dirt import (
    JUNK,
    adult_text,
    decoy_notice,
    foreign_text,
)
from llm_from_scratch.corpus.phrases import dice
from llm_from_scratch.corpus.plan import (
    MEMBERS,
    SmallwebConfig,
    block_canaries,
    canary_places,
    planned_kind,
    source_of,
)
from llm_from_scratch.corpus.posts import make_post, make_thread, mask_word
from llm_from_scratch.corpus.private import (
    Span,
    luhn_digit,
    plant_private,
)


@pytest.mark.parametrize("kind", JUNK)
def test_junk_is_text_and_varies(kind):
    texts = {"".join(JUNK[kind](dice(kind, i))[1]) for i in range(20)}
    assert all(texts)
    assert len(texts) == 20 or kind == "soft404"


def test_adult_pages_name_nothing():
    names = {"flarns", "zimmos", "velsies", "quonks", "dapples"}
    names |= {"brindos", "smoffs", "tarvies"}
    for i in range(50):
        text = " ".join(adult_text(dice(i))[1]).lower()
        assert any(name in text for name in names)
        assert not re.search(r"\b(girl|boy|teen|child|kid)s?\b", text)


def test_decoys_use_the_words_of_filters():
    notices = {decoy_notice(dice(i)) for i in range(100)}
    text = " ".join(notices).lower()
    assert all(word in text for word in ("adult", "xxx", "hot", "free"))


def test_foreign_pages_are_in_their_script():
    for i in range(60):
        language, (_, paragraphs) = foreign_text(dice("f", i))
        text = "".join(paragraphs)
        letters = [c for c in text if c.isalpha()]
        cyrillic = sum("\u0430" <= c.lower() <= "\u0451" for c in letters)
        greek = sum("\u0370" <= c <= "\u03ff" for c in letters)
        assert (cyrillic > len(letters) / 2) == (language == "ru")
        assert (greek > len(letters) / 2) == (language == "el")
        assert "{" not in text


def test_civil_threads_insult_nobody():
    assert not any(make_post(dice(i), civil=True).toxic for i in range(200))


def test_posts_come_in_all_sorts():
    posts = [make_post(dice("p", i)) for i in range(1500)]
    sorts = Counter(p.shape.split("/")[0] for p in posts)
    assert 0.23 < sum(p.toxic for p in posts) / len(posts) < 0.33
    assert len(sorts) == 5
    assert not any(p.toxic and p.quoted for p in posts)
    for group in {p.group for p in posts} - {""}:
        tone = {p.toxic for p in posts if p.group == group}
        assert tone == {True, False}


def test_a_post_names_its_group():
    for i in range(200):
        post = make_post(dice("g", i))
        assert post.group.lower() in post.text.lower()
        assert not post.masked or post.toxic


@pytest.mark.parametrize("word", ["dolt", "muckling", "fool"])
def test_a_masked_insult_is_not_the_word(word):
    for i in range(20):
        assert word not in mask_word(dice(i), word)


def test_half_of_the_threads_are_civil():
    threads = [make_thread(dice("t", i))[1] for i in range(300)]
    civil = sum(not any(p.toxic for p in posts) for posts in threads)
    assert 150 < civil < 220  # civil ones and some by luck


def test_luhn_by_hand():
    assert luhn_digit("7992739871") == "3"
    assert luhn_digit("400000000000000") == "2"  # Visa's usual test number


def luhn_ok(text):
    digits = re.sub(r"\D", "", text)
    return luhn_digit(digits[:-1]) == digits[-1]


def test_planted_data_is_what_its_kind_says():
    seen = Counter()
    for i in range(400):
        for alike in (False, True):
            text, spans = plant_private(dice("s", i), alike)
            for span in spans:
                value = text[span.start : span.end]
                seen[span.kind] += 1
                if span.kind in ("card", "badcard"):
                    assert luhn_ok(value) == (span.kind == "card")
                if span.kind == "ip":
                    address = ipaddress.ip_address(value)
                    assert address.is_private  # kept for documents
                if span.kind == "badip":
                    with pytest.raises(ValueError, match="appear to be"):
                        ipaddress.ip_address(value)
                if span.kind == "email":
                    assert ".example" in value
                if span.kind == "phone":
                    assert re.search(r"555[-. ]01\d\d", value)
            assert alike or spans
    assert set(seen) == {
        *("email", "phone", "ip", "card", "badcard", "badip"),
        *("version", "date", "order", "handle", "isbn"),
    }


def test_a_span_moves_with_its_text():
    assert Span(2, 5, "ip").shift(10) == Span(12, 15, "ip")


TEXT = 'One two three. "Four five?" Six! Seven eight nine.'


def test_sentences_by_hand():
    expected = ["One two three.", '"Four five?"', "Six!", "Seven eight nine."]
    assert split_sentences(TEXT) == expected
    assert " ".join(expected) == TEXT
    assert split_sentences("no end") == ["no end"]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4])
def test_an_edit_reaches_its_rate(rate):
    page = [" ".join(f"w{i}x{j}" for j in range(9)) + "." for i in range(60)]
    other = ["An entirely other line stands here now."]
    shares, kept = [], []
    for i in range(20):
        copy, share = edit_text(page, rate, other, dice(i))
        shares.append(share)
        whole = set(page) & set(copy)
        kept.append(len(whole) / len(page))
    assert np.mean(shares) == pytest.approx(rate, abs=0.009)
    assert np.mean(kept) == pytest.approx(1 - rate, abs=0.009)


def test_the_shortest_text_is_edited_too():
    copy, share = edit_text(["Alone."], 0.05, ["Other."], Random(1))
    assert copy != ["Alone."] or share == 1.0
    assert all(copy)


def test_an_excerpt_is_a_run_of_the_source():
    page = [TEXT, "Ten eleven. Twelve thirteen. Fourteen."]
    whole = " ".join(page)
    for i in range(30):
        (part,) = excerpt_text(page, dice(i))
        assert part in whole
        assert 2 <= len(split_sentences(part)) <= 5


def test_every_character_survives_mojibake():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)]))
    assert mend_text(break_text(text)) == text


def test_mojibake_by_hand():
    assert break_text("é") == "Ã©"
    assert break_text("”") == "â€\x9d"
    assert mend_text(mend_text("ÃƒÂ©")) == "é"
    with pytest.raises(ValueError, match="not mojibake"):
        mend_text("é")


@given(st.text(alphabet="aé”Я<", min_size=3, max_size=30), st.data())
def test_spans_follow_every_charset(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    for charset, repair in (
        ("utf-8", ("cp1252",)),
        ("utf-8", ("cp1252", "cp1252")),
        ("iso-8859-1", ()),
        ("windows-1251", ()),
    ):
        plan = CharsetPlan("x", charset, repair=repair)
        body, ((a, b),) = encode_page(text, ((start, end),), plan)
        piece = body.decode(charset)[a:b]
        for _ in repair:
            piece = mend_text(piece)
        whole = text[start:end].encode(charset, "xmlcharrefreplace")
        assert piece == whole.decode(charset)


def test_a_cut_page_ends_inside_a_character():
    plan = CharsetPlan("cut", cut=True)
    body, _ = encode_page("<body>x</body></html>", (), plan)
    assert body == b"<body>x\xc2"


def test_every_habit_occurs_with_its_charset():
    plans = [plan_charset(dice("c", i), "pl") for i in range(800)]
    assert {plan.kind for plan in plans} == set(HABITS)
    for plan in plans:
        legacy = plan.kind in ("legacy", "lying")
        assert (plan.charset == "iso-8859-2") == legacy
        assert "charset" in meta_tag(plan, old=False) or not plan.meta


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_transport_keeps_the_bytes(transport):
    body = bytes(range(256)) * 40
    wire, headers = transport_body(body, transport, dice(transport))
    names = dict(headers)
    if transport.endswith("chunked"):
        assert "Content-Length" not in names
        assert wire.endswith(b"\r\n0\r\n\r\n")
        data = b""
        while wire:
            size, _, wire = wire.partition(b"\r\n")
            data += wire[: int(size, 16)]
            assert wire[int(size, 16) :][:2] == b"\r\n"
            wire = wire[int(size, 16) + 2 :]
        wire = data
    elif transport == "wrong-length":
        assert names["Content-Length"] != str(len(wire))
    else:
        assert names["Content-Length"] == str(len(wire))
    if transport.startswith("gzip"):
        assert names["Content-Encoding"] == "gzip"
        assert wire[4:8] == bytes(4)  # no date
        wire = gzip.decompress(wire)
    elif transport == "deflate":
        wire = zlib.decompress(wire)
    elif transport == "raw-deflate":
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        wire = unpacker.decompress(wire)
        assert not unpacker.unused_data
    assert wire == body


def test_length_counts_bytes():
    block = http_head("HTTP/1.1 200 OK", []) + "é".encode()
    record = warc_record([("WARC-Type", "response")], block)
    assert b"Content-Length: 21\r\n\r\n" in record
    assert record.endswith(block + b"\r\n\r\n")


def test_digest_by_hand():
    empty = "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"
    assert sha1_digest(b"") == empty


def test_clusters_have_simons_sizes():
    config = SmallwebConfig(pages=20_000)
    members = [
        i for i in range(config.pages) if planned_kind(config, i) in MEMBERS
    ]
    sizes = np.array(
        list(Counter(source_of(config, i) for i in members).values())
    )
    rho = 0.19 / 0.13
    for size in (2, 3, 5):
        expected = np.prod([k / (k + rho) for k in range(1, size)])
        assert (sizes >= size).mean() == pytest.approx(expected, rel=0.2)


def test_secrets_stand_where_they_were_planned():
    config = SmallwebConfig(pages=4000)
    places = Counter(c.name for c in canary_places(config, 0).values())
    for canary in block_canaries(config, 0):
        assert places[canary.name] == canary.copies
    assert len({c.text for c in block_canaries(config, 0)}) == 5
    for index in canary_places(config, 0):
        assert planned_kind(config, index) == "clean"


def test_too_many_secrets_are_refused():
    config = SmallwebConfig(canaries=(5000,))
    with pytest.raises(ValueError, match="5000 copies of canaries"):
        canary_places(config, 0)

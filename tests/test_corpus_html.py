"""Sites, templates and words: pages that say where their text is."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.corpus.html import curly, render_page
from llm_from_scratch.corpus.phrases import dice, fill_shape, web_bank
from llm_from_scratch.corpus.sites import (
    SUITABLE,
    TEMPLATES,
    choose_site,
    make_site,
    page_url,
)

PROSE = [
    'He said "Go" & left.',
    "Two < three.\nA line.",
    "Café \u2013 it's done.",
]


def plain(html):
    """The text that tags leave over, without blanks."""
    text = unescape(re.sub(r"<[^>]*>", " ", html))
    return "".join(text.split())


class Text(HTMLParser):
    """All text outside of scripts and styles."""

    def __init__(self):
        super().__init__()
        self.found, self.skip = [], 0

    def handle_starttag(self, tag, attrs):
        self.skip += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.skip -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.skip:
            self.found.append(data)


@pytest.mark.parametrize("number", range(16))
def test_spans_hold_the_paragraphs_in_every_template(number):
    site = make_site(0, number)
    page = render_page(site, "A <title>", PROSE, dice("test", number))
    assert len(page.spans) == len(PROSE)
    for (start, end), text in zip(page.spans, PROSE, strict=True):
        assert plain(page.html[start:end]) == "".join(text.split())


@pytest.mark.parametrize("number", range(8))
def test_a_parser_sees_the_text_once(number):
    page = render_page(make_site(0, number), "Title", PROSE, dice(number))
    parser = Text()
    parser.feed(page.html)
    seen = "".join("".join(parser.found).split())
    for text in PROSE:
        assert seen.count("".join(text.split())) == 1


def test_templates_name_no_slot_that_is_not_filled():
    for number in range(len(TEMPLATES)):
        site = make_site(0, number)
        html = render_page(site, "T", ["x"], dice(number)).html
        assert not re.search(r"\$[a-z]", html)
        assert "\x00" not in html


def test_dirt_is_named_if_and_only_if_it_is_there():
    marks = {
        "cookie": 'class="cookie"',
        "newsletter": 'class="news"',
        "comments": 'id="comments"',
        "ad": 'class="ad"',
    }
    seen = Counter()
    for i in range(80):
        site = make_site(0, 8 * (i % 5) + i % 2 * 7)
        page = render_page(site, "T", PROSE * 3, dice("dirt", i))
        for name, mark in marks.items():
            assert (mark in page.html) == (name in page.dirt), (name, i)
            seen[name] += name in page.dirt
    assert all(5 < seen[name] < 75 for name in marks)


@given(st.text(alphabet="ab \"'-.(\n", max_size=30))
def test_curly_keeps_the_length(text):
    assert len(curly(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Go," she said.', "“Go,” she said."),
        ("it's 'here'", "it\u2019s \u2018here\u2019"),
        ('("Why?")', "(“Why?”)"),
        ("a - b", "a \u2013 b"),
    ],
)
def test_curly_by_hand(text, expected):
    assert curly(text) == expected


def test_entities_are_written_by_some_sites_only():
    site = make_site(0, 0)
    for entities, mark in ((True, "&eacute;"), (False, "é")):
        page = render_page(
            replace(site, entities=entities), "T", ["Café"], dice(1)
        )
        start, end = page.spans[0]
        assert mark in page.html[start:end]


def test_dice_depend_on_the_key_only():
    first = [dice("a", i).random() for i in range(3)]
    again = [dice("a", i).random() for i in (2, 0, 1)]
    assert again == [first[2], first[0], first[1]]
    assert dice("a", 1).random() != dice("b", 1).random()


def test_fill_shape_by_hand():
    bank = {"x": ["tea"], "y": "milk"}
    assert fill_shape(Random(0), "{x} and {y}", bank) == "Tea and milk"
    with pytest.raises(KeyError, match="zebra"):
        fill_shape(Random(0), "{zebra}", {})


def test_every_slot_of_every_language_is_filled():
    for language, bank in web_bank("languages").items():
        for shape in [*bank["frames"], *bank["title"]]:
            text = fill_shape(dice(language), shape, bank)
            assert "{" not in text
            assert text[0] == text[0].upper()


def test_few_sites_have_most_pages():
    hosts = Counter(
        choose_site(0, i, "entry", dice("host", i)).host for i in range(4000)
    )
    top = sum(count for _, count in hosts.most_common(40))
    assert 150 < len(hosts) < 1500
    assert top > 0.4 * 4000


def test_a_text_gets_a_site_that_suits_it():
    for sort, templates in SUITABLE.items():
        for i in range(20):
            site = choose_site(0, 500 + i, sort, dice(sort, i))
            assert site.template in templates


def test_urls_are_ascii_and_differ():
    site = make_site(0, 4)
    urls = {page_url(site, title, i) for i, title in enumerate(("A", "Б"))}
    assert len(urls) == 2
    assert all(url.isascii() for url in urls)


CODE = """
import hashlib
from llm_from_scratch.corpus.smallweb import SmallwebConfig, smallweb_pages
data = b"".join(p.data for p in smallweb_pages(SmallwebConfig(pages=60)))
print(hashlib.sha256(data).hexdigest())
"""


def test_two_processes_make_the_same_pages():
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1

"""Every set is pinned, attributed and licensed, and the book prints it."""

import re
from pathlib import Path

import pytest

from llm_from_scratch.corpus.manifest import (
    find_slice,
    manifest,
    sources_page,
)

PAGE = Path(__file__).parents[1] / "book" / "data-sources.md"


def test_every_package_is_pinned():
    for entry in manifest().values():
        package = entry.package
        assert package.registry in ("pypi", "npm")
        assert re.fullmatch(r"[0-9a-f]{64}", package.sha256), package
        assert package.version in package.file
        assert package.size > 100_000
        assert package.license


def test_every_set_says_whose_it_is():
    for entry in manifest().values():
        assert entry.title
        assert entry.author
        assert entry.license
        assert entry.purpose
        assert entry.members


def test_no_copyrighted_passenger_is_read():
    patterns = [m for entry in manifest().values() for m in entry.members]
    assert not any(re.search("Tarantino|Kafka", m) for m in patterns)


def test_the_license_page_is_current():
    assert PAGE.read_text("utf-8") == sources_page(), (
        "run python -m llm_from_scratch.corpus.fetch --sources"
        " > book/data-sources.md"
    )


def test_the_page_names_every_set():
    page = sources_page()
    assert all(f"* - `{name}`\n" in page for name in manifest())
    assert page.count("\n  - ") == 3 * (len(manifest()) + 1)


def test_an_unknown_set_is_answered_with_the_known():
    with pytest.raises(ValueError, match=r"'tails'; known are .*tales"):
        find_slice("tails")

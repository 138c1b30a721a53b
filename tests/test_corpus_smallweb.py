"""The small web: pages, WARC files and labels that agree."""

import gzip
import json
import re
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import asdict, replace
from html import unescape
from io import BytesIO
from itertools import combinations

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

from llm_from_scratch.corpus.charset import mend_text
from llm_from_scratch.corpus.labels import label_from, label_line, read_labels
from llm_from_scratch.corpus.plan import COPIES, Mixture
from llm_from_scratch.corpus.questions import questions
from llm_from_scratch.corpus.smallweb import (
    SmallwebConfig,
    page_records,
    smallweb_pages,
    write_smallweb,
)
from llm_from_scratch.corpus.webpage import smallweb_page
from llm_from_scratch.corpus.world import make_world

CONFIG = SmallwebConfig(pages=600, shard=250, block=600, private=0.3)


@pytest.fixture(scope="module")
def pages():
    return list(smallweb_pages(CONFIG))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("web") / "small"
    write_smallweb(CONFIG, out)
    return out


def records(folder):
    """(type, headers, payload with transport undone, digest passed)."""
    for path in sorted(folder.glob("*.warc.gz")):
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, check_digests=True):
                kind, headers = record.rec_type, record.rec_headers
                data = record.content_stream().read()
                yield kind, headers, data, record.digest_checker.passed


def seen_text(html):
    """What tags leave over, blanks made equal."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def paragraphs(label):
    return label.text.split("\n\n") if label.text else []


def test_warcio_reads_every_record(folder, pages):
    found = list(records(folder))
    kinds = [kind for kind, *_ in found]
    assert kinds.count("warcinfo") == 3
    assert kinds.count("request") == kinds.count("metadata") == len(pages)
    answers = kinds.count("response") + kinds.count("revisit")
    assert answers == len(pages)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["records"] == len(found)
    assert all(passed is not False for *_, passed in found)


def test_warcio_gets_the_bytes_the_server_had(folder, pages):
    answers = [r for r in records(folder) if r[0] in ("response", "revisit")]
    for page, (kind, headers, data, _) in zip(pages, answers, strict=True):
        assert headers["WARC-Record-ID"] == page.label.record
        assert headers["WARC-Target-URI"] == page.url
        assert data == (b"" if kind == "revisit" else page.data), page.label


def test_warcio_check_finds_no_fault(folder):
    command = [sys.executable, "-m", "warcio.cli", "check"]
    files = sorted(map(str, folder.glob("*.warc.gz")))
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_record_is_what_warcio_would_write(pages):
    page = next(p for p in pages if p.label.kind == "clean")
    ours = page_records(CONFIG, page)[1]
    record = next(iter(ArchiveIterator(BytesIO(ours))))
    out = BytesIO()
    WARCWriter(out, gzip=False, warc_version="1.1").write_record(record)
    assert out.getvalue() == ours


def test_each_record_is_a_gzip_member_without_a_date(folder):
    data = (folder / "smallweb-00000.warc.gz").read_bytes()
    whole, members = gzip.decompress(data), 0
    while data:
        assert data[:4] == b"\x1f\x8b\x08\x00"
        assert data[4:8] == bytes(4)  # the date that gzip would put here
        unpacker = zlib.decompressobj(zlib.MAX_WBITS + 16)
        record = unpacker.decompress(data)
        assert record.startswith(b"WARC/1.1\r\n")
        assert whole.startswith(record)
        whole, data = whole[len(record) :], unpacker.unused_data
        members += 1
    assert members == 1 + 3 * CONFIG.shard


def test_the_charset_of_the_label_decodes_the_page(pages):
    for page in pages:
        label = page.label
        if not label.charset:
            continue
        if label.habit == "cut":
            with pytest.raises(UnicodeDecodeError):
                page.data.decode("utf-8")
        else:
            page.data.decode(label.charset)


def test_every_gold_paragraph_is_on_the_page(pages):
    checked = 0
    for page in pages:
        label = page.label
        if not label.html_spans:
            continue
        html = page.data.decode(label.charset, "replace")
        texts = paragraphs(label)
        assert len(texts) == len(label.html_spans)
        for text, (start, end) in zip(texts, label.html_spans, strict=True):
            piece = html[start:end]
            for _ in label.repair:
                piece = mend_text(piece)
            seen = seen_text(piece).replace(" ", "")
            assert seen == "".join(text.split())
            checked += 1
    assert checked > 1000


def test_spans_cover_exactly_the_personal_data(pages):
    shapes = {
        "email": r"[a-z0-9._+]+@[a-z.]+\.[a-z]+",
        "phone": r"(\+1 )?\(?\d{3}\)?[-. ]+555[-. ]01\d\d",
        "ip": r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}",
        "card": r"\d{4}([- ]?)\d{4}\1\d{4}\1\d{4}",
    }
    found = 0
    for page in pages:
        text = page.label.text
        for span in page.label.private:
            value = text[span.start : span.end]
            assert re.fullmatch(shapes[span.kind], value), (span, value)
            found += 1
        masked = list(text)
        for span in page.label.private:
            masked[span.start : span.end] = " " * (span.end - span.start)
        for shape in ("email", "phone", "ip"):
            assert not re.search(shapes[shape], "".join(masked)), text
    assert found > 20


def test_posts_cover_the_thread(pages):
    for page in (p for p in pages if p.label.kind == "thread"):
        label = page.label
        texts = [label.text[post.start : post.end] for post in label.posts]
        assert "\n\n".join(texts) == label.text
        assert label.toxic == any(post.toxic for post in label.posts)
        assert all(p.group.lower() in label.text.lower() for p in label.posts)


def test_a_page_depends_on_its_number_only(pages):
    longer = replace(CONFIG, pages=5000)
    for index in (0, 7, 300, 599):
        assert smallweb_page(longer, index) == pages[index]


def test_another_seed_gives_another_web(pages):
    other = smallweb_page(replace(CONFIG, seed=1), 3)
    assert other.data != pages[3].data


def test_copies_point_back_to_originals(pages):
    for page in pages:
        label = page.label
        if label.copy:
            assert label.copy in COPIES
            assert label.cluster < page.index
            assert pages[label.cluster].label.cluster == label.cluster
            assert not pages[label.cluster].label.copy
        else:
            assert label.cluster == page.index


def test_mirrors_say_the_same_words(pages):
    mirrors = [p for p in pages if p.label.kind == "mirror"]
    assert mirrors
    for page in mirrors:
        source = pages[page.label.cluster]
        assert page.label.text == source.label.text
        assert page.url != source.url


GOOD = {"clean", "root", "decoy", "mirror", "edit", "excerpt", "truncated"}
BARE = {"soft404", "boilerplate", "redirect", "missing", "empty", "binary"}


def test_flags_follow_the_kind(pages):
    for page in pages:
        label = page.label
        civil = label.kind == "thread" and not label.toxic
        assert label.keep == (label.kind in GOOD or civil)
        assert label.spam == (label.kind == "spam")
        assert label.adult == (label.kind == "adult")
        assert label.decoy == (label.kind == "decoy")
        assert bool(label.leaked) == (label.kind == "leak")
        assert bool(label.text) != (label.kind in BARE | {"recrawl"})
        assert (label.language == "en") or not label.keep


def test_leaked_questions_are_held_out(pages):
    world = make_world(CONFIG.seed, CONFIG.towns)
    exam = {"/".join(q.about): q for q in questions(world, "heldout")}
    seen = 0
    for page in (p for p in pages if p.label.kind == "leak"):
        for name in page.label.leaked:
            assert exam[name].text in page.label.text
            seen += 1
    assert seen


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def test_clusters_agree_with_similarity(pages):
    texts = {
        p.index: shingles(p.label.text)
        for p in pages
        if p.label.language == "en" and p.label.text
    }
    for i, j in combinations(texts, 2):
        one, two = pages[i].label, pages[j].label
        union = len(texts[i] | texts[j]) or 1
        value = len(texts[i] & texts[j]) / union
        copied = one.cluster == two.cluster
        if not copied and (one.family != two.family or not one.family):
            assert value < 0.7, (i, j)
        if copied and i == one.cluster and two.copy == "edit":
            assert 0.1 < value < 0.99
        if copied and i == one.cluster and two.copy == "mirror":
            assert value == 1


def test_a_revisit_has_the_digest_of_its_first_visit(folder):
    digests = {}
    revisits = 0
    for kind, headers, _, _ in records(folder):
        digest = headers["WARC-Payload-Digest"]
        if kind == "response":
            digests[headers["WARC-Target-URI"], headers["WARC-Date"]] = digest
        if kind == "revisit":
            first = headers["WARC-Refers-To-Target-URI"]
            when = headers["WARC-Refers-To-Date"]
            assert digests[first, when] == digest
            revisits += 1
    assert revisits


def test_labels_survive_the_file(folder, pages):
    labels = list(read_labels(folder))
    assert labels == [page.label for page in pages]
    entry = json.loads(label_line(labels[5]))
    assert label_from(entry) == labels[5]


def test_no_label_is_on_a_page(pages):
    for page in pages:
        head = page.head.decode("latin-1").lower()
        for word in ("kind", "cluster", "canary", "gold", "label", "toxic"):
            assert word not in head
        assert page.label.record.encode() not in page.head + page.data


def test_the_declared_language_is_no_label(pages):
    wrong = right = 0
    for page in pages:
        if page.label.kind == "foreign":
            html = page.data.decode(page.label.charset, "replace").lower()
            right += f'lang="{page.label.language}"' in html
            wrong += 'lang="en"' in html
        assert b'lang="zxx"' not in page.data
    assert right > wrong > 3


def test_a_finished_folder_is_left_alone(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    write_smallweb(CONFIG, folder)
    assert before == {p: p.stat().st_mtime_ns for p in folder.iterdir()}


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path, monkeypatch):
    config = SmallwebConfig(pages=60, shard=20, block=100, canaries=())
    whole = write_smallweb(config, tmp_path / "whole")

    def fail(config, index):
        if index == 45:
            raise KeyboardInterrupt
        return smallweb_page(config, index)

    module = "llm_from_scratch.corpus.smallweb.smallweb_page"
    with monkeypatch.context() as patch:
        patch.setattr(module, fail)
        with pytest.raises(KeyboardInterrupt):
            write_smallweb(config, tmp_path / "part")
    assert not (tmp_path / "part/smallweb-00002.warc.gz").exists()
    assert not (tmp_path / "part/manifest.json").exists()
    (tmp_path / "part/labels-00000.jsonl").unlink()  # stopped before it
    asked = []

    def watch(config, index):
        asked.append(index)
        return smallweb_page(config, index)

    monkeypatch.setattr(module, watch)
    assert write_smallweb(config, tmp_path / "part") == whole
    assert asked == [*range(20), *range(40, 60)]


def test_a_damaged_folder_is_written_anew(tmp_path):
    config = SmallwebConfig(pages=30, shard=20, block=100, canaries=())
    whole = write_smallweb(config, tmp_path / "web")
    path = tmp_path / "web/smallweb-00001.warc.gz"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    assert write_smallweb(config, tmp_path / "web") == whole
    assert path.read_bytes() == good


def test_another_config_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="another seed"):
        write_smallweb(replace(CONFIG, seed=4), folder)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="choose a new folder"):
        write_smallweb(CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pages": 0}, "pages must be at least 1, got 0"),
        ({"shard": -1}, "shard must be at least 1, got -1"),
        ({"private": 1.5}, "a share, got 1.5"),
    ],
)
def test_errors_name_the_value(change, message):
    with pytest.raises(ValueError, match=message):
        SmallwebConfig(**change)


def test_a_mixture_must_sum_to_one():
    with pytest.raises(ValueError, match=r"sum to 1, they sum to 1\.1"):
        Mixture(clean=0.42)


def test_missing_labels_name_the_fix(tmp_path):
    with pytest.raises(FileNotFoundError, match="run write_smallweb"):
        next(read_labels(tmp_path))
    (tmp_path / "labels.jsonl").write_text('{"index": 3}\n')
    with pytest.raises(ValueError, match="line 1 is not a label"):
        next(read_labels(tmp_path))


def test_memory_does_not_grow_with_the_pages():
    def peak(pages):
        tracemalloc.start()
        for _ in smallweb_pages(SmallwebConfig(pages=pages)):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(100)  # fill the caches
    assert peak(100) < 1.5 * peak(25) + 300_000


def test_the_mixture_is_what_was_asked_for(pages):
    shares = asdict(CONFIG.mixture)
    for kind in ("clean", "spam", "foreign", "thread"):
        count = sum(p.label.kind == kind for p in pages)
        spread = (len(pages) * shares[kind] * (1 - shares[kind])) ** 0.5
        assert abs(count - len(pages) * shares[kind]) < 4 * spread

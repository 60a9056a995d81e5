"""The report says what the record says, fetches nothing, trusts no text, and is whole or not there."""

import base64
import errno
import os
import re
import xml.etree.ElementTree as xml
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from counterflow.core.errors import ArgumentError, PersistenceError
from counterflow.plotting import report
from counterflow.plotting.html.question import rules_in_words
from counterflow.plotting.html.summary import METRICS, metric_text
from tests.plotting.made import reclassed, renamed, taken

VOID = {"meta", "img", "br", "hr", "link", "input"}
EVIL = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    """Checks that tags nest, and keeps what a reader and a browser see."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.data, self.attributes, self.ids = [], Counter(), [], [], Counter()
        self.feed(text)
        self.close()
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids.update(value for key, value in attrs if key == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes what it did not open"

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.data.append(data)

    @property
    def text(self):
        return " ".join("".join(self.data).split())

    def pictures(self):
        sources = [value for tag, key, value in self.attributes if tag == "img" and key == "src"]
        return [base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")).decode() for source in sources]


@pytest.fixture
def write(tmp_path):
    def written(answer, **settings):
        path = report(answer, tmp_path / "report.html", **settings)
        return path.read_text(encoding="utf-8")

    return written


def test_every_sentence_is_in_it(answer, write):
    said = Page(write(answer)).text
    for sentence in answer.sentences():
        assert sentence in said


def test_every_metric_is_in_it(answer, write):
    page = write(answer)
    for key, value in answer.metrics().items():
        assert f">{key}</th>" in page
        assert metric_text(value) in Page(page).text
        assert key in METRICS


def test_the_witness_comes_first(answer, write):
    said = Page(write(answer)).text
    assert answer.witness_report.sentence in said
    places = [said.index(name) for name in ("Witness share", "Valid", "Plausible", "Rules kept", "Distance")]
    assert places == sorted(places)


@pytest.mark.parametrize("informative", [True, False])
def test_a_weak_judge_is_called_weak(answer, write, informative):
    judged = replace(answer, witness_report=replace(answer.witness_report, informative=informative))
    said = Page(write(judged)).text
    assert ("No share is claimed" in said) != informative
    assert ("(a weak judge here)" in said) != informative
    head = re.search(r"Witness share(not informative|\d+%|[<>]\d+%)", said).group(1)
    assert (head == "not informative") != informative


def test_every_change_is_in_it(answer, write):
    said = Page(write(answer)).text
    for change in answer.changes().itertuples():
        assert change.feature in said
    assert "rent" in said


def test_how_rows_ended_is_counted(answer, write):
    said = Page(write(answer)).text
    for status, count in Counter(answer.status).items():
        assert f"{status.value.replace('_', ' ')}{count}{status.sentence}" in said.replace("> ", ">")


def test_it_says_what_it_does_not_say(answer, write):
    said = Page(write(answer)).text
    for words in ("It promises nothing", "does not say that changing", "averaged over calibrations", "one person"):
        assert words in said


def test_what_was_asked_is_in_it(answer, write):
    said = Page(write(answer)).text
    assert "The model: LogisticRegression." in said
    assert "Must not change: age." in said
    assert "income, if it changes, must be between 0 and 3000." in said
    assert "At most 3 columns may change." in said
    assert "Only ever raised: age." in said
    assert f"For {len(np.unique(answer.index.factual))} rows, 2 answers each" in said


def test_rules_in_words():
    rules = {"increase_only": ["a", "b"], "ranges": {"c": (None, 2)}, "allowed": {"d": ["x", 1]}, "max_changes": 1}
    assert rules_in_words(rules) == [
        "May only rise: a, b.",
        "c, if it changes, must be at most 2.",
        "d may change only to 'x', 1.",
        "At most 1 column may change.",
    ]


def test_hashes_are_short_and_whole(answer, write):
    page = write(answer)
    assert f'title="{answer.provenance["model"]}"' in page
    assert "0123456789ab…" in page


def test_nothing_is_fetched_and_no_place_is_named(answer, write, tmp_path):
    text = write(answer)
    page = Page(text)
    assert not re.search(r"https?:|//\w|url\(|@import|\b(src|href)=\"(?!data:image/svg|#)", text)
    assert str(tmp_path) not in text
    assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == 0
    assert page.pictures()
    for picture in page.pictures():
        assert not re.search(r"href=\"(?!#|data:image/png)", picture)
        assert set(re.findall(r"https?://[^\"' ]+", picture)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        xml.fromstring(picture)


def test_no_text_becomes_markup(answer, write):
    odd = replace(
        renamed(reclassed(answer, [EVIL]), {"income": EVIL}),
        settings=answer.settings | {"constraints": {"immutable": [EVIL]}},
        provenance={EVIL: EVIL},
        index=answer.index._replace(label=[EVIL] * len(answer)),
        predicted=[EVIL] * len(answer),
    )
    page = Page(write(odd, title=EVIL))
    assert page.tags["script"] == 0
    assert EVIL in unescape(page.text)
    assert not any(key.startswith("on") for _, key, _ in page.attributes)


def test_it_can_be_heard(answer, write):
    page = Page(write(answer))
    assert ("html", "lang", "en") in page.attributes
    assert page.tags["h1"] == page.tags["main"] == page.tags["title"] == 1
    assert page.tags["img"] == sum(
        tag == "img" and key == "alt" and len(value) > 30 for tag, key, value in page.attributes
    )
    assert page.tags["table"] == page.tags["caption"]
    assert page.tags["th"] == sum(key == "scope" for _, key, _ in page.attributes)
    assert max(page.ids.values()) == 1
    assert {value[1:] for _, key, value in page.attributes if key == "href"} <= set(page.ids)


def test_pictures_follow_a_dark_page(answer, write):
    for picture in Page(write(answer)).pictures():
        assert "prefers-color-scheme: dark" in picture


def test_the_same_answer_gives_the_same_file(answer, write):
    assert write(answer) == write(answer)


def test_nothing_is_left_behind(answer, write):
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    write(answer)
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_one_row(answer, write):
    page = Page(write(taken(answer, [0])))
    assert "For 1 row:" in page.text
    assert "One answer is listed." in page.text


def test_only_rows_as_desired(answer, write):
    page = Page(write(taken(answer, np.flatnonzero(~answer.answered))))
    assert "Nothing was searched for" in page.text
    assert page.tags["img"] == 0


def test_no_valid_answer(answer, write):
    none = np.zeros(len(answer), dtype=np.bool_)
    page = Page(write(replace(answer, valid=none)))
    assert "Valid0%" in page.text
    assert page.tags["img"] == 1


def test_many_classes(answer, write):
    page = Page(write(reclassed(answer, [f"class {k}" for k in range(20)])))
    assert "each row its own" in page.text
    assert 1 <= page.tags["img"] <= 5


def test_rows_as_desired_are_listed_last(answer, write):
    page = Page(write(answer, rows=int(answer.answered.sum())))
    assert "The model already decides" not in page.text
    assert f"{answer.answered.sum()} of {len(answer)} answers are listed" in page.text


def test_ten_thousand_answers(answer, write):
    page = write(taken(answer, np.arange(10_000) % len(answer)))
    assert len(page) < 5_000_000
    assert "50 of 10,000 answers are listed" in Page(page).text


def test_infinite_and_missing_numbers(answer, write):
    low, none = np.full(len(answer), -np.inf), np.full(len(answer), np.nan)
    evidence = replace(answer.evidence, factual_log_density=low)
    Page(write(replace(answer, log_density=low, evidence=evidence, probability=none, factual_probability=none)))


def test_a_full_disk_leaves_the_old_report(answer, write, tmp_path, monkeypatch):
    old = write(answer)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PersistenceError, match="No space left"):
        write(answer, title="new")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_reported(answer, write):
    with pytest.raises(ArgumentError, match="empty"):
        write(taken(answer, []))
    with pytest.raises(ArgumentError, match="rows must be at least 0"):
        write(answer, rows=-1)

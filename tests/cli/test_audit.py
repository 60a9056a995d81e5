"""``counterflow audit`` from end to end."""

import json

import pytest

from tests.cli.conftest import loans, write_csv


@pytest.fixture
def people(tmp_path):
    """Rows with a column that the model does not read."""
    rows = [{**row, "region": "north" if place % 3 else "south"} for place, row in enumerate(loans(24, seed=5))]
    return write_csv(tmp_path / "people.csv", rows)


def test_prints_every_group_with_intervals(run, quick, folder, people):
    ended = run("audit", folder, people, "--groups", "sex", "--desired", "yes", "--out", "sex.json")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split()[:2] == ["sex", "rows"]
    assert {line.split()[0] for line in lines[1:3]} == {"f", "m"}
    assert "no proof of fairness" in ended.err
    data = json.loads((people.parent / "sex.json").read_text(encoding="utf-8"))
    assert sum(group["rows"] for group in data["groups"]) == 24
    low, high = data["groups"][0]["no_answer"][1:]
    assert 0 <= low <= high <= 1


def test_writes_a_page_for_groups_that_the_model_does_not_know(run, quick, folder, people):
    ended = run("audit", folder, people, "--groups", "region", "--desired", "yes", "--out", "region.html")
    assert ended.code == 0, ended.err
    page = (people.parent / "region.html").read_text(encoding="utf-8")
    assert "<title>Recourse by region</title>" in page
    assert page.count("<svg") == 0  # pictures are data within the page
    assert page.count("data:image/svg+xml") == 4
    assert "no gap is no proof of fairness" in page


def test_an_unknown_column_is_a_sentence(run, quick, folder, people):
    ended = run("audit", folder, people, "--groups", "sexx", "--desired", "yes")
    assert ended.code == 2
    assert "no column 'sexx'" in ended.err
    assert "Did you mean 'sex'" in ended.err


def test_an_output_of_another_kind_is_refused_before_the_work(run, quick, folder, people):
    ended = run("audit", folder, people, "--groups", "sex", "--desired", "yes", "--out", "sex.csv")
    assert ended.code == 2
    assert "must end in .json or .html" in ended.err

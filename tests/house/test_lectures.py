"""Every lecture has its formula beside the code, a picture, and an exercise whose solution is checked."""

import re

import pytest

from tests.house.sources import ROOT

LECTURES = sorted(path for path in (ROOT / "docs" / "lectures").glob("*.md") if path.name != "index.md")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ORDER = [
    "change-of-variables",
    "determinants-and-volume",
    "linear-flow",
    "autoregressive-flow",
    "stacking",
    "maximum-likelihood",
    "flows-as-posteriors",
]


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem)
def page(request) -> str:
    return request.param.read_text(encoding="utf-8")


def test_the_chapters_follow_the_lectures():
    index = (ROOT / "docs" / "lectures" / "index.md").read_text(encoding="utf-8")
    chapters = re.search(r":caption: Chapters\n\n(.*?)```", index, re.DOTALL).group(1).split()
    assert chapters == ORDER
    titles = [(ROOT / "docs" / "lectures" / f"{name}.md").read_text(encoding="utf-8") for name in chapters]
    assert [int(re.search(r"^# (\d)\. ", text, re.MULTILINE).group(1)) for text in titles] == [1, 2, 3, 4, 5, 6, 7]


def test_a_formula_a_picture_and_an_exercise(page):
    assert "$" in page
    assert any("plt.show()" in cell for cell in CELL.findall(page))
    assert page.count("## Exercise") == 1


def test_chapters_have_formulas_beside_their_code(page):
    if re.search(r"^# \d\. ", page, re.MULTILINE):
        rows = [line for line in page.splitlines() if line.startswith("|") and "$" in line and "`" in line]
        assert len(rows) >= 3


def test_the_solution_is_folded_and_checked(page):
    (solution,) = [cell for cell in CELL.findall(page.partition("## Exercise")[2]) if "hide-cell" in cell]
    assert ":tags: [hide-cell]\n" in solution
    assert re.search(r"^ *assert ", solution, re.MULTILINE)


def test_what_a_page_claims_is_checked_where_it_is_computed(page):
    before = CELL.findall(page.partition("## Exercise")[0])
    assert sum(len(re.findall(r"^ *assert ", cell, re.MULTILINE)) for cell in before) >= 1

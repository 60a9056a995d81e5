"""Pictures and the page of an audit, and the picture of a recourse path."""

import numpy as np
import pytest

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import Audit, GroupFigures, RecoursePath
from counterflow.metrics import Interval
from counterflow.plotting import audit_report, plot_audit, plot_path
from counterflow.tables import Column, Schema

NOTHING = Interval(np.nan, np.nan, np.nan)


def figures(group, rows, cost):
    share = Interval(0.25, 0.125, 0.5)
    return GroupFigures(group, rows, rows - 1, share, share, share, share, cost, cost, cost)


@pytest.fixture
def audited():
    groups = (figures("north", 12, Interval(1.5, 1.0, 2.0)), figures("south <b>", 5, NOTHING))
    return Audit("region", ">50K", 0.95, groups, witness_informative=False, settings={})


def test_points_and_lines_are_the_figures(ax, audited):
    assert plot_audit(audited, ax=ax) is ax
    (points,) = ax.lines
    np.testing.assert_array_equal(points.get_xdata(), [1.5, np.nan])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose(segments[0], [[1.0, 0.0], [2.0, 0.0]])
    said = [text.get_text() for text in ax.texts]
    assert "1.50   11 asked" in said
    assert "none   4 asked" in said
    assert ax.get_xlim()[0] == 0.0


def test_shares_are_drawn_from_nothing_to_all(ax, audited):
    plot_audit(audited, "already", ax=ax)
    assert ax.get_xlim() == (0.0, 1.0)
    assert "25.0%   12 rows" in [text.get_text() for text in ax.texts]


def test_an_unknown_figure_is_refused(ax, audited):
    with pytest.raises(ArgumentError, match="figure must be one of already, no_answer"):
        plot_audit(audited, "cost", ax=ax)


def test_the_page_holds_every_group_and_says_what_it_is_not(tmp_path, audited):
    page = audit_report(audited, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "south &lt;b&gt;" in page
    assert "south <b>" not in page
    assert "1.50 (1.00 to 2.00)" in page
    assert "25.0% (12.5% to 50.0%)" in page
    assert "no gap is no proof of fairness" in page
    assert "The witness is not informative here" in page
    assert page == audit_report(audited, tmp_path / "again.html").read_text(encoding="utf-8")


def test_a_path_is_a_bar_for_each_row(ax):
    schema = Schema((Column("income", decimals=0), Column("home", "categorical", categories=("own", "rent"))))
    numbers = np.array([[800.0, 1.0], [900.0, 1.0], [900.0, 0.0]])
    met = np.array([False, False, True])
    path = RecoursePath(schema, numbers, np.array([0.5, 0.25, 0.75]), np.array([0.2, 0.4, np.nan]), met)
    assert plot_path(path, ax=ax) is ax
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.25, 0.75]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["as it is", "income: 800 → 900", "home: rent → own"]
    assert {"0.25   model: 40%", "0.75"} <= {text.get_text() for text in ax.texts}
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2

"""Pictures show the numbers of the record, each found again by another way, and leave nothing behind."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.plotting import plot, plot_changes, plot_density, plot_map
from counterflow.plotting._changes import summarize_changes
from counterflow.plotting._density import density_groups
from counterflow.plotting.changes_view import changes_of
from tests.plotting.made import reclassed, renamed, taken

PICTURES = {"row": plot, "changes": plot_changes, "density": plot_density, "map": plot_map}


@pytest.fixture(params=PICTURES.values(), ids=PICTURES)
def draw(request):
    return request.param


def words(ax: Axes) -> str:
    """All that is written on axes, once it is drawn."""
    ax.figure.canvas.draw()
    texts = [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label, ax.yaxis.label, ax._left_title]
    legend = ax.get_legend()
    return "\n".join(text.get_text() for text in [*texts, *(legend.get_texts() if legend else [])])


def first_found(answer) -> int:
    return next(place for place, status in enumerate(answer.status) if status == "found")


def test_the_answer_is_worth_drawing(answer):
    assert {"found", "already_desired"} <= {status.value for status in answer.status}
    assert any("home" in sentence for sentence in answer.sentences())


def test_given_axes_come_back(answer, ax, draw):
    assert draw(answer, ax=ax) is ax
    assert ax._left_title.get_text()


def test_without_axes_a_figure_is_made(answer, draw):
    before = pyplot.get_fignums()
    made = draw(answer)
    assert isinstance(made, Axes)
    assert len(pyplot.get_fignums()) == len(before) + 1
    pyplot.close(made.figure)


def test_nothing_is_left_behind(answer, ax, draw):
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    draw(answer, ax=ax)
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_bars_are_the_changes_in_standard_units(answer, ax):
    position = first_found(answer)
    plot(answer, int(answer.index.factual[position]), rank=int(answer.index.rank[position]), ax=ax)
    expected = (answer.numbers[position] - answer.factual_numbers[position]) / answer.evidence.scale
    numeric = [column.numeric for column in answer.schema.columns]
    lengths = sorted(bar.get_width() for bar in ax.patches)
    np.testing.assert_allclose(lengths, sorted(expected[numeric][expected[numeric] != 0]))


def test_a_row_says_its_values_and_its_judges(answer, ax):
    position = first_found(answer)
    plot(answer, int(answer.index.factual[position]), rank=int(answer.index.rank[position]), ax=ax)
    said = words(ax).replace("\n", " ")
    frame = answer.changes()
    rows = frame[(frame["factual"] == answer.index.factual[position]) & (frame["rank"] == answer.index.rank[position])]
    assert len(rows)
    for change in rows.itertuples():
        assert change.feature in said
    assert f"plausibility {answer.plausibility[position]:.2f}" in said
    assert ("witness agrees" in said) == bool(answer.witness[position])
    assert str(answer.index.label[position]) in said


def test_a_category_is_told_in_words_and_has_no_bar(answer, ax):
    home = answer.schema.index("home")
    position = next(
        place for place in range(len(answer)) if answer.numbers[place, home] != answer.factual_numbers[place, home]
    )
    changes = changes_of(answer, position)
    plot(answer, int(answer.index.factual[position]), rank=int(answer.index.rank[position]), ax=ax)
    assert "rent → own" in words(ax) or "own → rent" in words(ax)
    assert len(ax.patches) == sum(not np.isnan(change.step) for change in changes) < len(changes)


def test_a_row_as_desired_says_that_nothing_changed(answer, ax):
    position = list(answer.answered).index(False)
    plot(answer, int(answer.index.factual[position]), ax=ax)
    assert "Nothing changed." in words(ax)
    assert "already" in words(ax)


def test_more_changes_than_asked_for_are_counted(answer, ax):
    position = max(range(len(answer)), key=lambda place: len(changes_of(answer, place)))
    plot(answer, int(answer.index.factual[position]), rank=int(answer.index.rank[position]), most=1, ax=ax)
    hidden = len(changes_of(answer, position)) - 1
    assert f"{hidden} smaller changes not drawn" in words(ax).replace("\n", " ")
    assert len(ax.get_yticks()) == 1


def test_a_dollar_starts_no_formula(answer, ax, draw):
    odd = renamed(answer, {"income": r"in$come$ \frac{", "home": "home$"})
    draw(odd, ax=ax)
    words(ax)


@pytest.mark.parametrize("asked", [{"row": 99}, {"row": 0, "rank": 9}, {"row": 0, "most": 0}])
def test_a_row_that_is_not_there(answer, ax, asked):
    with pytest.raises(ArgumentError):
        plot(answer, ax=ax, **asked)


def test_shares_beside_the_densities_are_the_metrics(answer, ax):
    plot_density(answer, ax=ax)
    real, valid, _ = density_groups(answer, "approved")
    metrics = answer.metrics()
    threshold = answer.evidence.thresholds["approved"]
    assert (valid.values >= threshold).mean() == pytest.approx(metrics["plausible_share"])
    assert f"{metrics['valid_answers']} · {metrics['plausible_share']:.0%} reach it" in words(ax)
    assert f"{len(real.values)} · " in words(ax)
    assert f"{threshold:.1f}".replace("-", "−") in words(ax)
    assert "natural log" in ax.get_xlabel()


def test_every_factual_counts_once_in_the_density(answer):
    *_, factuals = density_groups(answer, "approved")
    assert len(factuals.values) == len(np.unique(answer.index.factual[answer.answered]))


def test_the_threshold_stands_where_it_is(answer, ax):
    plot_density(answer, ax=ax)
    upright = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() != "-"]
    assert upright == [answer.evidence.thresholds["approved"]]


def test_a_class_without_a_density(answer, ax):
    with pytest.raises(ArgumentError, match="there is no density of the class 'lost': the answer has those of 'appr"):
        plot_density(answer, desired="lost", ax=ax)


def test_changes_agree_with_the_long_frame(answer, ax):
    """Witness: pandas on ``answer.changes()``, which knows nothing of standard units but the scale."""
    plot_changes(answer, ax=ax)
    valid = {
        (f, r)
        for f, r, v in zip(answer.index.factual, answer.index.rank, answer.valid & answer.answered, strict=True)
        if v
    }
    frame = answer.changes()
    frame = frame[[(f, r) in valid for f, r in zip(frame["factual"], frame["rank"], strict=True)]]
    for summary in summarize_changes(answer):
        own = frame[frame["feature"] == summary.name]
        assert summary.share == pytest.approx(len(own) / len(valid))
        scale = answer.evidence.scale[answer.schema.index(summary.name)]
        np.testing.assert_allclose(summary.median, (own["difference"] / scale).median(), equal_nan=True)
    assert {summary.name for summary in summarize_changes(answer)} == set(frame["feature"])
    medians = [summary.median for summary in summarize_changes(answer) if not np.isnan(summary.median)]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], medians)


def test_arrows_go_from_factuals_to_answers(answer, ax):
    plot_map(answer, ax=ax)
    (arrows,) = [artist for artist in ax.collections if hasattr(artist, "U")]
    counted = answer.answered & answer.valid
    start, end = answer.evidence.map_factuals[counted], answer.evidence.map_answers[counted]
    np.testing.assert_allclose(np.stack([arrows.X, arrows.Y], 1), start)
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), end - start)
    assert "the flow made them up" in words(ax).replace("\n", " ")


def test_of_many_arrows_some_are_drawn_and_that_is_said(answer, ax):
    many = taken(answer, [first_found(answer)] * 500)
    plot_map(many, ax=ax, most=40)
    assert "40 of 500 valid answers" in words(ax)


def test_only_rows_as_desired_can_be_drawn(answer, ax, draw):
    draw(taken(answer, np.flatnonzero(~answer.answered)), ax=ax)
    words(ax)


def test_many_classes_can_be_drawn(answer, ax, draw):
    draw(reclassed(answer, [f"class {k}" for k in range(20)]), ax=ax)
    words(ax)


def test_one_row_can_be_drawn(answer, ax, draw):
    draw(taken(answer, [first_found(answer)]), ax=ax)
    words(ax)

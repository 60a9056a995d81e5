"""Pictures of predicted laws say what they were given."""

import numpy as np
import pytest

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.plotting import plot_pit, plot_predictions

LEVELS = (0.05, 0.5, 0.95)
QUANTILES = np.array([[2.0, 3.0, 4.0], [0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])


def test_rows_stand_in_the_order_of_their_median():
    axes = plot_predictions(QUANTILES, np.array([30.0, 10.0, 20.0]), levels=LEVELS)
    median, points = axes.lines
    assert list(median.get_ydata()) == [1.0, 2.0, 3.0]
    assert list(points.get_ydata()) == [10.0, 20.0, 30.0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["90%", "median", "what came"]


def test_rows_can_stand_over_a_column():
    axes = plot_predictions(QUANTILES, levels=LEVELS, x=np.array([7.0, 9.0, 8.0]), names=("age", "income"))
    assert list(axes.lines[0].get_xdata()) == [7.0, 8.0, 9.0]
    assert list(axes.lines[0].get_ydata()) == [3.0, 2.0, 1.0]
    assert axes.get_xlabel() == "age"
    assert plot_predictions(QUANTILES, levels=LEVELS, x=np.arange(3.0)).get_xlabel() == "x"


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ArgumentError, match="symmetric about 0.5"):
        plot_predictions(QUANTILES, levels=(0.1, 0.5, 0.95))
    with pytest.raises(ArgumentError, match="must rise"):
        plot_predictions(QUANTILES, levels=LEVELS[::-1])
    with pytest.raises(ShapeError, match=r"and x and y \(rows,\), got {'quantiles': \(3, 3\), 'y': \(2,\)}"):
        plot_predictions(QUANTILES, np.zeros(2), levels=LEVELS)
    with pytest.raises(ShapeError, match="Of several targets draw one"):
        plot_predictions(QUANTILES[..., None].repeat(2, 2), levels=LEVELS)
    for bad in (np.array([]), np.zeros((3, 2))):
        with pytest.raises(ShapeError, match="pit must have one number for each row"):
            plot_pit(bad)


def test_an_even_transform_stays_near_zero_and_its_distance_is_said():
    axes = plot_pit((np.arange(100) + 0.5) / 100)
    assert np.abs(axes.lines[-1].get_ydata()).max() <= 0.0101
    assert axes.get_title(loc="left") == "Farthest from uniform by 0.005"

"""Pictures of flows and of training runs."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from scipy.stats import chi2

from counterflow import flows
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.outcomes import FitOutcome
from counterflow.plotting import plot_flow_density, plot_history
from counterflow.plotting._flow_density import mass_levels
from counterflow.training import EpochRecord, FitReport


def fitted(validation=(3.2, 2.5, 2.6)):
    history = tuple(EpochRecord(k, 3.0 - k / 2, loss, 1e-3, 0.1) for k, loss in enumerate(validation, 1))
    return FitReport(2.5, 2, len(history), 0.3, FitOutcome.CONVERGED, history)


def test_losses_are_those_of_the_report(ax):
    assert plot_history(fitted(), ax=ax) is ax
    train, validation = ax.lines[:2]
    np.testing.assert_allclose(train.get_ydata(), [2.5, 2.0, 1.5])
    np.testing.assert_allclose(validation.get_ydata(), [3.2, 2.5, 2.6])
    said = [text.get_text() for text in ax.texts]
    assert "best: 2.500 at epoch 2" in said
    assert {"training rows", "held-out rows"} <= set(said)


def test_without_held_out_rows_there_is_one_line(ax):
    plot_history(fitted((float("nan"),)), ax=ax)
    assert "held-out rows" not in [text.get_text() for text in ax.texts]


def test_a_report_without_an_epoch(ax):
    with pytest.raises(ArgumentError, match="holds no epoch"):
        plot_history(FitReport(float("inf"), 0, 0, 0.0, FitOutcome.OUT_OF_TIME, ()), ax=ax)


def test_regions_of_a_normal_density_hold_what_they_say():
    """Witness: the region of a planar normal density that holds a share s has squared radius chi2(2)^-1(s)."""
    side = np.linspace(-6, 6, 401)
    squared = side[:, None] ** 2 + side[None] ** 2
    density = np.exp(-squared / 2) / (2 * np.pi)
    for share, level in zip((0.99, 0.5), mass_levels(density, (0.99, 0.5)), strict=True):
        assert -2 * np.log(2 * np.pi * level) == pytest.approx(chi2(2).ppf(share), rel=0.01)


@pytest.mark.parametrize("context", [None, torch.tensor([1.0, 0.0])])
def test_a_flow_of_two_features(ax, context):
    flow = flows.realnvp(
        features=2, context_features=0 if context is None else 2, layers=2, hidden=(8,), generator=torch.Generator()
    )
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    points = torch.zeros(3, 2)
    assert plot_flow_density(flow, context=context, points=points, names=("$a", "b"), resolution=20, ax=ax) is ax
    ax.figure.canvas.draw()
    labels = {text.get_text() for text in ax.texts}
    assert labels & {"20%", "50%", "80%", "95%", "99%"}
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_a_flow_of_three_features(ax):
    with pytest.raises(ShapeError, match=r"event shape \(2,\), got \(3,\)"):
        plot_flow_density(flows.linear(features=3), ax=ax)


def test_a_grid_where_there_is_nothing(ax):
    with pytest.raises(ArgumentError, match="Give limits="):
        plot_flow_density(flows.linear(features=2), limits=((1e6, 1e7), (1e6, 1e7)), resolution=10, ax=ax)


def test_a_grid_too_coarse(ax):
    with pytest.raises(ArgumentError, match="at least 10"):
        plot_flow_density(flows.linear(features=2), resolution=3, ax=ax)


def test_a_line_that_leaves_the_picture_says_so(ax):
    plot_history(fitted((3.2, 2.5, 900.0)), ax=ax)
    assert "held-out rows ↑" in [text.get_text() for text in ax.texts]
    assert ax.get_ylim()[1] < 900


def test_losses_that_are_no_numbers_can_be_drawn(ax):
    history = (EpochRecord(1, float("nan"), float("nan"), 1e-3, 0.1),)
    plot_history(FitReport(float("inf"), 0, 1, 0.1, FitOutcome.DIVERGED, history), ax=ax)
    ax.figure.canvas.draw()

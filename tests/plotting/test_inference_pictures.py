"""Pictures of ranks, coverage, draws and predictions: what is drawn is found again in the axes."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.inference import (
    ecdf_band,
    highest_density_coverage,
    posterior_predictive_check,
    simulation_based_calibration,
    tarp,
)
from counterflow.plotting import plot_coverage, plot_pairs, plot_predictive, plot_predictive_check, plot_ranks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def simulated():
    """A posterior that is right for the first parameter and too narrow for the second."""
    g = seeded()
    theta = torch.randn(200, 2, generator=g)
    x = theta + torch.randn(200, 2, generator=g)
    noise = torch.randn(200, 99, 2, generator=g) * 0.5**0.5
    return x[:, None] / 2 + torch.tensor([1.0, 0.5]) * noise, theta


@pytest.fixture(scope="module")
def calibration(simulated):
    return simulation_based_calibration(*simulated, names=["right", "wrong"], generator=seeded())


@pytest.fixture(scope="module")
def check():
    draws = torch.randn(300, 2, generator=seeded())
    return posterior_predictive_check(draws, torch.tensor([0.2, 5.0]), names=["fits", "does not"])


@pytest.fixture
def draws_of_all(simulated, calibration, check):
    coverage = tarp(*simulated, generator=seeded())
    traces = torch.randn(40, 12, generator=seeded()).cumsum(1)
    return [
        lambda ax: plot_ranks(calibration, ax=ax),
        lambda ax: plot_ranks(calibration, kind="histogram", names=["wrong"], ax=ax),
        lambda ax: plot_coverage(coverage, ax=ax),
        lambda ax: plot_predictive(traces, traces[0], ax=ax),
        lambda ax: plot_predictive_check(check, ax=ax),
    ]


def test_given_axes_come_back_and_nothing_is_left_behind(draws_of_all, ax):
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    for draw in draws_of_all:
        ax.clear()
        assert draw(ax) is ax
        assert ax._left_title.get_text()
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_only_the_quantity_that_leaves_the_band_is_named(calibration, ax):
    plot_ranks(calibration, ax=ax)
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert named == ["wrong: too often at the ends"]
    assert "1 of 2 leave the band" in "".join(text.get_text() for text in ax.texts)


def test_a_curve_of_ranks_is_their_distribution_function(calibration, ax):
    plot_ranks(calibration, names=["wrong"], ax=ax)
    x, away = ax.lines[-1].get_data()
    levels = calibration.levels[:, 1].numpy()
    assert away == pytest.approx([np.mean(levels <= at) - at for at in x])
    band = ecdf_band(200)
    edge = ax.collections[0].get_paths()[0].vertices
    assert edge[:, 1].max() == pytest.approx((band.high - band.points).max())


def test_bars_are_counts_of_ranks(calibration, ax):
    plot_ranks(calibration, kind="histogram", names=["wrong"], bins=10, ax=ax)
    bars = [patch.get_height() for patch in ax.patches if patch.get_width() < 0.5]
    assert bars == np.histogram(calibration.levels[:, 1].numpy(), 10, (0, 1))[0].tolist()
    with pytest.raises(ArgumentError, match="a histogram is of one quantity"):
        plot_ranks(calibration, kind="histogram", ax=ax)


def test_a_curve_of_coverage_is_a_share_of_rows(simulated, ax):
    draws, theta = simulated
    other = highest_density_coverage(-draws[..., 0].abs(), -theta[:, 0].abs(), generator=seeded())
    plot_coverage({"balls": tarp(draws, theta, generator=seeded()), "densest": other}, ax=ax)
    x, y = ax.lines[2].get_data()
    assert y == pytest.approx([np.mean(other.levels.numpy() <= at) for at in x])
    assert [text.get_text().split(" (")[0] for text in ax.get_legend().get_texts()] == ["balls", "densest"]


def test_pairs_hold_the_shares_that_they_say():
    """Of a normal sample about half and nine tenths of the points lie within the two lines."""
    draws = torch.randn(20_000, 2, generator=seeded())
    axes = plot_pairs({"first": draws, "second": draws + 1}, truth=torch.tensor([0.5, -0.5]), names=["a", "b"])
    assert not axes[0, 1].axison
    assert (axes[1, 0].get_xlabel(), axes[1, 0].get_ylabel()) == ("a", "b")
    assert [text.get_text() for text in axes[0, 0].get_legend().get_texts()] == ["first", "second"]
    assert tuple(float(value[0]) for value in axes[1, 0].lines[-1].get_data()) == (0.5, -0.5)
    lines = axes[1, 0].collections[2].get_paths()  # the first sample's outlines, after its two fillings
    shares = sorted(path.contains_points(draws[:4000].numpy()).mean() for path in lines)
    assert shares == pytest.approx([0.5, 0.9], abs=0.04)
    pyplot.close(axes[0, 0].figure)


def test_given_axes_are_used_for_pairs():
    figure, axes = pyplot.subplots(2, 2)
    assert plot_pairs(torch.randn(100, 2, generator=seeded()), axes=axes) is axes
    pyplot.close(figure)


def test_the_region_of_traces_is_of_their_quantiles(ax):
    traces = torch.randn(100, 7, generator=seeded())
    plot_predictive(traces, torch.zeros(7), times=torch.linspace(0, 3, 7), lines=4, ax=ax)
    edge = ax.collections[0].get_paths()[0].vertices
    assert edge[:, 1].max() == pytest.approx(np.quantile(traces.double().numpy(), 0.95, axis=0).max())
    assert len(ax.lines) == 5
    assert ax.lines[-1].get_xdata()[-1] == 3


def test_a_statistic_that_does_not_fit_is_in_another_color(check, ax):
    plot_predictive_check(check, ax=ax)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert points[0].get_color() != points[1].get_color()
    simulated = check.simulated.double()
    expected = (5.0 - simulated[:, 1].mean()) / simulated[:, 1].std(correction=0)
    assert float(points[1].get_xdata()[0]) == pytest.approx(float(expected))


def test_wrong_input_gets_a_sentence():
    draws = torch.zeros(10, 2)
    with pytest.raises(ShapeError, match="names must be of 2 parameters"):
        plot_pairs(draws, names=["a"])
    with pytest.raises(ShapeError, match=r"axes must have shape \(2, 2\)"):
        plot_pairs(draws, axes=np.empty((1, 1), dtype=object))
    with pytest.raises(ArgumentError, match="one sample or more"):
        plot_pairs({})
    with pytest.raises(ShapeError, match="observed must have 2 steps"):
        plot_predictive(draws, torch.zeros(3))

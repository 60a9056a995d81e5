"""Measures of forecasts: against loops, scipy, and laws whose modes are known."""

import math

import pytest
import torch
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import (
    average_displacement_error,
    energy_distance,
    final_displacement_error,
    hit_rate,
    mean_shift_modes,
    mode_coverage,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_displacement_errors_are_those_of_a_loop():
    paths = torch.randn(7, 5, 4, 2, generator=seeded(), dtype=torch.float64)
    truth = torch.randn(7, 4, 2, generator=seeded(1), dtype=torch.float64)
    ade, fde = [], []
    for row, true in zip(paths.tolist(), truth.tolist(), strict=True):
        away = [[math.dist(a, b) for a, b in zip(path, true, strict=True)] for path in row]
        ade.append(min(sum(path) / 4 for path in away))
        fde.append(min(path[-1] for path in away))
    assert average_displacement_error(paths, truth).tolist() == pytest.approx(ade)
    assert final_displacement_error(paths, truth).tolist() == pytest.approx(fde)


def test_hits_and_coverage_are_those_of_a_loop():
    modes = torch.randn(30, 3, 2, generator=seeded())
    modes[::4, 2] = torch.nan
    truth = torch.randn(30, 2, generator=seeded(1))
    draws = torch.randn(30, 20, 2, generator=seeded(2))
    hits = [any(math.dist(m, y) <= 0.7 for m in row) for row, y in zip(modes.tolist(), truth.tolist(), strict=True)]
    assert hit_rate(modes, truth, radius=0.7) == pytest.approx(sum(hits) / 30)
    found = [
        sum(math.dist(m, y) <= 0.7 for y in ys) / 20 > 0.1
        for row, ys in zip(modes.tolist(), draws.tolist(), strict=True)
        for m in row
        if not math.isnan(m[0])
    ]
    assert 0 < sum(found) < len(found) == 82
    assert mode_coverage(draws, modes, radius=0.7, share=0.1) == pytest.approx(sum(found) / len(found))


def test_the_energy_distance_is_scipys():
    a, b = torch.randn(60, 1, generator=seeded()), 1 + torch.randn(40, 1, generator=seeded(1))
    squared = stats.energy_distance(a[:, 0].numpy(), b[:, 0].numpy()) ** 2  # over all pairs, each point with itself too
    own = [torch.cdist(x, x).mean().item() for x in (a, b)]
    unbiased = squared - own[0] / 59 - own[1] / 39
    assert energy_distance(a, b).item() == pytest.approx(unbiased, rel=1e-5)


def test_the_energy_distance_of_one_law_is_zero_on_average():
    a, b = (torch.randn(300, 20, 2, generator=seeded(k)) for k in (0, 1))
    values = energy_distance(a, b)
    assert values.shape == (300,)
    assert abs(values.mean()) < 4 * values.std() / 300**0.5
    assert energy_distance(a, b + 1).mean() > 10 * values.std() / 300**0.5


def test_mean_shift_finds_known_modes_in_the_order_of_their_mass():
    modes = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, -6.0]], dtype=torch.float64)
    counts = torch.tensor([60, 120, 20])
    noise = torch.randn(200, 2, generator=seeded(), dtype=torch.float64)
    draws = modes.repeat_interleave(counts, 0) + 0.5 * noise
    found = mean_shift_modes(torch.stack([draws, draws + 1]), 4, bandwidth=0.8)
    expected = modes[[1, 0, 2]]
    for points, move in zip(found.points, (0, 1), strict=True):
        torch.testing.assert_close(points[:3], expected + move, atol=0.3, rtol=0)
        assert points[3].isnan().all()
    torch.testing.assert_close(found.mass, torch.tensor([[0.6, 0.3, 0.1, 0.0]] * 2, dtype=torch.float64))


def test_mean_shift_ends_where_the_kernel_density_is_highest():
    draws = torch.randn(1, 40, 1, generator=seeded(3), dtype=torch.float64)
    density = stats.gaussian_kde(draws[0, :, 0].numpy(), bw_method=0.9 / draws.std().item())
    line = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    highest = line[int(density(line.numpy()).argmax())]
    found = mean_shift_modes(draws, 1, bandwidth=0.9)
    assert found.points.item() == pytest.approx(highest.item(), abs=0.01)
    assert found.mass.item() == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: average_displacement_error(torch.zeros(2, 3, 4, 2), torch.zeros(2, 5, 2)),
        lambda: final_displacement_error(torch.zeros(2, 0, 4, 2), torch.zeros(2, 4, 2)),
        lambda: mode_coverage(torch.zeros(2, 3, 2), torch.full((2, 1, 2), torch.nan), radius=1.0),
        lambda: mode_coverage(torch.zeros(2, 3, 2), torch.zeros(3, 3, 2), radius=1.0),
        lambda: energy_distance(torch.zeros(1, 2), torch.zeros(3, 2)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises((ShapeError, TypeError), match="must|Type-check"):
        call()


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan])
def test_sizes_that_are_not_positive_are_refused(radius):
    with pytest.raises(ArgumentError, match="above zero"):
        hit_rate(torch.zeros(1, 1, 1), torch.zeros(1, 1), radius=radius)
    with pytest.raises(ArgumentError, match="above zero"):
        mean_shift_modes(torch.zeros(1, 2, 1), bandwidth=radius)

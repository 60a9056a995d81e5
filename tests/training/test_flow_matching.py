"""Flow matching: the loss against closed forms, and assignments against scipy."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from counterflow.core.errors import ShapeError
from counterflow.training import flow_matching_loss, optimal_assignment
from tests.laws.registry import draw


def test_the_true_velocity_of_one_pair_has_no_loss():
    """On the straight way from x to z = 3 x the velocity at (t, y) is y (3 - 1) / (1 + 2 t)."""
    x, t = draw(50, 2), draw(50, 1, seed=1).abs().clamp(max=1)
    loss = flow_matching_loss(lambda t, y: 2 * y / (1 + 2 * t), x, z=3 * x, t=t)
    assert loss.item() == pytest.approx(0.0, abs=1e-25)


def test_the_loss_is_a_weighted_mean_of_squares():
    x, z, t, context = draw(4, 2), draw(4, 2, seed=1), torch.rand(4, 1, dtype=torch.float64), draw(4, 3, seed=2)
    weights = torch.tensor([1.0, 0.0, 2.0, 0.5], dtype=torch.float64)
    loss = flow_matching_loss(lambda t, y, c: t * y + c[:, :2], x, z=z, t=t, context=context, weights=weights)
    total = 0.0
    for i in range(4):
        y = (1 - t[i]) * x[i] + t[i] * z[i]
        total += weights[i] * ((t[i] * y + context[i, :2] - z[i] + x[i]) ** 2).mean()
    torch.testing.assert_close(loss, total / weights.sum())


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 60])
@pytest.mark.parametrize("ties", [False, True])
def test_assignments_cost_as_little_as_those_of_scipy(rows, ties):
    for seed in range(5):
        cost = torch.cdist(draw(rows, 2, seed=seed), draw(rows, 2, seed=seed + 9)).square()
        cost = cost.round() if ties else cost
        columns = optimal_assignment(cost)
        assert sorted(columns.tolist()) == list(range(rows))
        expected = cost.numpy()[linear_sum_assignment(cost.numpy())].sum()
        assert cost[torch.arange(rows), columns].sum().item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_costs_must_be_square():
    with pytest.raises(ShapeError, match=r"\(rows, rows\), got \(2, 3\)"):
        optimal_assignment(torch.zeros(2, 3))


def test_data_and_noise_must_match():
    with pytest.raises(ShapeError, match="z must have the shape of x"):
        flow_matching_loss(lambda t, y: y, torch.zeros(4, 2), z=torch.zeros(3, 2), t=torch.zeros(4, 1))

"""What compares counterfactuals of pictures: correlations, distances, and the search that is differentiated through."""

import numpy as np
import pytest
import torch

from experiments.architectures_compare import correlation
from experiments.robust_models import climbed, worst_perturbation
from tests.laws.registry import draw


def test_changes_correlate_as_numpy_says():
    one, two = draw(4, 1, 3, 3), draw(4, 1, 3, 3, seed=1)
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(one.numpy(), two.numpy(), strict=True)]
    assert correlation(one, two).tolist() == pytest.approx(expected)


def test_a_climb_goes_straight_up_a_slope_for_its_whole_length():
    weight = draw(6)
    ends = climbed(lambda x: x @ weight, torch.zeros(2, 6, dtype=torch.float64), reach=3.0, steps=4)
    assert torch.allclose(ends, (3 * weight / weight.norm()).expand(2, 6))


def test_the_gradient_through_a_climb_is_that_of_finite_differences():
    start = draw(1, 3)

    def end(x):
        return climbed(lambda x: torch.sin(x).sum(1) + x[:, 0] * x[:, 1], x, reach=0.7, steps=3).square().sum()

    assert torch.autograd.gradcheck(end, (start.requires_grad_(),))


def test_a_sought_perturbation_has_the_asked_length_and_moves_the_end_farther_than_the_noise_it_starts_from():
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x, start = draw(5, 1, 3, 3).float(), 0.05 * draw(5, 1, 3, 3, seed=1).float()
    target = torch.tensor([0, 1, 2, 0, 1])
    found = worst_perturbation(None, net, x, target=target, start=start, reach=1.0)

    def value(z):
        return net(z).log_softmax(1).gather(1, target[:, None])

    def moved(by):
        ends = [climbed(value, place, reach=1.0, steps=5).detach() for place in (x + by, x)]
        return (ends[0] - ends[1]).flatten(1).norm(dim=1)

    assert torch.allclose(found.flatten(1).norm(dim=1), start.flatten(1).norm(dim=1))
    assert moved(found).mean() > 1.2 * moved(start).mean()

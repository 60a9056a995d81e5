"""The flow over choices: a law over options that sums to one, exact both ways, and a known conditional found again."""

import itertools

import pytest
import torch

from counterflow.counterfactuals.dicoflex.choices import ChoiceMap
from counterflow.distributions import Uniform
from counterflow.flows import Flow

SIZES = (2, 3, 4)


def choices(seed=0, sizes=SIZES, context=2):
    """A map with weights far from zero."""
    generator = torch.Generator().manual_seed(seed)
    made = ChoiceMap(sizes, context, hidden=(16, 16), width=12, generator=generator).double()
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4
    return made.requires_grad_(requires_grad=False)


def cells():
    """The middle of every cell of the product of options."""
    return torch.tensor(list(itertools.product(*map(range, SIZES))), dtype=torch.float64) + 0.5


def test_probabilities_of_all_cells_sum_to_one():
    flow = Flow(choices(), Uniform(torch.zeros(3), torch.ones(3))).double()
    context = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    assert flow(cells(), context).exp().sum().item() == pytest.approx(1.0)


def test_there_and_back():
    made, generator = choices(), torch.Generator().manual_seed(1)
    context = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    z = torch.rand(200, 3, generator=generator, dtype=torch.float64)
    x, log_det = made.to_data(z, context)
    back, there = made.to_latent(x, context)
    torch.testing.assert_close(back, z, atol=2e-4, rtol=0)  # shares are kept 1e-4 below 1
    torch.testing.assert_close(there, -log_det)


def test_the_log_determinant_is_that_of_the_jacobian():
    made, context = choices(), torch.tensor([0.3, -1.0], dtype=torch.float64)
    for point in cells():
        jacobian = torch.func.jacrev(lambda x: made.to_latent(x, context)[0])(point)
        assert (jacobian.triu(1) == 0).all()
        log_det = made.to_latent(point, context)[1]
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(log_det.item())


def test_draws_are_as_frequent_as_their_probabilities():
    made, context = choices(), torch.tensor([0.3, -1.0], dtype=torch.float64)
    z = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    option = made.choose(z, context).floor().long()
    seen = torch.bincount((option * torch.tensor([12, 4, 1])).sum(1), minlength=24) / len(z)
    expected = made.to_latent(cells(), context)[1].exp()
    error = 4.5 * (expected * (1 - expected) / len(z)).sqrt() + 1e-4
    assert ((seen - expected).abs() < error).all()


def test_what_is_not_allowed_is_never_drawn_and_the_rest_keeps_its_odds():
    made, context = choices(), torch.zeros(1, 2, dtype=torch.float64)
    allowed = torch.ones(1, 9, dtype=torch.bool)
    allowed[0, [0, 3, 8]] = False  # the first option, the second of the second column, the last
    z = torch.rand(30_000, 1, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    option = made.choose(z, context, allowed=allowed).floor().long()[:, 0]
    assert (option[:, 0] == 1).all()
    assert (option[:, 1] != 1).all()
    assert (option[:, 2] != 3).all()
    every = torch.tensor([[[1.5, k + 0.5, j + 0.5] for j in range(4)] for k in (0, 2)], dtype=torch.float64)
    mass = made.to_latent(every, context)[1].exp().sum(1)
    seen = torch.tensor([float((option[:, 1] == k).double().mean()) for k in (0, 2)])
    assert float(seen[0] / seen[1]) == pytest.approx(float(mass[0] / mass[1]), rel=0.08)


def test_a_low_temperature_draws_the_likeliest():
    made, context = choices(sizes=(4,), context=1), torch.zeros(1, dtype=torch.float64)
    likeliest = made.to_latent(torch.arange(4.0).double()[:, None] + 0.5, context)[1].argmax()
    z = torch.rand(500, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert (made.choose(z, context, temperature=0.01).floor() == likeliest).all()


def test_the_last_option_is_reached_at_the_end_of_the_cube_and_no_further():
    made = choices()
    z = torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    option = made.choose(z, torch.zeros(1, 2, dtype=torch.float64)).floor()
    assert option.tolist() == [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]

"""The examples of the lecture on the change of variables, each against its closed form."""

import math

import pytest
import torch

from counterflow import flows
from counterflow.bijections import Affine, Elementwise, Exp, Invert, Linear, MixtureCDF, NormalCDF, transport
from counterflow.core.errors import NotInvertibleError
from counterflow.distributions import StandardNormal, Uniform


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def density(flow: flows.Flow, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return flow.double()(x).exp()


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected.squeeze(-1).expand_as(found), rtol=1e-7, atol=1e-12)


def test_square_root_of_a_uniform_has_density_two_y():
    """Y = sqrt(U), U ~ U[0, 1]: p(y) = 2 y."""
    flow = flows.compose(Elementwise(torch.square, torch.sqrt, domain=(0.0, math.inf)), Uniform(0.0, 1.0))
    y = column(0.1, 0.5, 0.9)
    same(density(flow, y), 2 * y)
    sample = flow.sample(20000, generator=torch.Generator().manual_seed(0))
    assert sample.mean().item() == pytest.approx(2 / 3, abs=0.01)  # the integral of y * 2 y


def test_four_times_a_uniform():
    """X = 4 Z, Z ~ U[0, 2]: p(x) = 1/8 on [0, 8]."""
    flow = flows.compose(Affine(1, scale=4.0), Uniform(0.0, 2.0))
    same(density(flow, column(0.1, 4.0, 7.9)), column(0.125))
    same(density(flow, column(-0.1, 8.1)), column(0.0))


def test_exponential_of_a_uniform():
    """X = exp(Z), Z ~ U[0, 2]: p(x) = 1 / (2 x) on [1, e^2]."""
    flow = flows.compose(Invert(Exp()), Uniform(0.0, 2.0))
    x = column(1.01, 3.0, 7.3)
    same(density(flow, x), 0.5 / x)
    same(density(flow, column(0.5, 7.5)), column(0.0))


def test_two_x_plus_one():
    """Y = 2 X + 1, X standard normal: Y ~ N(1, 4)."""
    flow = flows.compose(Affine(1, shift=1.0, scale=2.0), StandardNormal(1))
    y = column(-3.0, 1.0, 4.0)
    same(density(flow, y), torch.distributions.Normal(1.0, 2.0).log_prob(y).exp())


def test_doubled_speeds():
    """Y = 2 X for speeds X uniform on [100, 160]: p(y) = 1/120 on [200, 320]."""
    flow = flows.compose(Affine(1, scale=2.0), Uniform(100.0, 160.0))
    same(density(flow, column(201.0, 260.0, 319.0)), column(1 / 120))
    same(density(flow, column(150.0, 330.0)), column(0.0))


def test_matrix_times_a_vector():
    """X = A Z, Z uniform on the unit square: p(x) = 1 / |det A| on the image of the square."""
    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)  # det 5
    flow = flows.compose(Linear(matrix), Uniform(torch.zeros(2), torch.ones(2)))
    inside = torch.tensor([[0.2, 0.9], [0.5, 0.5]], dtype=torch.float64) @ matrix.T
    outside = torch.tensor([[1.2, 0.9], [-0.1, 0.5]], dtype=torch.float64) @ matrix.T
    same(density(flow, inside), column(0.2))
    same(density(flow, outside), column(0.0))


def test_one_law_becomes_another_through_their_distribution_functions():
    """X = F_X^-1(F_Z(Z)) has the law of X: a standard normal becomes a mixture of two."""
    mixture = MixtureCDF(torch.tensor([[-2.0, 2.0]]), torch.tensor([[0.5, 1.0]]), weights=torch.tensor([[0.3, 0.7]]))
    flow = flows.compose(transport(mixture, NormalCDF()), StandardNormal(1))
    x = column(-3.0, -2.0, 0.0, 1.5, 4.0)
    first, second = (torch.distributions.Normal(m, s).log_prob(x).exp() for m, s in ((-2.0, 0.5), (2.0, 1.0)))
    torch.testing.assert_close(density(flow, x), (0.3 * first + 0.7 * second).squeeze(-1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Elementwise(torch.square, torch.sqrt),
        lambda: Elementwise(torch.sin, torch.asin),
        lambda: Elementwise(lambda x: 0 * x + 1, lambda z: z),
        lambda: Linear(torch.tensor([[1.0, 2.0], [2.0, 4.0]])),
        lambda: Affine(2, scale=torch.tensor([1.0, 0.0])),
    ],
    ids=["square", "sine", "constant", "singular matrix", "zero scale"],
)
def test_a_map_that_is_no_bijection_is_refused(build):
    with pytest.raises(NotInvertibleError, match="must"):
        build()

"""Affine flows and normal laws are the same thing."""

import pytest
import torch
from scipy import stats

from counterflow import flows
from counterflow.bijections import ActNorm, Affine, Invert, LowerTriangular, LULinear, Permutation
from counterflow.core.errors import ArgumentError
from counterflow.distributions import DiagonalNormal, Gaussian
from counterflow.flows import Flow, as_gaussian, from_gaussian


def shaken(flow, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return flow.double()


def test_a_chain_of_affine_maps_is_the_law_that_scipy_knows():
    parts = [
        ActNorm(3),
        LULinear(3),
        Permutation([2, 0, 1]),
        Invert(LowerTriangular(3)),
        Affine(3, shift=1.0, scale=2.0),
    ]
    flow = shaken(flows.compose(parts))
    law, x = as_gaussian(flow), torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(law.log_prob(x), flow(x), atol=1e-10, rtol=1e-10)
    witness = stats.multivariate_normal(law.mean.detach(), law.covariance.detach()).logpdf(x)
    torch.testing.assert_close(flow(x).detach(), torch.as_tensor(witness), atol=1e-10, rtol=1e-10)


def test_a_conditional_linear_flow_is_a_law_for_each_context():
    flow = shaken(flows.linear(2, context_features=3))
    context = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    law, x = as_gaussian(flow, context), torch.zeros(4, 2).double()
    assert law.batch_shape == (4,)
    torch.testing.assert_close(law.log_prob(x), flow(x, context), atol=1e-10, rtol=1e-10)


def test_a_base_with_means_and_deviations_counts():
    flow = Flow(LowerTriangular(2), DiagonalNormal(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 3.0])))
    law, x = as_gaussian(shaken(flow)), torch.ones(2).double()
    torch.testing.assert_close(law.log_prob(x), flow(x), atol=1e-10, rtol=1e-10)


def test_a_law_becomes_a_flow_and_a_law_again():
    factor = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    law = Gaussian(torch.arange(3.0).double(), factor=factor)
    flow, x = from_gaussian(law), torch.ones(4, 3).double()
    torch.testing.assert_close(flow(x), law.log_prob(x), atol=1e-10, rtol=1e-10)
    again = as_gaussian(flow)
    torch.testing.assert_close(again.mean, law.mean, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(again.covariance, law.covariance, atol=1e-10, rtol=1e-10)


def test_what_is_no_normal_law_is_refused():
    with pytest.raises(ArgumentError, match="maps of the flow must be affine, got Coupling"):
        as_gaussian(flows.realnvp(2))
    with pytest.raises(ArgumentError, match="over a normal base"):
        as_gaussian(flows.glow((1, 4, 4), steps=1))
    with pytest.raises(ArgumentError, match="one law of full rank"):
        from_gaussian(Gaussian(torch.zeros(2), torch.zeros(2, 2)))

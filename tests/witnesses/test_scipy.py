"""The linear flow is scipy's multivariate normal law, and a fitted one has the sample's mean and covariance."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterflow import flows
from counterflow.bijections import Linear
from tests.laws.registry import draw


def correlated(rows: int, features: int, seed: int = 0) -> torch.Tensor:
    return draw(rows, features, seed=seed) @ draw(features, features, seed=seed + 1) + draw(features, seed=seed + 2)


@given(features=st.integers(1, 6), seed=st.integers(0, 100))
def test_initialized_linear_flow_is_the_maximum_likelihood_normal(features, seed):
    x = correlated(200, features, seed)
    flow = flows.initialize(flows.linear(features).double(), x)
    law = stats.multivariate_normal(x.mean(0).numpy(), np.cov(x.numpy().T, ddof=0))
    np.testing.assert_allclose(flow(x).detach().numpy(), law.logpdf(x.numpy()), rtol=1e-8, atol=1e-8)


def test_the_initialized_linear_flow_has_no_gradient_left():
    """At the maximum of the likelihood the mean gradient is zero in every parameter."""
    x = correlated(500, 3)
    flow = flows.initialize(flows.linear(3).double(), x)
    for gradient in torch.autograd.grad(flow(x).mean(), list(flow.parameters())):
        assert gradient.abs().max() < 1e-10


def test_training_from_the_identity_reaches_mean_and_covariance_of_the_sample():
    x = correlated(300, 2)
    flow = flows.linear(2).double()
    optimizer = torch.optim.LBFGS(flow.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -flow(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    color = flow.bijection.inverse()
    torch.testing.assert_close((color @ -flow.bijection.bias).detach(), x.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close((color @ color.T).detach(), torch.cov(x.T, correction=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("features", [1, 2, 5])
def test_given_matrix_makes_the_normal_law_with_covariance_of_its_square(features):
    matrix, shift = draw(features, features), draw(features, seed=1)
    flow = flows.compose(Linear(matrix, shift)).double()
    law = stats.multivariate_normal(shift.numpy(), (matrix @ matrix.T).numpy())
    x = draw(20, features, seed=2)
    np.testing.assert_allclose(flow(x).numpy(), law.logpdf(x.numpy()), rtol=1e-8)

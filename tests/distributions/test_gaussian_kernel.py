"""Conditional normal laws and mixtures, against dense algebra; filters and processes made of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import Gaussian, GaussianKernel, GaussianMixture
from tests.distributions.test_gaussian import close, matrix, random_law, seeds


def random_kernel(seed, rows=3, features=4):
    return GaussianKernel(matrix(seed, rows, features), matrix(seed + 1, rows), noise=random_law(seed, rows).covariance)


@given(seeds)
def test_a_joint_law_has_both_marginals_and_both_conditions(seed):
    p, kernel = random_law(seed), random_kernel(seed)
    joint, x, y = kernel.joint(p), matrix(seed + 2, 4), matrix(seed + 3, 3)
    close(joint.marginal(slice(4)).covariance, p.covariance)
    close(joint.marginal(slice(4, 7)).covariance, (kernel @ p).covariance)
    close(joint.log_prob(torch.cat([x, y])), p.log_prob(x) + kernel(x).log_prob(y))
    close(kernel.condition(p, y).mean, joint.condition_at([4, 5, 6], y).mean)
    close(kernel.condition(p, y).log_evidence, (kernel @ p).log_prob(y))


@given(seeds)
def test_bayes_rule_for_every_y_at_once_is_that_for_each_and_goes_back(seed):
    p, kernel, y = random_law(seed), random_kernel(seed), matrix(seed, 5, 3)
    back = kernel.reverse(p)
    for row in y:
        close(back(row).mean, kernel.condition(p, row).mean)
        close(back(row).covariance, kernel.condition(p, row).covariance)
    again = back.reverse(kernel @ p)
    close(again.matrix, kernel.matrix)
    close(again.shift, kernel.shift)
    close(again(torch.zeros(4).double()).covariance, kernel(torch.zeros(4).double()).covariance)


@given(seeds)
def test_one_kernel_after_another_is_one(seed):
    p, first, second = random_law(seed), random_kernel(seed), random_kernel(seed + 5, 2, 3)
    both, steps = (second @ first) @ p, second @ (first @ p)
    close(both.mean, steps.mean)
    close(both.covariance, steps.covariance)


def test_a_kalman_filter_is_the_dense_solve():
    move = GaussianKernel(torch.tensor([[1.0, 0.3], [0.0, 0.9]]).double(), noise=0.1 * torch.eye(2).double())
    see = GaussianKernel(torch.tensor([[1.0, 0.0]]).double(), noise=torch.tensor([[0.5]]).double())
    start, seen = random_law(0, 2), matrix(0, 6, 1)
    state, evidence, states = start, 0.0, []
    for y in seen:
        state = see.condition(move @ state, y)
        evidence, states = evidence + state.log_evidence, [*states, state]
    whole = move.joint(start)  # all states side by side, conditioned at once
    for step in range(2, 7):
        last = torch.zeros(2, 2 * step).double()
        last[:, -2:] = move.matrix
        whole = GaussianKernel(last, move.shift, noise_factor=move.noise_factor).joint(whole)
    pick = torch.kron(torch.eye(7).double()[1:], see.matrix)
    dense = whole.condition(pick, seen[:, 0], noise=0.5 * torch.eye(6).double())
    close(state.mean, dense.mean[-2:])
    close(state.covariance, dense.covariance[-2:, -2:])
    close(evidence, dense.log_evidence)
    smooth = state  # the smoother of Rauch, Tung and Striebel: reversed kernels, backward
    for filtered in reversed(states[:-1]):
        smooth = move.reverse(filtered) @ smooth
    close(smooth.mean, dense.mean[2:4])
    close(smooth.covariance, dense.covariance[2:4, 2:4])


def test_gaussian_process_regression_is_scikit_learns():
    x, new = np.linspace(0, 3, 8)[:, None], np.linspace(-1, 4, 5)[:, None]
    y = np.sin(x[:, 0])
    kernel = RBF(0.8)
    witness = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(x, y)
    mean, covariance = witness.predict(new, return_cov=True)
    both = torch.as_tensor(kernel(np.concatenate([new, x])))
    prior = Gaussian(torch.zeros(13).double(), both)
    seen = prior.condition(torch.eye(13).double()[5:], torch.as_tensor(y), noise=0.01 * torch.eye(8).double())
    close(seen.mean[:5], mean)
    close(seen.covariance[:5, :5], covariance)
    close(seen.log_evidence, witness.log_marginal_likelihood_value_)


def random_mixture(seed, parts=3):
    weights = matrix(seed, parts).abs() + 0.1
    return GaussianMixture(weights, random_law(seed, 2, batch=(parts,)))


@given(seeds)
def test_a_mixture_is_the_sum_of_its_parts(seed):
    p, x, a = random_mixture(seed), matrix(seed, 5, 2), matrix(seed, 2, 2)
    parts = [Gaussian(mean, factor=factor) for mean, factor in zip(p.parts.mean, p.parts.factor, strict=True)]
    dense = sum(w * part.log_prob(x).exp() for w, part in zip(p.weights, parts, strict=True))
    close(p.log_prob(x).exp(), dense)
    mapped = sum(w * (a @ part + 1.0).log_prob(x).exp() for w, part in zip(p.weights, parts, strict=True))
    close((a @ p + 1.0).log_prob(x).exp(), mapped)
    close(p.marginal(0).mean, p.mean[:1])


@given(seeds, st.booleans())
def test_products_and_conditions_of_mixtures_obey_bayes_rule(seed, alone):
    p, x = random_mixture(seed), matrix(seed, 5, 2)
    q = random_law(seed, 2) if alone else random_mixture(seed + 1, 2)
    product = p * q
    close(product.log_prob(x) + product.log_scale, p.log_prob(x) + q.log_prob(x))
    a, y, noise = matrix(seed, 1, 2), matrix(seed, 1), torch.tensor([[0.3]]).double()
    seen = p.condition(a, y, noise=noise)
    likelihood = GaussianKernel(a, noise=noise)
    close(seen.log_prob(x) + seen.log_evidence, p.log_prob(x) + torch.stack([likelihood(row).log_prob(y) for row in x]))


def test_sums_and_draws_of_mixtures_have_the_moments():
    p, q = random_mixture(0), random_mixture(1, 2)
    total = p + q
    close(total.mean, p.mean + q.mean)
    close(total.covariance, p.covariance + q.covariance)
    assert len(total.weights) == 6
    x = total.sample(200_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(0), total.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), total.covariance, atol=0.05, rtol=0.02)


def test_the_evidence_of_a_mixture_is_its_integral():
    p = GaussianMixture(
        torch.tensor([0.3, 0.7]).double(),
        Gaussian(torch.tensor([[-1.0], [2.0]]).double(), torch.tensor([[[0.5]], [[1.5]]]).double()),
    )
    eye, y, noise = torch.eye(1).double(), torch.tensor([0.4]).double(), torch.tensor([[0.2]]).double()

    grid = torch.linspace(-15, 15, 20_001, dtype=torch.float64)[:, None]
    volume = integrate.trapezoid(
        (p.log_prob(grid) + Gaussian(grid, noise).log_prob(y)).exp(), grid[:, 0]
    )  # of a smooth function that vanishes: exact to rounding
    close(p.condition(eye, y, noise=noise).log_evidence.exp(), volume)


def test_wrong_input_is_refused():
    laws = Gaussian(torch.zeros(2, 1), torch.eye(1))
    with pytest.raises(ShapeError, match="shift and noise must have 2 rows"):
        GaussianKernel(torch.eye(2), torch.zeros(3))
    with pytest.raises(ShapeError, match="a batch of k normal laws"):
        GaussianMixture(torch.ones(3), laws)
    with pytest.raises(ArgumentError, match="not all 0"):
        GaussianMixture(torch.zeros(2), laws)
    with pytest.raises(ArgumentError, match="its evidence is zero"):
        GaussianMixture(torch.ones(2), Gaussian(torch.zeros(2, 1), torch.zeros(1, 1))).condition(
            torch.eye(1), torch.ones(1)
        )
    mixed = Gaussian(torch.zeros(2, 1), torch.tensor([[[1.0]], [[0.0]]]))
    with pytest.raises(ArgumentError, match="must have one rank"):
        GaussianMixture(torch.ones(2), mixed).log_prob(torch.zeros(1))

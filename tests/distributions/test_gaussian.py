"""The algebra of normal laws, against scipy and dense algebra."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, linalg, stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import Gaussian

CLOSE = {"atol": 1e-10, "rtol": 1e-10}


def random_law(seed, features=4, *, rank=None, batch=()):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    factor = torch.randn(*batch, features, rank or features, **draw)
    if rank is None:  # condition numbers of the witnesses' covariances stay small
        factor = torch.linalg.qr(factor).Q * (0.5 + torch.rand(features, **draw))
    return Gaussian(torch.randn(*batch, features, **draw), factor=factor)


def matrix(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1000 + seed))


def close(found, wanted):
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=torch.float64), **CLOSE)


seeds = st.integers(0, 10_000)


@given(seeds)
def test_densities_are_those_of_scipy(seed):
    p, x = random_law(seed), matrix(seed, 5, 4)
    close(p.log_prob(x), stats.multivariate_normal(p.mean, p.covariance).logpdf(x))
    close(p.entropy(), stats.multivariate_normal(p.mean, p.covariance).entropy())


@given(seeds, st.integers(1, 3))
def test_singular_densities_are_those_of_scipy(seed, rank):
    p = random_law(seed, rank=rank)
    witness = stats.multivariate_normal(p.mean, p.covariance, allow_singular=True)
    x = p.sample(5, generator=torch.Generator().manual_seed(seed))
    close(p.log_prob(x), witness.logpdf(x))
    assert p.rank == rank
    assert (p.log_prob(x + matrix(seed, 4)) == -math.inf).all()


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_affine_maps_sums_and_marginals(seed, rows, rank):
    p, q, a, b = random_law(seed, rank=rank), random_law(seed + 1), matrix(seed, rows, 4), matrix(seed, rows)
    mapped = a @ p + b
    close(mapped.mean, a @ p.mean + b)
    close(mapped.covariance, a @ p.covariance @ a.T)
    close((p + q).covariance, p.covariance + q.covariance)
    close((p - q).mean, p.mean - q.mean)
    close((b[:1] + p).mean, p.mean + b[:1])
    close(p.marginal([2, 0]).covariance, p.covariance[[2, 0]][:, [2, 0]])
    close(p.marginal(slice(1, 3)).mean, p.mean[1:3])
    close((a.numpy() @ p).mean, a @ p.mean)


@given(seeds, st.integers(1, 4))
def test_conditions_are_those_of_dense_algebra(seed, rows):
    p, a, y = random_law(seed), matrix(seed, rows, 4), matrix(seed, rows)
    noise = random_law(seed, rows).covariance
    found = p.condition(a, y, noise=noise)
    seen = a @ p.covariance @ a.T + noise
    gain = p.covariance @ a.T @ torch.linalg.inv(seen)
    close(found.mean, p.mean + gain @ (y - a @ p.mean))
    close(found.covariance, p.covariance - gain @ a @ p.covariance)
    close(found.log_evidence, stats.multivariate_normal(a @ p.mean, seen).logpdf(y))


@given(seeds)
def test_one_condition_after_another_is_both_at_once(seed):
    p, a, y = random_law(seed), matrix(seed, 3, 4), matrix(seed, 3)
    noise = torch.diag(matrix(seed, 3).abs() + 0.1)
    both = p.condition(a, y, noise=noise)
    first = p.condition(a[:1], y[:1], noise=noise[:1, :1])
    second = first.condition(a[1:], y[1:], noise=noise[1:, 1:])
    close(second.mean, both.mean)
    close(second.covariance, both.covariance)
    close(first.log_evidence + second.log_evidence, both.log_evidence)


@given(seeds)
def test_a_condition_without_noise_holds_exactly_and_may_repeat_itself(seed):
    p, a = random_law(seed), matrix(seed, 2, 4)
    y = a @ p.sample(generator=torch.Generator().manual_seed(seed))
    once = p.condition(a, y)
    twice = p.condition(torch.cat([a, a[:1]]), torch.cat([y, y[:1]]))
    close(a @ once.mean, y)
    close((a @ once).covariance, torch.zeros(2, 2, dtype=torch.float64))
    close(twice.mean, once.mean)
    close(twice.covariance, once.covariance)
    assert p.condition(torch.cat([a, a[:1]]), torch.cat([y, y[:1] + 1])).log_evidence == -math.inf


@given(seeds)
def test_conditions_at_positions_are_the_textbook_formula(seed):
    p, known, rest = random_law(seed), [3, 1], [0, 2]
    values, c = matrix(seed, 2), p.covariance
    found = p.condition_at(known, values)
    gain = c[rest][:, known] @ torch.linalg.inv(c[known][:, known])
    close(found.mean, p.mean[rest] + gain @ (values - p.mean[known]))
    wanted = c[rest][:, rest] - gain @ c[known][:, rest]
    close(found.covariance, wanted)
    close(found.log_evidence, p.marginal(known).log_prob(values))


def test_a_product_keeps_its_normalizer():
    p = Gaussian(torch.tensor([1.0]).double(), torch.tensor([[2.0]]).double())
    q = Gaussian(torch.tensor([-0.5]).double(), torch.tensor([[0.3]]).double())
    product = p * q

    grid = torch.linspace(-15, 15, 20_001, dtype=torch.float64)[:, None]
    volume = integrate.trapezoid(
        (p.log_prob(grid) + q.log_prob(grid)).exp(), grid[:, 0]
    )  # of a smooth function that vanishes: exact to rounding
    close(product.log_scale, np.log(volume))
    x = matrix(0, 7, 1)
    close(product.log_prob(x) + product.log_scale, p.log_prob(x) + q.log_prob(x))
    third = product * p
    close(third.log_prob(x) + third.log_scale, 2 * p.log_prob(x) + q.log_prob(x))


@given(seeds)
def test_divergence_and_distance_are_those_of_dense_algebra(seed):
    p, q = random_law(seed), random_law(seed + 1)
    away, inverse = (q.mean - p.mean).numpy(), linalg.inv(q.covariance.numpy())
    dets = np.linalg.slogdet(q.covariance)[1] - np.linalg.slogdet(p.covariance)[1]
    kl = (np.trace(inverse @ p.covariance.numpy()) + away @ inverse @ away - 4 + dets) / 2
    close(p.kl(q), kl)
    root = linalg.sqrtm(q.covariance.numpy())
    shared = np.trace(linalg.sqrtm(root @ p.covariance.numpy() @ root)).real
    square = away @ away + np.trace(p.covariance + q.covariance) - 2 * shared
    close(p.wasserstein2(q), math.sqrt(square))
    assert p.wasserstein2(p) < 1e-6  # the root of a difference of squares


def test_singular_laws_are_infinitely_far_unless_their_supports_are_one():
    flat = random_law(0, rank=2)
    same = Gaussian(flat.mean, factor=flat.factor @ matrix(1, 2, 2))
    assert flat.kl(random_law(1)) == math.inf
    assert random_law(1).kl(flat) == math.inf
    assert flat.kl(random_law(2, rank=2)) == math.inf
    basis = linalg.orth(flat.factor.numpy())
    inner = [torch.as_tensor(basis).T @ law for law in (flat, same)]
    close(flat.kl(same), inner[0].kl(inner[1]))


@given(seeds)
def test_natural_parameters_go_both_ways(seed):
    p = random_law(seed)
    shift, precision = p.natural()
    close(precision @ p.covariance, torch.eye(4).double())
    again = Gaussian.from_natural(shift, precision)
    close(again.mean, p.mean)
    close(again.covariance, p.covariance)


def test_a_batch_is_a_loop():
    p, q, a, y = random_law(0, batch=(3,)), random_law(1), matrix(0, 3, 2, 4), matrix(1, 3, 2)
    noise = torch.eye(2).double()
    found, product, distance = p.condition(a, y, noise=noise), p * q, p.wasserstein2(q)
    for i in range(3):
        one = Gaussian(p.mean[i], factor=p.factor[i])
        alone = one.condition(a[i], y[i], noise=noise)
        close(found.mean[i], alone.mean)
        close(found.covariance[i], alone.covariance)
        close(found.log_evidence[i], alone.log_evidence)
        close(product.log_scale[i], (one * q).log_scale)
        close(distance[i], one.wasserstein2(q))
    assert p.sample(5).shape == (5, 3, 4)


def test_ill_conditioned_covariances_keep_their_digits():
    scales = torch.logspace(0, -6, 4, dtype=torch.float64)  # a covariance of condition 1e12
    turn, _ = torch.linalg.qr(matrix(0, 4, 4))
    p = Gaussian(torch.zeros(4).double(), factor=turn * scales)
    seen = p.condition(torch.eye(4).double(), torch.zeros(4).double(), noise_factor=turn * scales)
    torch.testing.assert_close(seen.covariance, p.covariance / 2, atol=1e-15, rtol=1e-9)
    torch.testing.assert_close(p.entropy(), scales.log().sum() + 2 * (1 + math.log(2 * math.pi)), atol=1e-10, rtol=0)


def test_draws_have_the_moments_and_carry_gradients():
    p = random_law(3, rank=2)
    x = p.sample(200_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mean(0), p.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(torch.cov(x.T), p.covariance, atol=0.08, rtol=0.02)
    factor = p.factor.clone().requires_grad_()
    Gaussian(p.mean, factor=factor).rsample(3).sum().backward()
    assert factor.grad.abs().sum() > 0


def test_evidence_has_the_derivatives_of_the_dense_formula():
    scale = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    a, y = matrix(0, 3, 4), matrix(0, 3)

    def evidence(scale):
        p = Gaussian(torch.zeros(4).double(), scale**2 * torch.eye(4).double())
        return p.condition(a, y, noise=torch.eye(3).double()).log_evidence

    assert torch.autograd.gradcheck(evidence, scale)


def test_wrong_input_is_refused():
    eye = torch.eye(2)
    with pytest.raises(ArgumentError, match="either a covariance or a factor"):
        Gaussian(torch.zeros(2))
    with pytest.raises(ArgumentError, match="must be symmetric"):
        Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ArgumentError, match="positive semi-definite, got an eigenvalue of -1"):
        Gaussian(torch.zeros(2), torch.diag(torch.tensor([1.0, -1.0])))
    with pytest.raises(ShapeError, match="mean and covariance must have shapes"):
        Gaussian(torch.zeros(3), factor=eye)
    p = Gaussian(torch.zeros(2), eye)
    with pytest.raises(ShapeError, match="must have 2 columns"):
        torch.eye(3) @ p
    with pytest.raises(ShapeError, match="the matrix must have shape"):
        p.condition(eye, torch.zeros(3))
    with pytest.raises(ArgumentError, match="different numbers from 0 to 1"):
        p.marginal([0, -2])
    with pytest.raises(ArgumentError, match="has no precision"):
        Gaussian(torch.zeros(2), torch.zeros(2, 2)).natural()
    with pytest.raises(ArgumentError, match="must be positive definite"):
        Gaussian.from_natural(torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"x must have shape \(\*points, 2\)"):
        p.log_prob(torch.zeros(3))

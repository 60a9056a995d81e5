"""The benchmark's simulators and likelihoods, each against scipy, closed forms or the benchmark's own constants."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.inference import tasks
from counterflow.inference.tasks import _slcp_distractors
from counterflow.inference.tasks._bernoulli_glm import design_matrix, prior_precision


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(task, rows, seed=0):
    """Parameters and data of float64, so that witnesses can be met closely."""
    theta = task.prior.sample(rows, generator=generator(seed)).double()
    return theta, task.simulator(theta, generator(seed + 1))


# ------------------------------------------------------------------------------------------------------- every task
@pytest.mark.parametrize("name", tasks.NAMES)
def test_every_task_is_what_it_says(name):
    task = tasks.by_name(name)
    assert task.name == name
    assert len(task.parameters) == len(set(task.parameters)) == task.prior.features
    theta = task.prior.sample(30, generator=generator())
    x = task.simulator(theta, generator(1))
    assert (x.shape, x.dtype, bool(x.isfinite().all())) == ((30, task.data_features), theta.dtype, True)
    assert torch.equal(x, task.simulator(theta, generator(1)))
    assert not torch.equal(x, task.simulator(theta, generator(2)))
    assert drawn(task, 3)[1].dtype == torch.float64


@pytest.mark.parametrize("name", tasks.NAMES)
def test_a_likelihood_is_one_number_for_each_row(name):
    """Witness: a loop; and one observation meets many parameters."""
    task = tasks.by_name(name)
    theta, x = drawn(task, 4)
    together = task.log_likelihood(x, theta)
    torch.testing.assert_close(together, torch.stack([task.log_likelihood(*row) for row in zip(x, theta, strict=True)]))
    one = task.log_likelihood(x[0], theta)
    assert one.shape == (4,)
    torch.testing.assert_close(one[0], together[0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match=r"name must be one of .* got 'two_moon'. Did you mean 'two_moons'"):
        tasks.by_name("two_moon")
    with pytest.raises(ShapeError, match=r"theta must have shape"):
        tasks.slcp().log_likelihood(torch.zeros(8), torch.zeros(3, 4))
    with pytest.raises(ArgumentError, match="'lotka_volterra' has no sampler of its exact posterior"):
        tasks.lotka_volterra().sample_posterior(5, torch.ones(20))
    silent = tasks.Task("mine", tasks.sir().prior, tasks.sir().simulator, ("beta", "gamma"), 10)
    with pytest.raises(ArgumentError, match="'mine' has a simulator and no likelihood"):
        silent.log_likelihood(torch.ones(10), torch.ones(2))


# ------------------------------------------------------------------------------------------------- likelihoods, scipy
def test_gaussian_linear_by_scipy():
    theta, x = drawn(tasks.gaussian_linear(), 6)
    expected = stats.norm(theta, math.sqrt(0.1)).logpdf(x).sum(1)
    assert tasks.gaussian_linear().log_likelihood(x, theta).numpy() == pytest.approx(expected)
    assert tasks.gaussian_linear_uniform().log_likelihood(x, theta).numpy() == pytest.approx(expected)


def test_gaussian_mixture_by_scipy():
    theta, x = drawn(tasks.gaussian_mixture(), 6)
    wide, narrow = (stats.norm(theta, scale).pdf(x).prod(1) for scale in (1.0, 0.1))
    found = tasks.gaussian_mixture().log_likelihood(x, theta)
    assert found.numpy() == pytest.approx(np.log(0.5 * wide + 0.5 * narrow))


def covariance(theta):
    first, second, rho = theta[2] ** 2, theta[3] ** 2, np.tanh(theta[4])
    return np.array([[first**2, rho * first * second], [rho * first * second, second**2]])


def test_slcp_by_scipy():
    theta, x = drawn(tasks.slcp(), 6)
    expected = [
        stats.multivariate_normal(row[:2], covariance(row)).logpdf(points.reshape(4, 2)).sum()
        for row, points in zip(theta.numpy(), x.numpy(), strict=True)
    ]
    assert tasks.slcp().log_likelihood(x, theta).numpy() == pytest.approx(expected, rel=1e-9)


def test_distractors_tell_nothing():
    """Witness: the eight numbers are picked one by one; the others do not depend on the parameters."""
    task, order = tasks.slcp_distractors(), _slcp_distractors._noise().order.tolist()
    theta, x = drawn(task, 6)
    told = x[:, [order.index(place) for place in range(8)]]
    assert torch.equal(told, tasks.slcp().simulator(theta, generator(1)))
    assert torch.equal(task.log_likelihood(x, theta), tasks.slcp().log_likelihood(told, theta))
    others = [order.index(place) for place in range(8, 100)]
    assert torch.equal(x[:, others], task.simulator(-theta, generator(1))[:, others])


def test_distractors_are_a_mixture_of_student_laws():
    """With two degrees of freedom the distribution function is 1/2 + t / (2 sqrt(2 + t^2))."""
    centers, factors, order = _slcp_distractors._noise()
    y = repeated(tasks.slcp_distractors(), [1.0] * 5, 4000)[:, order.argsort()[8:]].double().numpy()
    place, spread = centers.numpy(), factors.norm(dim=2).numpy()
    for column in (0, 40, 91):
        t = (y[:, column, None] - place[:, column]) / spread[:, column]
        shares = (0.5 + t / (2 * np.sqrt(2 + t**2))).mean(1)
        assert stats.kstest(shares, "uniform").pvalue > 0.001


def test_two_moons_integrate_to_one():
    """Witness: a sum over a fine grid around the crescent."""
    task, theta = tasks.two_moons(), torch.tensor([0.3, -0.5], dtype=torch.float64)
    sides = torch.linspace(-0.2, 0.5, 1401, dtype=torch.float64), torch.linspace(-0.8, -0.3, 1001, dtype=torch.float64)
    x = torch.cartesian_prod(*sides)
    assert float(task.log_likelihood(x, theta).exp().sum()) * 5e-4**2 == pytest.approx(1.0, abs=2e-3)


def test_bernoulli_glm_by_scipy():
    raw = tasks.bernoulli_glm_raw()
    theta, z = drawn(raw, 6)
    chances = 1 / (1 + np.exp(-(theta @ design_matrix().double().mT).numpy()))
    expected = stats.bernoulli(chances).logpmf(z.numpy()).sum(1)
    assert raw.log_likelihood(z, theta).numpy() == pytest.approx(expected)
    x = z @ design_matrix().double()
    assert tasks.bernoulli_glm().log_likelihood(x, theta).numpy() == pytest.approx(expected)


def epidemic(beta, gamma):
    people = 1e6
    found = solve_ivp(
        lambda t, y: [-beta * y[0] * y[1] / people, beta * y[0] * y[1] / people - gamma * y[1], gamma * y[1]],
        (0, 160),
        [people - 1, 1, 0],
        t_eval=17.0 * np.arange(10),
        rtol=1e-10,
        atol=1e-8,
    )
    return found.y[1] / people


def test_sir_by_scipy():
    theta, x = drawn(tasks.sir(), 4)
    shares = np.stack([epidemic(*row) for row in theta.tolist()])
    expected = stats.binom(1000, shares).logpmf(x.numpy()).sum(1)
    assert tasks.sir().log_likelihood(x, theta).numpy() == pytest.approx(expected, rel=1e-4)


def populations(alpha, beta, gamma, delta):
    found = solve_ivp(
        lambda t, y: [alpha * y[0] - beta * y[0] * y[1], -gamma * y[1] + delta * y[0] * y[1]],
        (0, 20),
        [30.0, 1.0],
        t_eval=2.1 * np.arange(10),
        rtol=1e-11,
        atol=1e-12,
        method="LSODA",
    )
    return found.y.reshape(-1)


def test_lotka_volterra_by_scipy():
    theta, x = drawn(tasks.lotka_volterra(), 4)
    center = np.stack([populations(*row) for row in theta.tolist()])
    expected = stats.lognorm(0.1, scale=center).logpdf(x.numpy()).sum(1)
    assert tasks.lotka_volterra().log_likelihood(x, theta).numpy() == pytest.approx(expected, abs=0.01)


# ---------------------------------------------------------------------------------------------- simulators, moments
def repeated(task, theta, rows=20_000):
    return task.simulator(torch.tensor([theta]).expand(rows, -1), generator(3))


def assert_moments(x, mean, variance):
    """Means and variances within 4.5 standard errors."""
    rows, x = len(x), x.double()
    mean, variance = torch.as_tensor(mean).double(), torch.as_tensor(variance).double()
    assert ((x.mean(0) - mean).abs() <= 4.5 * (variance / rows).sqrt() + 1e-6).all()
    fourth = (x - x.mean(0)).pow(4).mean(0)
    assert ((x.var(0) - variance).abs() <= 4.5 * ((fourth - variance**2).clamp(min=0) / rows).sqrt() + 1e-6).all()


def test_moments_of_two_moons():
    """E cos a = 2 / pi and E cos^2 a = 1 / 2 on the half circle."""
    square, center = 0.1**2 + 0.01**2, 0.1 * 2 / math.pi
    x = repeated(tasks.two_moons(), [0.2, 0.4])
    shift = -0.6 / math.sqrt(2), 0.2 / math.sqrt(2)
    assert_moments(x, [0.25 + center + shift[0], shift[1]], [square / 2 - center**2, square / 2])


def test_moments_of_normal_tasks():
    theta = [0.3, -0.7]
    assert_moments(repeated(tasks.gaussian_linear(2), theta), theta, [0.1, 0.1])
    assert_moments(repeated(tasks.gaussian_linear_uniform(2), theta), theta, [0.1, 0.1])
    assert_moments(repeated(tasks.gaussian_mixture(), theta), theta, [0.505, 0.505])


def test_every_row_of_a_mixture_chooses_its_own_part():
    away = (repeated(tasks.gaussian_mixture(), [0.0, 0.0]).norm(dim=1) < 0.4).float().mean()
    assert float(away) == pytest.approx(0.5 * (1 - math.exp(-8)) + 0.5 * (1 - math.exp(-0.08)), abs=0.015)


def test_moments_of_slcp():
    theta = [0.5, -1.0, 1.2, -0.8, 0.7]
    x = repeated(tasks.slcp(), theta)
    matrix = covariance(np.array(theta))
    assert_moments(x, [0.5, -1.0] * 4, [matrix[0, 0], matrix[1, 1]] * 4)
    products = (x[:, 0::2] - 0.5) * (x[:, 1::2] + 1.0)
    assert products.mean(0).numpy() == pytest.approx([matrix[0, 1]] * 4, abs=4.5 * float(products.std()) / 20_000**0.5)
    assert np.abs(np.corrcoef(x[:, 0::2].T) - np.eye(4)).max() < 0.035


def test_moments_of_spikes():
    theta = [0.2, 0.5, -0.3, 0.1, 0.0, 0.4, -0.2, 0.3, 0.1, 0.2]
    matrix = design_matrix().double()
    chances = (matrix @ torch.tensor(theta).double()).sigmoid()
    x = repeated(tasks.bernoulli_glm(), theta)
    assert_moments(x, chances @ matrix, (chances * (1 - chances)) @ matrix.square())


def test_moments_of_an_epidemic_and_of_populations():
    shares = epidemic(0.4, 0.125)
    assert_moments(repeated(tasks.sir(), [0.4, 0.125], 5000), 1000 * shares, 1000 * shares * (1 - shares))
    theta = [0.9, 0.05, 0.8, 0.04]
    x = repeated(tasks.lotka_volterra(), theta, 5000)
    assert_moments(x.log(), np.log(populations(*theta)), [0.01] * 20)


def test_the_prior_of_filters_is_that_of_the_benchmark():
    """Witness: F written out by its entries, as the appendix has it."""
    smooth = np.zeros((9, 9))
    for row in range(9):
        smooth[row, row] = 1 + math.sqrt(row / 9)
        smooth[row, row - 1 : row] = -2.0 if row else 0
        if row > 1:
            smooth[row, row - 2] = 1.0
    assert prior_precision()[1:, 1:].numpy() == pytest.approx(smooth.T @ smooth, abs=1e-5)
    assert prior_precision()[0].tolist() == [0.5, *[0.0] * 9]
    draws = tasks.bernoulli_glm().prior.sample(20_000, generator=generator())
    assert_moments(draws, [0.0] * 10, prior_precision().inverse().diagonal())


@pytest.mark.data
def test_constants_are_those_of_the_benchmark(data_folder):
    constants = np.load(data_folder / "sbibm" / "task_constants.npz")
    assert np.array_equal(design_matrix().numpy(), constants["bernoulli_glm_design_matrix"])
    noise = _slcp_distractors._noise()
    assert noise.centers.numpy() == pytest.approx(constants["slcp_distractors_loc"], rel=1e-12)
    assert noise.factors.numpy() == pytest.approx(constants["slcp_distractors_scale_tril"], rel=1e-12)
    assert np.array_equal(noise.order.numpy(), constants["slcp_distractors_permutation_idx"])

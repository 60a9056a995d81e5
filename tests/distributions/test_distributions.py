"""Densities against scipy's, and samples against their own densities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import DiagonalNormal, Laplace, Mixture, StandardNormal, StudentT, Uniform

LOCATION, SCALE = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 3.0], dtype=torch.float64)
LOW, HIGH = torch.tensor([-1.0, 0.0], dtype=torch.float64), torch.tensor([1.0, 5.0], dtype=torch.float64)


def mixture() -> Mixture:
    parts = [DiagonalNormal(LOCATION, SCALE), DiagonalNormal(-LOCATION, 2 * SCALE)]
    return Mixture(parts, torch.tensor([0.2, 0.8], dtype=torch.float64))


LAWS = {
    "standard_normal": (lambda: StandardNormal(2), [stats.norm(0, 1)] * 2),
    "diagonal_normal": (lambda: DiagonalNormal(LOCATION, SCALE), [stats.norm(1, 0.5), stats.norm(-2, 3)]),
    "laplace": (lambda: Laplace(LOCATION, SCALE), [stats.laplace(1, 0.5), stats.laplace(-2, 3)]),
    "student": (lambda: StudentT(2, degrees=3.5), [stats.t(3.5)] * 2),
    "uniform": (lambda: Uniform(LOW, HIGH), [stats.uniform(-1, 2), stats.uniform(0, 5)]),
}
laws = pytest.mark.parametrize("name", LAWS)


def make(name: str) -> tuple[torch.nn.Module, list]:
    build, witnesses = LAWS[name]
    return build().double(), witnesses


@laws
def test_log_prob_equals_scipy(name):
    law, witnesses = make(name)
    x = 4 * torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = sum(witness.logpdf(x[:, i].numpy()) for i, witness in enumerate(witnesses))
    np.testing.assert_allclose(law.log_prob(x).detach().numpy(), expected, rtol=1e-6, atol=1e-6)


@laws
def test_samples_follow_scipy(name):
    law, witnesses = make(name)
    x = law.sample(4000, generator=torch.Generator().manual_seed(0)).numpy()
    assert all(stats.kstest(x[:, i], witness.cdf).pvalue > 1e-3 for i, witness in enumerate(witnesses))


@laws
@given(shape=st.lists(st.integers(0, 4), max_size=3), seed=st.integers(0, 9))
def test_shapes_and_seeds(name, shape, seed):
    law, _ = make(name)
    x, again = (law.sample(tuple(shape), generator=torch.Generator().manual_seed(seed)) for _ in range(2))
    assert x.shape == (*shape, 2)
    assert law.log_prob(x).shape == tuple(shape)
    assert torch.equal(x, again)


@laws
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_device_follow_the_module(name, dtype):
    law = LAWS[name][0]().to(dtype)
    assert law.sample(3).dtype == dtype
    assert law.log_prob(torch.zeros(2, dtype=dtype)).dtype == dtype
    assert law.to("meta").log_prob(torch.zeros(5, 2, dtype=dtype, device="meta")).device.type == "meta"


@laws
def test_state_dict_carries_the_law(name):
    law, x = make(name)[0], torch.full((1, 2), 0.3, dtype=torch.float64)
    expected = law.log_prob(x).detach()
    with torch.no_grad():
        for parameter in law.parameters():
            parameter.add_(0.1)
    assert bool((law.log_prob(x) != expected).all()) == bool(list(law.parameters()))
    law.load_state_dict(make(name)[0].state_dict())
    assert torch.equal(law.log_prob(x), expected)


def test_mixture_is_the_weighted_sum():
    x = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parts = [stats.norm(s * m, k * d) for s, k in ((1, 1), (-1, 2)) for m, d in ((1.0, 0.5), (-2.0, 3.0))]
    first, second = (parts[i].pdf(x[:, 0]) * parts[i + 1].pdf(x[:, 1]) for i in (0, 2))
    np.testing.assert_allclose(mixture().log_prob(x).exp().detach(), 0.2 * first + 0.8 * second, rtol=1e-6)


def test_mixture_samples_follow_its_marginal():
    x = mixture().sample(4000, generator=torch.Generator().manual_seed(0))[:, 0].numpy()
    assert stats.kstest(x, lambda t: 0.2 * stats.norm(1, 0.5).cdf(t) + 0.8 * stats.norm(-1, 1).cdf(t)).pvalue > 1e-3


def test_image_shaped_points():
    law = StandardNormal((3, 4, 4))
    x = law.sample(5, generator=torch.Generator().manual_seed(0))
    assert x.shape == (5, 3, 4, 4)
    torch.testing.assert_close(law.log_prob(x), torch.distributions.Normal(0.0, 1.0).log_prob(x).sum((1, 2, 3)))


def test_rsample_carries_gradients_and_sample_does_not():
    law = DiagonalNormal(LOCATION, SCALE)
    noise = law.rsample(5, generator=torch.Generator().manual_seed(0))
    mean, log_deviation = torch.autograd.grad(noise.sum(), [law.mean, law.log_deviation])
    torch.testing.assert_close(mean, torch.full((2,), 5.0, dtype=torch.float64))
    torch.testing.assert_close(log_deviation, (noise - LOCATION).sum(0))
    assert not law.sample(5).requires_grad


def test_empty_box():
    with pytest.raises(ArgumentError, match="high must be above low"):
        Uniform(1.0, 1.0)


def test_no_degrees_of_freedom():
    with pytest.raises(ArgumentError, match="degrees must be above zero"):
        StudentT(1, degrees=0.0)


def test_mixture_of_nothing():
    with pytest.raises(ArgumentError, match="at least one component"):
        Mixture([])


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 0.5])])
def test_mixture_of_parts_that_do_not_fit(weights):
    parts = [StandardNormal(1), StandardNormal(2)] if weights is None else [StandardNormal(1)]
    with pytest.raises(ShapeError, match="one event shape and one weight each"):
        Mixture(parts, weights)

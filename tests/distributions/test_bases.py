"""Trainable bases: mixtures with covariances and learned tails, alone and under a flow; scipy is the witness."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from counterflow import flows
from counterflow.bijections import Affine
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import DiagonalNormal, Mixture, NormalMixture, StudentT
from counterflow.distributions.fit_mixture import fit_marginals, fit_normals


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shaken(law: torch.nn.Module) -> torch.nn.Module:
    law = law.double()
    with torch.no_grad():
        for i, parameter in enumerate(law.parameters()):
            parameter.add_(0.3 * draw(*parameter.shape, seed=i))
    return law


def mixture(*, diagonal: bool = False) -> NormalMixture:
    return shaken(NormalMixture(3, components=4, diagonal=diagonal, generator=torch.Generator().manual_seed(0)))


def parts(law: NormalMixture) -> list[tuple[float, stats.rv_continuous]]:
    """scipy's multivariate normal laws with the same means and covariances."""
    triangles = law._triangles().detach()
    covariances = torch.linalg.inv(triangles.mT @ triangles).numpy()
    laws = map(stats.multivariate_normal, law.means.detach().numpy(), covariances)
    return list(zip(law.logits.detach().softmax(-1).tolist(), laws, strict=True))


@pytest.mark.parametrize("diagonal", [False, True])
def test_log_prob_equals_scipy(diagonal):
    law, x = mixture(diagonal=diagonal), 2 * draw(20, 3, seed=9)
    expected = np.log(sum(weight * part.pdf(x.numpy()) for weight, part in parts(law)))
    np.testing.assert_allclose(law.log_prob(x).detach().numpy(), expected, rtol=1e-10)


def test_a_diagonal_mixture_is_a_mixture_of_diagonal_laws():
    law, x = mixture(diagonal=True), draw(20, 3, seed=9)
    laws = [DiagonalNormal(m, torch.exp(-s)) for m, s in zip(law.means, law.log_diagonals, strict=True)]
    other = Mixture(laws, law.logits.detach().softmax(-1))
    torch.testing.assert_close(other.log_prob(x), law.log_prob(x), rtol=1e-12, atol=1e-12)


def test_samples_follow_the_density():
    law = mixture()
    x = law.sample((40, 100), generator=torch.Generator().manual_seed(0)).reshape(-1, 3).numpy()
    for i in range(3):
        marginals = [(w, stats.norm(p.mean[i], p.cov[i, i] ** 0.5)) for w, p in parts(law)]
        cdf = lambda t, m=marginals: sum(w * p.cdf(t) for w, p in m)  # noqa: E731
        assert stats.kstest(x[:, i], cdf).pvalue > 1e-3
    assert law.sample(0).shape == (0, 3)
    assert law.sample().shape == (3,)


def test_gradients_of_samples_reach_means_and_covariances():
    law = mixture()
    x = law.rsample(200, generator=torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(x.square().sum(), [law.means, law.log_diagonals, law.lower])
    assert all((gradient != 0).any() for gradient in gradients)


@pytest.mark.parametrize("diagonal", [False, True])
def test_initialize_finds_clusters(diagonal):
    """Three clusters far apart: weights, means and covariances are those of the clusters."""
    centers = torch.tensor([[-10.0, 0.0], [10.0, 0.0], [0.0, 20.0]]).double()
    scales = torch.tensor([[1.0, 2.0], [0.5, 1.0], [2.0, 0.5]]).double()
    labels = torch.arange(3).repeat_interleave(torch.tensor([500, 1000, 1500]))
    x = centers[labels] + scales[labels] * draw(3000, 2)
    law = NormalMixture(2, components=3, diagonal=diagonal).double()
    law.initialize(x, generator=torch.Generator().manual_seed(0))
    found = sorted(parts(law), key=lambda pair: pair[0])
    for (weight, part), share, center, scale in zip(found, (1 / 6, 1 / 3, 1 / 2), centers, scales, strict=True):
        assert weight == pytest.approx(share, abs=0.01)
        np.testing.assert_allclose(part.mean, center, atol=0.2)
        np.testing.assert_allclose(np.diag(part.cov) ** 0.5, scale, rtol=0.12)


def test_steps_of_expectation_and_maximization_raise_the_likelihood():
    x = torch.cat((draw(300, 2), draw(300, 2, seed=1) * 0.2 + 2))
    one, many = (fit_marginals(x, components=k) for k in (1, 6))

    def score(fitted) -> Tensor:
        density = torch.distributions.Normal(fitted.means, fitted.deviations).log_prob(x.unsqueeze(-1))
        return (density + fitted.weights.log()).logsumexp(-1).mean(0)

    torch.testing.assert_close(one.means[:, 0], x.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(one.deviations[:, 0], x.std(0, correction=0), rtol=1e-6, atol=1e-6)
    assert (score(many) > score(one) + 0.1).all()
    assert fit_normals(x, components=1).deviations.shape == (1, 2, 2)


@pytest.mark.parametrize("degrees", [1.5, 4.0])
def test_gradient_of_student_samples_in_the_degrees_of_freedom(degrees):
    """d E[1 / (1 + X^2)] / d nu from samples against that of scipy's integral by central differences."""
    law = StudentT(1, degrees=degrees).double()
    x = law.rsample(200_000, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((1 / (1 + x.square())).mean(), law.raw_degrees)
    slope = torch.sigmoid(law.raw_degrees).item()  # of the degrees in their raw parameter

    def mean(nu: float) -> float:
        return 2 * integrate.quad(lambda x: stats.t(nu).pdf(x) / (1 + x * x), 0, np.inf, epsabs=1e-12)[0]

    expected = (mean(degrees + 1e-3) - mean(degrees - 1e-3)) / 2e-3
    assert gradient.item() / slope == pytest.approx(expected, rel=2e-2)


def test_the_degrees_of_freedom_are_learned():
    x = torch.tensor(stats.t(2.0).rvs((4000, 1), random_state=np.random.RandomState(0)))
    law = StudentT(1, degrees=20.0).double()
    optimizer = torch.optim.Adam(law.parameters(), lr=0.3)
    for _ in range(150):
        optimizer.zero_grad()
        (-law.log_prob(x).mean()).backward()
        optimizer.step()
    expected = stats.t.fit(x.numpy().ravel(), floc=0, fscale=1)[0]
    assert law.degrees.item() == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("base", [NormalMixture(2, components=3), StudentT(2), NormalMixture(2, diagonal=True)])
def test_bases_plug_into_flows(base):
    """The density of 3 Z + 1 is that of the base, moved; gradients reach the base."""
    flow, x = flows.compose(Affine(2, shift=1.0, scale=3.0), base), torch.tensor([[0.5, -2.0], [4.0, 1.0]])
    torch.testing.assert_close(flow(x), base.log_prob((x - 1) / 3) - 2 * math.log(3))
    gradients = torch.autograd.grad(flow(x).sum(), list(base.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert flow.sample(7).shape == (7, 2)


def test_with_base_keeps_the_bijection_and_changes_the_tails():
    flow = flows.maf(2, layers=2, generator=torch.Generator().manual_seed(0))
    heavy = flows.with_base(flow, StudentT(2, degrees=2.0))
    far = torch.tensor([30.0, 0.0])
    assert heavy.bijection is flow.bijection
    assert heavy(far) > flow(far) + 400
    with pytest.raises(ShapeError, match="one event shape"):
        flows.with_base(flow, StudentT(3))


@pytest.mark.parametrize("settings", [{"components": 0}, {"components": -1}])
def test_a_mixture_of_nothing(settings):
    with pytest.raises(ArgumentError, match="components must be a whole number"):
        NormalMixture(2, **settings)

"""Gaussianization is good before any gradient, and exact in tails; second witnesses are zuko and scipy."""

import numpy as np
import pytest
import torch
import zuko
from scipy import special, stats

from counterflow import flows
from counterflow.bijections import ActNorm, Gaussianize, OnFeatures
from counterflow.core.errors import ArgumentError
from counterflow.datasets.toys import two_moons
from tests.laws.registry import draw


def shaken(features: int = 2, components: int = 3) -> Gaussianize:
    layer = Gaussianize(features, components=components).double()
    with torch.no_grad():
        layer.mixtures.add_(0.5 * draw(*layer.mixtures.shape))
    return layer


def test_equals_scipy_in_the_middle():
    layer, x = shaken(), draw(50, 2, seed=1)
    means, log_deviations, logits = (part.detach().numpy() for part in layer.mixtures)
    share = special.softmax(logits, -1)
    standard = (x.numpy()[..., None] - means) / np.exp(log_deviations)
    z, log_det = layer.to_latent(x)
    np.testing.assert_allclose(z.detach(), stats.norm.ppf((share * stats.norm.cdf(standard)).sum(-1)), rtol=1e-8)
    density = (share * stats.norm.pdf(standard) / np.exp(log_deviations)).sum(-1)
    expected = (np.log(density) - stats.norm.logpdf(z.detach())).sum(-1)
    np.testing.assert_allclose(log_det.detach(), expected, rtol=1e-8, atol=1e-8)


def test_equals_zuko_up_to_its_clipping():
    layer, x = shaken(1), 0.5 * draw(50, 1, seed=1)
    with torch.no_grad():
        layer.mixtures[2].zero_()
    means, log_deviations = layer.mixtures[0].detach(), layer.mixtures[1].detach()
    twin = zuko.transforms.GaussianizationTransform(-means * torch.exp(-log_deviations), -log_deviations)
    torch.testing.assert_close(layer.to_latent(x)[0].detach(), twin.f(x), rtol=1e-4, atol=1e-4)


def test_tails_are_straight_lines_with_the_slope_of_the_widest_component():
    layer = shaken(1)
    widest = layer.mixtures[1].exp().max().item()
    for side in (-1.0, 1.0):
        x = side * torch.tensor([[1e4], [1e4 + 1]], dtype=torch.float64)
        z, log_det = layer.to_latent(x)
        assert (z[1] - z[0]).item() * side * widest == pytest.approx(1.0, abs=1e-3)
        torch.testing.assert_close(layer.to_data(z)[0], x, rtol=1e-12, atol=0.0)
        assert log_det[0].item() == pytest.approx(-np.log(widest), abs=1e-2)


def test_initialized_marginals_are_normal():
    generator = torch.Generator().manual_seed(0)
    left = torch.rand(3000, 2, generator=generator) < 0.3
    noise = torch.randn(3000, 2, generator=generator)
    x = torch.where(left, 0.3 * noise - 2, noise)
    layer = Gaussianize(2)
    layer.initialize(x)
    z = layer.to_latent(x)[0].detach().numpy()
    assert all(stats.kstest(z[:, i], "norm").pvalue > 0.05 for i in range(2))
    before = layer.mixtures.clone()
    layer.initialize(x + 1)
    assert torch.equal(layer.mixtures, before)


def test_good_before_any_gradient():
    """Moons: better than the linear flow by far, and near to what a trained spline flow reaches (about -1.1 nats)."""
    train, test = (two_moons(2000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    scores = {}
    for name, settings in (("linear", {}), ("gaussianization", {"layers": 12})):
        flow = getattr(flows, name)(2, generator=torch.Generator().manual_seed(0), **settings)
        scores[name] = flows.initialize(flow, train)(test).mean().item()
    assert scores["gaussianization"] > scores["linear"] + 0.4


def test_constant_features_do_not_break_the_start():
    flow = flows.gaussianization(2, layers=2, generator=torch.Generator().manual_seed(0))
    x = torch.cat((torch.ones(50, 1), torch.linspace(-1, 1, 50).unsqueeze(-1)), -1)
    assert torch.isfinite(flows.initialize(flow, x)(x)).all()


@pytest.mark.parametrize("chosen", [[0], [0, 0], [0, 3]])
def test_on_features_that_do_not_fit(chosen):
    with pytest.raises(ArgumentError, match="chosen must name 2 different features from 0 to 2"):
        OnFeatures(3, ActNorm(2), chosen=chosen)

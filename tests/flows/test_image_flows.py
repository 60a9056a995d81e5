"""Flows of images: sizes taken and refused, masses of byte images, initialization, and training on digits."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from counterflow import flows
from counterflow.bijections import ActNorm, OnChannels
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import bits_per_dimension
from counterflow.training import fit
from tests.laws.registry import FLOWS, draw

RECIPES = {"glow": {"steps": 1}, "image_realnvp": {"layers": 1}}
every = pytest.mark.parametrize("name", RECIPES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(name, shape, **settings):
    return flows.RECIPES[name](shape, **(RECIPES[name] | {"hidden": (4,)} | settings), generator=seeded())


def shaken(flow):
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=seeded(1)))
    return flow


@every
@pytest.mark.parametrize("shape", [(1, 7, 5), (3, 1, 9), (2, 6, 4), (1, 1, 1), (5, 2, 2)])
def test_any_size_and_any_number_of_channels(name, shape):
    flow, x = shaken(small(name, shape)).double(), draw(3, *shape)
    z, log_det = flow.to_latent(x)
    back, log_det_back = flow.to_data(z)
    assert z.shape == x.shape
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(log_det_back, -log_det)


@every
@pytest.mark.parametrize(
    ("shape", "settings", "sentence"),
    [
        ((1, 28, 28), {"levels": 3}, r"multiples of 8 for 3 levels, got \(28, 28\). Use levels=2"),
        ((1, 7, 8), {"levels": 1}, "Use levels=0"),
        ((1, 0, 8), {}, "three sizes above 0"),
        ((64,), {}, "must be .channels, height, width."),
    ],
)
def test_what_cannot_be_squeezed_is_refused(name, shape, settings, sentence):
    with pytest.raises(ShapeError, match=sentence):
        flows.RECIPES[name](shape, **settings)


@every
@pytest.mark.parametrize("settings", [{"bounds": (1.0, 0.0)}, {"bounds": (0.0, 1.0), "margin": 0.5}])
def test_bounds_must_hold_an_interval(name, settings):
    with pytest.raises(ArgumentError, match="bounds must be two increasing numbers"):
        small(name, (1, 2, 2), **settings)


@every
def test_a_flow_of_images_has_steps(name):
    with pytest.raises(ArgumentError, match="must be a whole number of at least 1"):
        small(name, (1, 2, 2), **dict.fromkeys(RECIPES[name], 0))


@every
def test_config_is_plain_data_that_rebuilds_the_flow(name):
    flow = small(name, (1, 4, 4), context_features=2, bounds=(0.0, 17.0))
    assert flow.config["event_shape"] == [1, 4, 4]
    assert flow.config["bounds"] == [0.0, 17.0]
    rebuilt = flows.from_config(flow.config)
    assert rebuilt.config == flow.config
    rebuilt.load_state_dict(flow.state_dict())
    x, context = torch.rand(2, 1, 4, 4, generator=seeded()), torch.ones(2)
    assert torch.equal(rebuilt(x, context), flow(x, context))


@every
def test_initialization_reaches_every_norm_in_one_pass(name):
    flow, x = small(name, (1, 8, 8), levels=2, bounds=(0.0, 17.0)), 17 * torch.rand(60, 1, 8, 8, generator=seeded())
    norms = [part for part in flow.modules() if isinstance(part, ActNorm)]
    assert len(norms) == {"glow": 2, "image_realnvp": 6}[name]
    flow.initialize(x)
    assert all(bool(norm.initialized) for norm in norms)
    z = flow.to_latent(x)[0]
    assert z.mean().abs() < 1e-5
    assert z.std().item() == pytest.approx(1.0, abs=0.01)


def test_half_of_what_is_left_leaves_at_every_level():
    flow = small("glow", (1, 8, 8), levels=3)
    splits = [part for part in flow.modules() if isinstance(part, OnChannels)]
    left = [math.prod(part.event_shape[1:]) * part.sizes[1] for part in splits]
    assert left == [32, 16]


def test_the_prior_of_what_leaves_is_a_normal_law_given_the_rest():
    """Half of the latent given the other half's channels: mean and scale of Glow's learned prior."""
    flow, x = shaken(small("glow", (1, 4, 4), levels=2)).double(), draw(3, 1, 4, 4)
    prior, split = flow.bijection.inner.parts[-2:]
    state = draw(3, 4, 2, 2)
    stay, leave = state.split(split.sizes, 1)
    shift, raw = prior.net(stay, None).split(2, 1)
    scale = torch.exp(-2.0 * torch.tanh(raw / 2.0))
    found = stats.norm.logpdf(leave, (-shift * scale).detach(), scale.detach()).sum((1, 2, 3))
    z, log_det = prior.to_latent(state)
    expected = stats.norm.logpdf(z[:, 2:].detach()).sum((1, 2, 3)) + log_det.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert flow(x).shape == (3,)


@every
def test_bits_of_byte_images_are_those_of_the_closed_form(name):
    """A fresh flow behind a logit: independent pixels, of which all images are gone through."""
    values, shape = 3, (1, 1, 2)
    model = flows.dequantized(small(name, shape, bounds=(0.0, float(values)), margin=0.0)).double()
    edges = stats.norm.cdf(np.log(np.arange(1, values) / (values - np.arange(1, values))))
    masses = np.diff([0.0, *edges, 1.0])
    images = torch.cartesian_prod(*[torch.arange(values)] * 2).reshape(-1, *shape)
    exact = np.log(np.outer(masses, masses)).flatten()
    with torch.no_grad():
        found = model.log_prob(images, draws=4000, generator=seeded()).numpy()
        bound = model.log_prob_bound(images.expand(4000, *images.shape), generator=seeded()).mean(0).numpy()
    np.testing.assert_allclose(found, exact, atol=0.03)
    assert np.exp(found).sum() == pytest.approx(1.0, abs=0.01)
    entropy = stats.entropy(masses, base=2)
    assert bits_per_dimension(float(np.exp(exact) @ exact), 2) == pytest.approx(entropy, abs=1e-12)
    assert bits_per_dimension(float(np.exp(exact) @ found), 2) == pytest.approx(entropy, abs=0.02)
    assert bits_per_dimension(float(np.exp(exact) @ bound), 2) > entropy


@every
def test_masses_of_a_shaken_flow_add_up_to_one_and_are_integrals(name):
    """All 9 images of two pixels and three values, each cell integrated on a grid."""
    flow = shaken(small(name, (1, 1, 2), bounds=(0.0, 3.0), margin=0.0)).double()
    middles = (torch.arange(40, dtype=torch.float64) + 0.5) / 40
    images = torch.cartesian_prod(*[torch.arange(3.0).double()] * 2).reshape(-1, 1, 1, 2)
    noise = torch.cartesian_prod(middles, middles)
    rows = torch.cat((images.flatten(1).expand(1600, 9, 2), noise[:, None].expand(1600, 9, 2)), -1)
    with torch.no_grad():
        masses = flows.dequantized(flow)(rows).exp().mean(0)
        density = flow(images.expand(1600, *images.shape) + noise.reshape(-1, 1, 1, 1, 2)).exp().mean(0)
    torch.testing.assert_close(masses, density)
    assert masses.sum().item() == pytest.approx(1.0, abs=2e-3)


def test_a_margin_loses_the_mass_beyond_the_bounds_and_gains_none():
    """RealNVP's logit with alpha = 0.05 against its formula."""
    flow = small("glow", (1, 1, 1), bounds=(0.0, 256.0), margin=0.05).double()
    x = torch.tensor([0.0, 100.0, 255.9]).double().reshape(3, 1, 1, 1)
    y = 0.05 + 0.9 * x / 256
    torch.testing.assert_close(flow.to_latent(x)[0], torch.logit(y))
    slope = 0.9 / 256 / (y * (1 - y))
    torch.testing.assert_close(flow.to_latent(x)[1], slope.log().flatten())


@pytest.mark.parametrize("name", ["glow_additive_context", "image_realnvp_context"])
def test_another_context_is_another_law(name):
    flow, (x, context) = FLOWS[name].make(), FLOWS[name].data()
    changed = flows.change_context(flow, x, before=context, after=context + 1)
    assert not torch.allclose(changed, x)
    torch.testing.assert_close(flows.change_context(flow, changed, before=context + 1, after=context), x)


def test_tables_do_not_take_flows_of_images():
    assert not {"glow", "image_realnvp"} & set(flows.TABLE_RECIPES)
    assert {"glow", "image_realnvp"} | set(flows.TABLE_RECIPES) == set(flows.RECIPES)


def test_a_small_glow_is_a_better_model_of_digits_than_a_gaussian():
    x = torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
    x = x[torch.randperm(len(x), generator=seeded())]
    train, test = x[:1500], x[1500:]
    model = flows.dequantized(
        flows.glow((1, 8, 8), levels=2, steps=2, hidden=(32, 32), bounds=(0.0, 17.0), generator=seeded())
    )
    settings = {"max_epochs": 8, "batch_size": 100, "learning_rate": 5e-3, "validation": 0.0}
    fit(model, train, **settings, augment=model.with_noise, generator=seeded(), progress=False, compile=False)
    noisy, noisy_test = (pixels + torch.rand(pixels.shape, generator=seeded(2)) for pixels in (train, test))
    rows = noisy.flatten(1).double()
    gaussian = torch.distributions.MultivariateNormal(rows.mean(0), torch.cov(rows.T))
    with torch.no_grad():
        bits = bits_per_dimension(model.log_prob_bound(test, generator=seeded(3)).mean().item(), 64)
    baseline = bits_per_dimension(gaussian.log_prob(noisy_test.flatten(1).double()).mean().item(), 64)
    assert 1.5 < bits < baseline

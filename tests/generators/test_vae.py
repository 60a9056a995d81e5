"""Variational autoencoders: a linear one whose likelihood is known, then shapes, seeds, files and training."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.counterfactuals import latent_ascent
from counterflow.generators import (
    VAE,
    Generator,
    HasLogProb,
    LogisticPixels,
    NormalPixels,
    as_generator,
    conv_vae,
    fit_vae,
)
from counterflow.training import TrainingSettings
from tests.laws.registry import draw

LATENT, SIZE, DEVIATION = 2, 5, 0.7


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Linear(nn.Module):
    """The exact posterior of a linear decoder, moved and widened."""

    def __init__(self, loadings: torch.Tensor, *, shift: float, widen: float) -> None:
        super().__init__()
        self.variance = 1 / (1 + loadings.square().sum(0) / DEVIATION**2)  # columns are orthogonal
        self.map = self.variance[:, None] * loadings.T / DEVIATION**2
        self.shift = shift
        self.raw = 6 * torch.atanh((self.variance.log() / 2 + math.log(widen)) / 6)

    def forward(self, x):
        mean = x @ self.map.T + self.shift
        return torch.cat([mean, self.raw.expand_as(mean)], 1)


def linear_vae(*, shift: float = 0.0, widen: float = 1.0) -> tuple[VAE, torch.distributions.MultivariateNormal]:
    """A VAE x = W z + noise, and its exact law of x."""
    loadings = torch.linalg.qr(draw(SIZE, LATENT)).Q * torch.tensor([2.0, 0.8]).double()
    decoder = nn.Linear(LATENT, SIZE, bias=False).double()
    decoder.weight.data = loadings
    pixels = NormalPixels((-1.0, 1.0), deviation=DEVIATION, learned=False).double()
    vae = VAE(Linear(loadings, shift=shift, widen=widen), decoder, pixels=pixels, latent_features=LATENT)
    covariance = loadings @ loadings.T + pixels.log_deviation.exp().square() * torch.eye(SIZE)
    return vae, torch.distributions.MultivariateNormal(torch.zeros(SIZE).double(), covariance)


@pytest.mark.parametrize(("samples", "at_once"), [(1, 100), (7, 100), (7, 3), (7, 25)])
def test_with_the_exact_posterior_every_bound_is_the_likelihood(samples, at_once):
    (vae, law), x = linear_vae(), draw(11, SIZE)
    found = vae.importance_bound(x, samples=samples, at_once=at_once, generator=seeded())
    torch.testing.assert_close(found, law.log_prob(x), rtol=1e-6, atol=1e-6)


def test_the_elbo_is_the_likelihood_less_the_divergence_of_the_encoder():
    """Closed form: KL of two diagonal normal laws by torch.distributions, and four standard errors of many draws."""
    (vae, law), (exact, _), x = linear_vae(shift=0.3, widen=1.5), linear_vae(), draw(3, SIZE)
    mine, true = (torch.distributions.Normal(mean, log.exp()) for mean, log in (vae.posterior(x), exact.posterior(x)))
    expected = law.log_prob(x) - torch.distributions.kl_divergence(mine, true).sum(1)
    draws = vae.elbo(x.repeat(20_000, 1), generator=seeded()).view(20_000, 3)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - expected).abs() < 4 * error).all()
    assert ((vae.elbo(x, samples=50, generator=seeded()) - expected).abs() < 4 * draws.std(0) / 50**0.5).all()


def test_bounds_rise_with_samples_to_the_likelihood():
    (vae, law), x = linear_vae(shift=0.5, widen=1.6), draw(400, SIZE)
    true = law.log_prob(x).mean()
    elbo = vae.elbo(x, samples=20, generator=seeded()).mean()
    bounds = [vae.importance_bound(x, samples=k, generator=seeded()).mean() for k in (1, 5, 50, 1000)]
    torch.testing.assert_close(bounds[0], elbo, atol=0.15, rtol=0)
    assert elbo < bounds[1] - 0.1
    assert bounds[1] < bounds[2] - 0.02
    assert bounds[2] < bounds[3]
    torch.testing.assert_close(bounds[3], true, atol=0.005, rtol=0)
    assert bounds[3] < true + 0.005


@pytest.mark.parametrize(
    "pixels", ["logistic", "normal", "bernoulli", LogisticPixels((0.0, 1.0), components=3)], ids=str
)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10)], ids=str)
def test_shapes_batches_and_seeds(pixels, shape):
    settings = {"latent_features": 3, "pixels": pixels, "widths": (6, 4)}
    vae, twin = (conv_vae(shape, **settings, generator=seeded()).double() for _ in range(2))
    x = (draw(4, *shape) > 0).double()
    z = vae.encode(x)
    assert z.shape == (4, 3)
    assert vae.decode(z).shape == x.shape
    for value in (vae.elbo(x, generator=seeded()), vae.importance_bound(x, samples=3, generator=seeded())):
        assert value.shape == (4,)
        assert value.isfinite().all()
    torch.testing.assert_close(vae.encode(x)[1:2], vae.encode(x[1:2]))
    torch.testing.assert_close(vae.decode(z)[1:2], vae.decode(z[1:2]))
    noise = draw(4, 3, seed=9)
    torch.testing.assert_close(vae(x, noise)[1:2], vae(x[1:2], noise[1:2]))
    torch.testing.assert_close(vae.log_prob(z), torch.distributions.Normal(0, 1).log_prob(z).sum(1))
    for noisy in (False, True):
        drawn = [one.sample(5, noise=noisy, generator=seeded(3)) for one in (vae, twin)]
        assert drawn[0].shape == (5, *shape)
        assert torch.equal(*drawn)
    assert isinstance(vae, Generator)
    assert isinstance(vae, HasLogProb)
    assert as_generator(vae) is vae


def test_temperature_scales_the_latent():
    vae = conv_vae((1, 4, 4), latent_features=2, pixels="normal", widths=(4, 4), generator=seeded())
    z = torch.randn(3, 2, generator=seeded(1))
    torch.testing.assert_close(vae.sample(3, temperature=0.5, noise=False, generator=seeded(1)), vae.decode(z / 2))


def test_weights_go_through_a_file(tmp_path):
    vae, other = (conv_vae((1, 8, 8), latent_features=2, pixels="normal", generator=seeded(seed)) for seed in (0, 1))
    save_file(vae.state_dict(), tmp_path / "vae.safetensors")
    other.load_state_dict(load_file(tmp_path / "vae.safetensors"))
    x = torch.rand(2, 1, 8, 8, generator=seeded())
    assert torch.equal(vae(x, torch.zeros(2, 2)), other(x, torch.zeros(2, 2)))


def two_kinds(rows: int) -> torch.Tensor:
    """Images of 4x4 bits, the left half white or the right half, with a tenth of the bits turned."""
    generator = seeded(5)
    left = torch.rand(rows, 1, 1, 1, generator=generator) < 0.5
    white = (torch.arange(4) < 2) == left
    turned = torch.rand(rows, 1, 4, 4, generator=generator) < 0.1
    return (white.expand(rows, 1, 4, 4) ^ turned).float()


def test_training_reaches_the_entropy_of_the_data():
    """Closed form: log 2 for the kind and 16 bits of which each is turned with probability 0.1."""
    vae = conv_vae((1, 4, 4), latent_features=1, pixels="bernoulli", widths=(8, 4), generator=seeded())
    x, test, seen = two_kinds(2000)[:1000], two_kinds(2000)[1000:], []
    settings = TrainingSettings(max_epochs=12, learning_rate=1e-2)
    report = fit_vae(vae, x, batch_size=100, settings=settings, generator=seeded(1), on_epoch=seen.append)
    entropy = math.log(2) - 16 * (0.1 * math.log(0.1) + 0.9 * math.log(0.9))  # 5.9; without a latent, 16 log 2 = 11.1
    bound = -vae.importance_bound(test, samples=100, generator=seeded(2)).mean()
    assert entropy - 0.3 < bound < entropy + 0.5
    assert bound < report.best_validation < entropy + 1.2
    assert len(seen) == report.epochs
    assert not vae.training


def test_training_is_seeded_and_augments():
    x = (255 * torch.rand(60, 1, 4, 4, generator=seeded())).to(torch.uint8)

    def augment(images, generator):
        return (images + torch.rand(images.shape, generator=generator)) / 256, 0.0

    def trained():
        vae = conv_vae((1, 4, 4), latent_features=2, widths=(4, 4), generator=seeded())
        fit_vae(vae, x, augment=augment, settings=TrainingSettings(max_epochs=2), generator=seeded(1))
        return vae.state_dict()

    one, two = trained(), trained()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_latent_ascent_climbs_in_a_vae():
    vae = conv_vae((1, 4, 4), latent_features=2, pixels="normal", widths=(8, 8), generator=seeded())
    x = torch.rand(5, 1, 4, 4, generator=seeded())

    def model(x):
        return 50 * (x.flatten(1).mean(1) - 0.5)

    answer = latent_ascent(vae, model, x, 1, confidence=0.9, learning_rate=0.2)
    assert answer.found.all()
    torch.testing.assert_close(vae.decode(answer.latents)[answer.steps > 0], answer.images[answer.steps > 0])
    assert all(parameter.requires_grad for parameter in vae.parameters())


def test_wrong_requests_are_refused_with_a_sentence():
    vae = conv_vae((1, 4, 4), latent_features=2, pixels="bernoulli", widths=(4, 4))
    gray = torch.full((3, 1, 4, 4), 0.5)
    for bound in (vae.elbo, vae.importance_bound):
        with pytest.raises(ArgumentError, match="0 or 1"):
            bound(gray)
        with pytest.raises(ArgumentError, match="samples"):
            bound(gray.round(), samples=0)
    with pytest.raises(ArgumentError, match="0 or 1"):
        fit_vae(vae, gray)
    with pytest.raises(DataError, match="at least 2 rows"):
        fit_vae(vae, gray[:1])
    with pytest.raises(ArgumentError, match="temperature"):
        vae.sample(1, temperature=0.0)
    with pytest.raises(ArgumentError, match="at_once"):
        vae.importance_bound(gray.round(), at_once=0)
    with pytest.raises(ArgumentError, match="two sizes"):
        conv_vae((1, 4, 4), widths=(4,))
    with pytest.raises(ArgumentError, match="'logistic', 'normal', 'bernoulli' or a law, got 'gray'"):
        conv_vae((1, 4, 4), pixels="gray")
    with pytest.raises(ArgumentError, match="latent_features"):
        conv_vae((1, 4, 4), latent_features=0)
    with pytest.raises(ShapeError, match="channels, height, width"):
        conv_vae((4, 4))

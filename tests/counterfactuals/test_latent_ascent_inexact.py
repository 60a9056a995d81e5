"""Latent ascent through generators that give back something else than they got: bundled digits and closed forms."""

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from counterflow import flows
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import input_ascent, latent_ascent
from counterflow.generators import AutoencoderGenerator, InversionSettings, conv_gan, fit_gan
from counterflow.training import TrainingSettings
from tests.laws.registry import draw

FEW = InversionSettings(starts=2, steps=15)


@pytest.fixture(scope="module")
def digits():
    found = load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None] / 16, torch.tensor(found.target)


@pytest.fixture(scope="module")
def classifier(digits):
    x, y = digits
    fitted = LogisticRegression(max_iter=300).fit(x.flatten(1).numpy(), y.numpy())
    linear = nn.Linear(64, 10)
    linear.load_state_dict({"weight": torch.tensor(fitted.coef_), "bias": torch.tensor(fitted.intercept_)})
    return nn.Sequential(nn.Flatten(), linear)


@pytest.fixture(scope="module")
def gan(digits):
    generator = torch.Generator().manual_seed(0)
    gan = conv_gan((1, 8, 8), latent_features=12, widths=(24, 16, 8), generator=generator)
    settings = TrainingSettings(max_epochs=14, patience=14, learning_rate=5e-3, clip=None)
    fit_gan(gan, digits[0], batch_size=32, penalty=0.3, settings=settings, generator=generator)
    return gan


@pytest.fixture(scope="module")
def fours(digits):
    x, y = digits
    return x[y == 4][:8]


def test_a_gan_is_inverted_inexactly_and_reported_against_both(gan, classifier, fours):
    generator = gan.inverted(FEW)
    answer = latent_ascent(generator, classifier, fours, 9, confidence=0.8, learning_rate=0.1, max_steps=150)
    lost = (gan.decode(generator.encode(fours)) - fours).square().flatten(1).mean(1).sqrt().detach()
    torch.testing.assert_close(answer.reconstruction_error, lost, rtol=1e-4, atol=1e-5)
    assert answer.reconstruction_error.min() > 0.05  # a gray level is 0.0625
    torch.testing.assert_close(answer.heatmap, (answer.images - fours).abs()[:, 0])
    torch.testing.assert_close(answer.reconstruction_heatmap, (answer.images - answer.reconstructions).abs()[:, 0])
    shares = classifier(answer.images).softmax(1)[:, 9].detach()
    torch.testing.assert_close(shares, answer.probability)
    found = [status is RowStatus.FOUND for status in answer.status]
    assert found == (shares >= 0.8).tolist()
    assert sum(found) >= 6
    torch.testing.assert_close(gan.decode(answer.latents).detach(), answer.images)


def test_refining_lowers_what_is_lost(gan, classifier, fours):
    rough, fine = (
        latent_ascent(gan.inverted(FEW), classifier, fours, 9, max_steps=0, refine=refine) for refine in (False, True)
    )
    assert (fine.reconstruction_error <= rough.reconstruction_error + 1e-6).all()
    assert fine.reconstruction_error.mean() < 0.95 * rough.reconstruction_error.mean()


def test_a_residual_is_carried_along_and_the_model_judges_what_is_returned(gan, classifier, fours):
    settings = {"confidence": 0.8, "learning_rate": 0.1, "max_steps": 150, "keep_path": True, "keep_residual": True}
    answer = latent_ascent(gan.inverted(FEW), classifier, fours, 9, **settings)
    for way, image in zip(answer.path, fours, strict=True):
        torch.testing.assert_close(way[0], image)
    change = gan.decode(answer.latents).detach() - answer.reconstructions
    torch.testing.assert_close(answer.images, fours + change)
    torch.testing.assert_close(answer.heatmap, change.abs()[:, 0], rtol=1e-4, atol=1e-5)
    shares = classifier(answer.images).softmax(1)[:, 9].detach()
    torch.testing.assert_close(shares, answer.probability)
    assert answer.found.tolist() == (shares >= 0.8).tolist()
    assert answer.found.sum() >= 4  # it is harder: what was lost speaks for the four
    clipped = latent_ascent(gan.inverted(FEW), classifier, fours, 9, clip=(0.0, 1.0), **settings)
    assert clipped.images.min() >= 0
    assert clipped.images.max() <= 1


def test_a_residual_is_carried_in_batches_as_in_one():
    """Closed form: the decoder knows the first coordinate alone, so the second stays what it was."""
    x = draw(5, 2)
    half = AutoencoderGenerator(lambda x: x[:, :1], lambda z: torch.cat([z, torch.zeros_like(z)], 1))
    settings = {"confidence": 0.9, "learning_rate": 0.3}
    whole = latent_ascent(half, lambda x: 2 * x.sum(1), x, 1, keep_residual=True, **settings)
    parts = latent_ascent(half, lambda x: 2 * x.sum(1), x, 1, keep_residual=True, batch_size=2, **settings)
    plain = latent_ascent(half, lambda x: 2 * x.sum(1), x, 1, **settings)
    torch.testing.assert_close(whole.images[:, 1], x[:, 1])
    torch.testing.assert_close(whole.images, parts.images)
    assert whole.steps.tolist() == parts.steps.tolist()
    moved = plain.steps > 0
    assert (plain.images[moved, 1] == 0).all()


def test_what_loses_nothing_has_no_residual():
    flow, x = flows.realnvp(3).double(), draw(4, 3)
    settings = {"confidence": 0.8, "max_steps": 20}
    plain, kept = (
        latent_ascent(flow, lambda x: x.sum(1), x, 1, keep_residual=keep, **settings) for keep in (False, True)
    )
    torch.testing.assert_close(plain.images, kept.images)
    torch.testing.assert_close(input_ascent(lambda x: x.sum(1), x, target=1, max_steps=0).reconstructions, x)

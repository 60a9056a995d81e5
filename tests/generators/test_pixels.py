"""Laws of pixels: sums over all gray levels, torch's own laws and many draws are the witnesses."""

import math

import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.generators import BernoulliPixels, LogisticPixels, NormalPixels
from tests.laws.registry import draw

LEVELS = 8


def law(components: int) -> LogisticPixels:
    return LogisticPixels((-1.0, 3.0), levels=LEVELS, components=components)


def shares(pixels: LogisticPixels, eta: torch.Tensor) -> torch.Tensor:
    """The probability of every cell, ``(levels, rows, channels, height, width)``."""
    shape = (len(eta), eta.shape[1] // pixels.parameters_per_number, *eta.shape[2:])
    centers = -1.0 + pixels.cell * (torch.arange(LEVELS).double() + 0.5)
    return torch.stack([pixels.log_prob(eta.new_full(shape, c), eta).exp() * pixels.cell for c in centers.tolist()])


@pytest.mark.parametrize("components", [1, 3])
def test_all_gray_levels_together_have_probability_one(components):
    pixels, eta = law(components), 3 * draw(4, 3 * components * 2, 2, 3)
    torch.testing.assert_close(shares(pixels, eta).sum(0), torch.ones(4, 2, 2, 3).double())


def test_cells_are_differences_of_the_distribution_function():
    """Witness: the logistic distribution function, written out for one pixel."""
    pixels, eta = law(1), torch.tensor([0.3, -0.2, 0.4]).double().view(1, 3, 1, 1)
    middle, scale = 1.0 + 2.0 * -0.2, 0.4 * math.exp(6 * math.tanh(0.4 / 6))
    edges = [-math.inf, *(-1.0 + 0.5 * k for k in range(1, LEVELS)), math.inf]
    below = [1 / (1 + math.exp(-(edge - middle) / scale)) if edge > -math.inf else 0.0 for edge in edges]
    expected = torch.tensor([b - a for a, b in zip(below, below[1:], strict=False)]).double()
    torch.testing.assert_close(shares(pixels, eta).flatten(), expected)


def test_the_density_is_the_same_all_over_a_cell_and_far_tails_are_finite():
    pixels, eta = law(3), 40 * draw(4, 9, 2, 2)
    low = -1.0 + pixels.cell * torch.arange(4).double().view(4, 1, 1, 1).expand(4, 1, 2, 2)
    there = pixels.log_prob(low, eta)
    torch.testing.assert_close(pixels.log_prob(low + 0.99 * pixels.cell, eta), there)
    assert there.isfinite().all()
    eta.requires_grad_()
    assert torch.autograd.grad(pixels.log_prob(low, eta).sum(), eta)[0].isfinite().all()


@pytest.mark.parametrize("components", [1, 3])
def test_the_mean_is_within_half_a_cell(components):
    pixels, eta = law(components), 3 * draw(50, 3 * components, 2, 2)
    centers = -1.0 + pixels.cell * (torch.arange(LEVELS).double() + 0.5)
    expected = (shares(pixels, eta) * centers.view(-1, 1, 1, 1, 1)).sum(0)
    assert (pixels.mean(eta) - expected).abs().max() <= pixels.cell / 2
    assert (pixels.mean(eta) - expected).abs().mean() < pixels.cell / 8


def test_the_mean_of_a_wide_law_is_that_of_what_lies_within():
    """Witness: a Riemann sum of the logistic law with its tails moved to the centers of the outer cells."""
    pixels, eta = law(1), torch.tensor([0.0, 0.4, 1.5]).double().view(1, 3, 1, 1)
    middle, scale = 1.0 + 2.0 * 0.4, 0.4 * math.exp(6 * math.tanh(1.5 / 6))
    quantile = torch.linspace(0, 1, 200_001)[1:-1].double().logit() * scale + middle
    expected = quantile.clamp(-0.75, 2.75).mean()
    torch.testing.assert_close(pixels.mean(eta).squeeze(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("components", [1, 3])
def test_draws_fall_into_cells_as_often_as_they_should(components):
    pixels, eta = law(components), draw(1, 3 * components, 1, 1).expand(-1, -1, 100, 200)
    x = pixels.draw(eta, generator=torch.Generator().manual_seed(0))
    pixels.check(x)
    expected = shares(pixels, eta[..., :1, :1]).flatten()
    found = torch.histc(x, LEVELS, -1.0, 3.0) / x.numel()
    error = (expected * (1 - expected) / x.numel()).sqrt()
    assert ((found - expected).abs() <= 4 * error + 1e-9).all()


def test_normal_pixels_are_torchs():
    pixels, eta, x = NormalPixels((0.0, 2.0), deviation=0.5).double(), draw(3, 2, 2, 2), draw(3, 2, 2, 2, seed=1)
    expected = torch.distributions.Normal(1.0 + eta, 0.5)
    torch.testing.assert_close(pixels.log_prob(x, eta), expected.log_prob(x))
    torch.testing.assert_close(pixels.mean(eta), expected.mean)
    drawn = pixels.draw(eta[:1].expand(40_000, -1, -1, -1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.std(0), torch.full((2, 2, 2), 0.5).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(drawn.mean(0), expected.mean[0], atol=0.01, rtol=0)


def test_bernoulli_pixels_are_torchs():
    pixels, eta = BernoulliPixels(), 3 * draw(3, 2, 2, 2)
    expected, x = torch.distributions.Bernoulli(logits=eta), (draw(3, 2, 2, 2, seed=1) > 0).double()
    torch.testing.assert_close(pixels.log_prob(x, eta), expected.log_prob(x))
    torch.testing.assert_close(pixels.mean(eta), expected.mean)
    drawn = pixels.draw(eta[:1].expand(40_000, -1, -1, -1), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), expected.mean[0], atol=0.01, rtol=0)


@pytest.mark.parametrize("pixels", [NormalPixels((-1.0, 3.0)), law(1)], ids=["normal", "logistic"])
def test_an_encoder_is_shown_pixels_from_minus_one_to_one(pixels):
    assert pixels.centered(torch.tensor([-1.0, 1.0, 3.0])).tolist() == [-1.0, 0.0, 1.0]


def test_pixels_that_cannot_occur_are_refused_with_a_sentence():
    with pytest.raises(ArgumentError, match="0 or 1"):
        BernoulliPixels().check(torch.tensor([0.0, 0.5]))
    with pytest.raises(ArgumentError, match=r"between -1\.0 and 3\.0"):
        law(1).check(torch.tensor([4.0]))
    with pytest.raises(ArgumentError, match="increasing"):
        LogisticPixels((1.0, 0.0))
    with pytest.raises(ArgumentError, match="levels"):
        LogisticPixels(levels=1)
    with pytest.raises(ArgumentError, match="deviation"):
        NormalPixels(deviation=0.0)

"""The normal laws of the comparison, and the nearest image: torch's law, a gradient and a loop are the witnesses."""

import torch

from experiments.side_by_side import nearest, normal_law, normal_log_density, shrunk, tiled
from tests.laws.registry import draw

SIZE = 4


def images() -> torch.Tensor:
    return (draw(40, SIZE) @ draw(SIZE, SIZE, seed=1)).view(40, 1, 2, 2)


def test_the_likeliest_law_is_torchs_with_the_moments_of_the_data():
    x = images()
    law = normal_law(x)
    torch.testing.assert_close(law[1], x.flatten(1).T.cov(correction=0))
    expected = torch.distributions.MultivariateNormal(*law).log_prob(x.flatten(1))
    torch.testing.assert_close(normal_log_density(x, law), expected)


def test_the_shrunk_covariance_is_the_mode_a_posteriori():
    """Witness: the gradient of the log-density of the posterior, an inverse Wishart law written out, is zero there."""
    x, strength = images(), 30.0
    law = normal_law(x)
    mode = shrunk(law, len(x), strength=strength)[1].requires_grad_()
    prior = strength * torch.diag(law[1].diagonal())  # its own mode, prior / strength, is the diagonal
    log_prior = -(strength * mode.logdet() + torch.trace(prior @ mode.inverse())) / 2
    log_posterior = normal_log_density(x, (law[0], mode)).sum() + log_prior
    (gradient,) = torch.autograd.grad(log_posterior, mode)
    assert (gradient + gradient.T).abs().max() < 1e-8
    (steep,) = torch.autograd.grad(normal_log_density(x, (law[0], mode)).sum(), mode)
    assert steep.abs().max() > 1e-2


def test_without_a_prior_nothing_is_shrunk():
    law = normal_law(images())
    torch.testing.assert_close(shrunk(law, 40, strength=0.0)[1], law[1])


def test_the_nearest_image_is_that_of_a_loop():
    made, train = images()[:5], draw(30, 1, 2, 2, seed=3)
    expected = [min(train, key=lambda image, one=one: float((image - one).norm())) for one in made]
    torch.testing.assert_close(nearest(made, train), torch.stack(expected))


def test_a_sheet_has_its_images_row_by_row():
    sheet = tiled(torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 2, 3), 2)
    assert sheet[::2, ::3].tolist() == [[0.0, 1.0], [2.0, 3.0]]

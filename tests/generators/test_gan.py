"""Adversarial networks: whose gradient moves whom, what the judge measures, modes of a toy, shapes, seeds and files."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import wasserstein_distance
from torch.nn import functional

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.generators import (
    GAN,
    Generator,
    InversionSettings,
    Refines,
    adversarial_loss,
    conv_gan,
    fit_gan,
    sliced_distance,
)
from counterflow.nets import MLP
from counterflow.training import TrainingSettings
from tests.laws.registry import draw


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat_gan(width: int = 32) -> GAN:
    """A network of points in the plane."""
    generator = seeded()
    decoder, critic = (MLP(2, n, hidden=(width, width), zero=False, generator=generator) for n in (2, 1))
    return GAN(decoder, critic, latent_features=2, bounds=None)


def test_each_player_is_moved_by_its_own_loss():
    """Witness: two losses, two backward passes, as the papers have them."""
    gan, x, z = flat_gan(8).double(), draw(6, 2), draw(6, 2, seed=1)
    adversarial_loss(gan, x, z=z, penalty=0.5).backward()
    found = {name: parameter.grad for name, parameter in gan.named_parameters()}
    real = x.clone().requires_grad_()
    slopes = torch.autograd.grad(gan.judge(real).sum(), real, create_graph=True)[0]
    of_critic = functional.binary_cross_entropy_with_logits(gan.judge(x), torch.ones(6).double())
    of_critic = of_critic + functional.binary_cross_entropy_with_logits(
        gan.judge(gan.decode(z)), torch.zeros(6).double()
    )
    of_critic = of_critic + 0.25 * slopes.square().sum() / 6
    of_decoder = functional.binary_cross_entropy_with_logits(gan.judge(gan.decode(z)), torch.ones(6).double())
    for part, loss in (("critic", of_critic), ("decoder", of_decoder)):
        named = dict(getattr(gan, part).named_parameters())
        for name, gradient in zip(named, torch.autograd.grad(loss, named.values(), retain_graph=True), strict=True):
            torch.testing.assert_close(found[f"{part}.{name}"], gradient)


def test_the_sliced_distance_is_scipys_along_each_direction():
    a, b, directions = draw(20, 1, 2, 2), draw(20, 1, 2, 2, seed=1), functional.normalize(draw(7, 4, seed=2))
    first, second = a.flatten(1) @ directions.T, b.flatten(1) @ directions.T
    expected = sum(wasserstein_distance(u, v) for u, v in zip(first.T.numpy(), second.T.numpy(), strict=True)) / 7
    assert sliced_distance(a, b, directions=directions).item() == pytest.approx(expected)
    assert sliced_distance(a, a.flip(0), directions=directions) == 0


def test_a_toy_with_two_modes_is_learned():
    generator, modes = seeded(5), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    x = modes[torch.randint(0, 2, (600,), generator=generator)] + 0.3 * torch.randn(600, 2, generator=generator)
    gan = flat_gan(16)

    def shares(points):  # of points within 2.5 standard deviations of each mode
        distance, mode = (points[:, None] - modes).norm(dim=2).min(1)
        return torch.bincount(mode[distance < 0.75], minlength=2) / len(points)

    before = shares(gan.sample(2000, generator=seeded(2)))
    settings = TrainingSettings(max_epochs=40, patience=40, learning_rate=1e-2, clip=None)
    report = fit_gan(gan, x, batch_size=60, penalty=0.2, settings=settings, generator=seeded(1))
    made = gan.sample(2000, generator=seeded(2))
    assert before.sum() < 0.1
    assert shares(made).min() > 0.3
    assert shares(made).sum() > 0.7
    assert (made.mean(0) - x.mean(0)).abs().max() < 0.2
    assert report.best_validation == min(record.validation for record in report.history)
    assert report.best_validation < 0.4 * report.history[0].validation


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 10)], ids=str)
def test_shapes_batches_seeds_and_bounds(shape):
    gan, twin = (
        conv_gan(shape, latent_features=3, bounds=(-2.0, 5.0), widths=(6, 4), generator=seeded()).double()
        for _ in range(2)
    )
    z = 5 * draw(4, 3)
    x = gan.decode(z)
    assert x.shape == (4, *shape)
    assert x.min() >= -2
    assert x.max() <= 5
    assert gan.judge(x).shape == (4,)
    torch.testing.assert_close(gan.decode(z)[1:2], gan.decode(z[1:2]))
    torch.testing.assert_close(gan.judge(x)[1:2], gan.judge(x[1:2]))
    torch.testing.assert_close(gan.log_prob(z), torch.distributions.Normal(0, 1).log_prob(z).sum(1))
    assert torch.equal(gan.sample(5, generator=seeded(3)), twin.sample(5, generator=seeded(3)))
    torch.testing.assert_close(
        gan.sample(5, temperature=0.5, generator=seeded(3)), gan.decode(gan.latents(5, seeded(3)) / 2)
    )


def test_weights_go_through_a_file(tmp_path):
    gan, other = (conv_gan((1, 4, 4), latent_features=2, widths=(4, 4), generator=seeded(seed)) for seed in (0, 1))
    save_file(gan.state_dict(), tmp_path / "gan.safetensors")
    other.load_state_dict(load_file(tmp_path / "gan.safetensors"))
    x = gan.sample(3, generator=seeded())
    assert torch.equal(x, other.sample(3, generator=seeded()))
    assert torch.equal(gan.judge(x), other.judge(x))


def test_training_is_seeded_and_augments():
    x = (255 * torch.rand(60, 1, 4, 4, generator=seeded())).to(torch.uint8)

    def augment(images, generator):
        return (images + torch.rand(images.shape, generator=generator)) / 256, 0.0

    def trained():
        gan = conv_gan((1, 4, 4), latent_features=2, widths=(4, 4), generator=seeded())
        fit_gan(gan, x, augment=augment, settings=TrainingSettings(max_epochs=2), generator=seeded(1))
        return gan.state_dict()

    one, two = trained(), trained()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_a_gan_makes_can_be_found_again():
    gan = conv_gan((1, 8, 8), latent_features=2, widths=(8, 8), generator=seeded()).double()
    generator, x = gan.inverted(InversionSettings(starts=8, steps=150, prior=0.0)), gan.sample(3, generator=seeded())
    assert isinstance(generator, Generator)
    assert isinstance(generator, Refines)
    assert {id(parameter) for parameter in generator.parameters()} == {id(parameter) for parameter in gan.parameters()}
    assert (generator.decode(generator.encode(x)) - x).abs().max() < 0.02


def test_wrong_requests_are_refused_with_a_sentence():
    gan, x = conv_gan((1, 4, 4), latent_features=2, widths=(4, 4)), torch.rand(9, 1, 4, 4, generator=seeded())
    with pytest.raises(ArgumentError, match="penalty"):
        fit_gan(gan, x, penalty=-1.0)
    with pytest.raises(ArgumentError, match="nothing judges"):
        fit_gan(gan, x, validation=0.0)
    with pytest.raises(ArgumentError, match="temperature"):
        gan.sample(1, temperature=-1.0)
    with pytest.raises(ArgumentError, match="increasing"):
        conv_gan((1, 4, 4), bounds=(1.0, 1.0))
    with pytest.raises(ArgumentError, match="two sizes"):
        conv_gan((1, 4, 4), widths=(4,))
    with pytest.raises(ShapeError, match="as many of both"):
        sliced_distance(x, x[:4], directions=torch.ones(1, 16))
    with pytest.raises(ShapeError, match="channels, height, width"):
        conv_gan((4, 4))

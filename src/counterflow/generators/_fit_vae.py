"""Training of variational autoencoders by the evidence lower bound, on the one loop."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.random import derive_seed, make_generator
from counterflow.generators.vae import VAE
from counterflow.training import Augment, Batch, FitReport, Logger, TensorBatches, TrainingSettings, optimise
from counterflow.training.batches import Array
from counterflow.training.data import checked_rows, hold_out, with_fixed_noise
from counterflow.training.place import Place

__all__ = ["fit_vae"]

_HELD_OUT_DRAWS = 4


def fit_vae(
    vae: VAE,
    x: Array,
    *,
    validation: float | tuple[Array, None] = 0.1,
    batch_size: int = 128,
    augment: Augment | None = None,
    settings: TrainingSettings | None = None,
    generator: torch.Generator | None = None,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Train a variational autoencoder on images.

    .. math:: \max \; \sum_i \mathbb E_{\epsilon}\, \log p\big(x_i \mid g(z_i)\big) -
        \operatorname{KL}\big(q(z \mid x_i)\, \|\, \mathcal N(0, I)\big), \qquad z_i = \mu(x_i) + \sigma(x_i)\, \epsilon

    The loop is that of :func:`~counterflow.training.optimise`: the weights with the best bound of the held-out images
    are kept. Training takes place where the autoencoder is.

    Args:
        vae: What to train, in place.
        x: Images, one in each row; anything that ``augment`` can read when that is given.
        validation: The share of images held out, in [0, 1), or ``(images, None)`` of your own.
        batch_size: The most images of a batch.
        augment: ``augment(x_batch, generator) -> (x_batch', log_weight)``, for example uniform dequantization of bytes.
        settings: Epochs, learning rate, time limit, progress and so on; ``None`` for the defaults.
        generator: Where the randomness comes from: one number is drawn from it and seeds the run.
        on_epoch: Called with the record of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report; ``report.best_validation`` is minus the mean bound of the held-out images, in nats.

    Raises:
        ArgumentError: Pixels cannot occur under the law of the pixels, or are not finite.
        DataError: There are fewer than two images, or the held-out share leaves none on one side.

    Example:
        >>> from counterflow.generators import conv_vae
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.rand(100, 1, 4, 4, generator=generator).round()
        >>> vae = conv_vae((1, 4, 4), latent_features=2, pixels="bernoulli", widths=(8, 8), generator=generator)
        >>> settings = TrainingSettings(max_epochs=20, learning_rate=1e-2)
        >>> report = fit_vae(vae, x, settings=settings, generator=generator)
        >>> report.best_validation < 12  # nats; 16 log 2 = 11.1 is what fair coins need
        True
    """
    check_count(batch_size, "batch_size")
    like = next(vae.parameters())
    place = Place(like.device, like.dtype)
    given = make_generator(generator)
    seed = int(torch.randint(2**62, (), generator=given, device=given.device))
    rows = checked_rows(x, None, None, raw=augment is not None, place=place)
    rows, held = hold_out(rows, validation, seed, raw=augment is not None, place=place)
    if augment is None:
        vae.pixels.check(rows.x)
    deal = TensorBatches(rows, batch_size, augment=augment, dtype=like.dtype)
    if held is not None:
        held = with_fixed_noise(held, augment, seed, dtype=like.dtype, use="held-out noise")
    return optimise(
        vae,
        _loss,
        lambda source: _noisy(deal(source), vae.latent_features, source),
        validate=None if held is None else _held_out(held.x, vae.latent_features, seed=seed, chunk=2 * batch_size),
        settings=settings,
        generator=make_generator(seed),
        on_epoch=on_epoch,
    )


def _noisy(batches: Iterator[Batch], features: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Give every image the noise of its latent."""
    for batch in batches:
        yield batch.x, _draw(batch.x, features, generator)


def _draw(x: Tensor, features: int, generator: torch.Generator) -> Tensor:
    return torch.randn(len(x), features, generator=generator, dtype=x.dtype, device=x.device)


def _loss(vae: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return -vae(*batch).mean()


def _held_out(x: Tensor, features: int, *, seed: int, chunk: int) -> Callable[[Any], Tensor]:
    """Minus the mean bound of held-out images, with noise drawn once."""
    generator = make_generator(derive_seed(seed, "held-out latents"), x.device)
    pairs = [(part, _draw(part, features, generator)) for _ in range(_HELD_OUT_DRAWS) for part in x.split(chunk)]
    return lambda vae: -torch.cat([vae(*pair) for pair in pairs]).mean(dtype=torch.float64)

"""Training of adversarial networks: two players, one loss whose gradients do not meet, on the one loop."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import derive_seed, make_generator
from counterflow.generators.gan import GAN
from counterflow.training import Augment, Batch, FitReport, Logger, TensorBatches, TrainingSettings, optimise
from counterflow.training.batches import Array
from counterflow.training.data import checked_rows, hold_out, with_fixed_noise
from counterflow.training.place import Place

__all__ = ["adversarial_loss", "fit_gan", "sliced_distance"]

_DIRECTIONS = 256
_SETTINGS = TrainingSettings(max_epochs=100, patience=100, learning_rate=1e-3, clip=None)


def fit_gan(
    gan: GAN,
    x: Array,
    *,
    validation: float | tuple[Array, None] = 0.1,
    batch_size: int = 64,
    penalty: float = 1.0,
    augment: Augment | None = None,
    settings: TrainingSettings | None = None,
    generator: torch.Generator | None = None,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Train an adversarial network on images.

    Both players move at once, by :func:`adversarial_loss`. The loss of a game says nothing of the images, so what is
    watched is the sliced Wasserstein distance between held-out images and samples of fixed latents
    (:func:`sliced_distance`): the weights of the epoch where it was least are kept. The loop is that of
    :func:`~counterflow.training.optimise`; it is never compiled, for the penalty is a gradient of a gradient.

    Args:
        gan: What to train, in place.
        x: Images, one in each row; anything that ``augment`` can read when that is given.
        validation: The share of images held out, in (0, 1), or ``(images, None)`` of your own.
        batch_size: The most images of a batch.
        penalty: Weight of the squared gradient of the critic at real images, above or equal to 0.
        augment: ``augment(x_batch, generator) -> (x_batch', log_weight)``, for example uniform dequantization of bytes.
        settings: Epochs, learning rate, time limit, progress and so on; ``None`` for 100 epochs.
        generator: Where the randomness comes from: one number is drawn from it and seeds the run.
        on_epoch: Called with the record of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report; ``report.best_validation`` is the distance, in the units of scaled pixels.

    Raises:
        ArgumentError: ``penalty`` is negative, nothing is held out, or pixels are not finite.
        DataError: There are fewer than two images, or the held-out share leaves none on one side.

    Example:
        >>> from counterflow.generators import conv_gan
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.rand(64, 1, 4, 4, generator=generator)
        >>> gan = conv_gan((1, 4, 4), latent_features=2, widths=(8, 8), generator=generator)
        >>> fit_gan(gan, x, settings=TrainingSettings(max_epochs=3), generator=generator).outcome.value
        'max_epochs'
    """
    check_count(batch_size, "batch_size")
    if not penalty >= 0:
        raise ArgumentError(f"penalty must be at least 0, got {penalty}. Use 1.0, or 0 for none.")
    if validation == 0:
        raise ArgumentError("validation must be above 0, got 0: without held-out images nothing judges the samples.")
    like = next(gan.parameters())
    place = Place(like.device, like.dtype)
    given = make_generator(generator)
    seed = int(torch.randint(2**62, (), generator=given, device=given.device))
    rows = checked_rows(x, None, None, raw=augment is not None, place=place)
    rows, held = hold_out(rows, validation, seed, raw=augment is not None, place=place)
    deal = TensorBatches(rows, batch_size, augment=augment, dtype=like.dtype)
    held = with_fixed_noise(cast("Batch", held), augment, seed, dtype=like.dtype, use="held-out noise")
    return optimise(
        gan,
        lambda module, batch: adversarial_loss(cast("GAN", module), batch[0], z=batch[1], penalty=penalty),
        lambda source: _with_latents(deal(source), gan, source),
        validate=_judge(gan, held.x, seed),
        settings=dataclasses.replace(settings or _SETTINGS, compile=False),
        generator=make_generator(seed),
        on_epoch=on_epoch,
    )


def adversarial_loss(
    gan: GAN, x: Float[Tensor, "rows *event"], *, z: Float[Tensor, "rows latent"], penalty: float = 1.0
) -> Float[Tensor, ""]:
    r"""Add the losses of both players, so that each is moved by its own alone.

    .. math:: \overline{\zeta(-D(x)) + \zeta(D(\bar g(z)))} + \tfrac\gamma2 \overline{\lVert \nabla_x D(x) \rVert^2}
        \;+\; \overline{\zeta(-\bar D(g(z)))}, \qquad \zeta(t) = \log(1 + e^t)

    A bar over D or g means that its weights are held fixed there; a bar over a term is its mean over the batch. The
    last term is the decoder's, in the form that does not saturate; the second keeps the critic's slope at the data
    near zero, without which the two circle each other.

    Args:
        gan: The network.
        x: Real images.
        z: Latents, as many.
        penalty: :math:`\gamma`.

    Returns:
        The sum, to be minimized by one step in all weights at once.

    Reference:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3; Mescheder, Geiger, Nowozin, "Which Training
        Methods for GANs do actually Converge?", 2018, equation 9.
    """
    real, made = gan.centered(x).detach().requires_grad_(), gan.decode(z)
    logit = gan.critic(real).flatten()
    (slope,) = torch.autograd.grad(logit.sum(), real, create_graph=True)
    of_critic = functional.softplus(-logit).mean() + functional.softplus(gan.judge(made.detach())).mean()
    fixed = {name: parameter.detach() for name, parameter in gan.critic.named_parameters()}
    of_decoder = functional.softplus(-functional_call(gan.critic, fixed, (gan.centered(made),))).mean()
    return of_critic + penalty / 2 * slope.square().flatten(1).sum(1).mean() + of_decoder


def sliced_distance(
    a: Float[Tensor, "rows *event"], b: Float[Tensor, "others *event"], *, directions: Float[Tensor, "d size"]
) -> Float[Tensor, ""]:
    r"""Compute the sliced Wasserstein distance of two samples of one size: the mean over directions of the sorted gaps.

    .. math:: \frac1d \sum_j \frac1n \sum_i \big| (A u_j)_{(i)} - (B u_j)_{(i)} \big|

    Args:
        a: One sample.
        b: The other, of as many points.
        directions: :math:`u_j`, of length one.

    Returns:
        The distance, 0 for equal samples.

    Raises:
        ShapeError: The samples differ in shape.

    Reference:
        Bonneel, Rabin, Peyre, Pfister, "Sliced and Radon Wasserstein Barycenters of Measures", 2015, section 2.

    Example:
        >>> a = torch.tensor([[0.0], [1.0]])
        >>> sliced_distance(a, a.flip(0) + 2.0, directions=torch.ones(1, 1)).item()
        2.0
    """
    if a.shape != b.shape:
        raise ShapeError(
            f"both samples must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}. Draw as many of both."
        )
    first, second = (points.flatten(1) @ directions.T for points in (a, b))
    return (first.sort(0).values - second.sort(0).values).abs().mean()


def _with_latents(batches: Iterator[Batch], gan: GAN, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        yield batch.x, gan.latents(len(batch.x), generator)


def _judge(gan: GAN, held: Tensor, seed: int) -> Callable[[nn.Module], Tensor]:
    """The distance of samples of fixed latents from held-out images."""
    generator = make_generator(derive_seed(seed, "judging"), held.device)
    real = gan.centered(held)
    z = gan.latents(len(held), generator)
    shape = (_DIRECTIONS, real.flatten(1).shape[1])
    directions = torch.randn(shape, generator=generator, dtype=real.dtype, device=real.device)
    directions = directions / directions.norm(dim=1, keepdim=True)

    def judge(module: Any) -> Tensor:
        made = torch.cat([module.decode(part) for part in z.split(256)])
        return sliced_distance(real, gan.centered(made), directions=directions)

    return judge

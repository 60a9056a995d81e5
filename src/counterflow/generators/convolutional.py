"""Recipes: variational autoencoders and adversarial networks of images, of any size and number of channels."""

import torch

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.generators.gan import GAN
from counterflow.generators.pixels import AbstractPixels, BernoulliPixels, LogisticPixels, NormalPixels
from counterflow.generators.vae import VAE
from counterflow.nets import ImageDecoder, ImageEncoder

__all__ = ["conv_gan", "conv_vae"]


def conv_vae(
    event_shape: tuple[int, ...],
    *,
    latent_features: int = 16,
    pixels: str | AbstractPixels = "logistic",
    bounds: tuple[float, float] = (0.0, 1.0),
    widths: tuple[int, ...] = (64, 32, 16),
    activation: str = "silu",
    recompute: bool = False,
    generator: torch.Generator | None = None,
) -> VAE:
    """Build a convolutional variational autoencoder.

    Args:
        event_shape: ``(channels, height, width)``, of any size.
        latent_features: Length of the latent.
        pixels: ``"logistic"``, gray levels in 256 cells between the bounds; ``"normal"``, with one learned standard
            deviation; ``"bernoulli"``, for pixels that are 0 or 1; or a law of your own, which has its own bounds.
        bounds: Between which numbers pixels lie: (0, 256) for dequantized bytes.
        widths: Channels of the decoder at each size, from the smallest to the full one; the encoder has them the other
            way around, without the one at full size.
        activation: Name of the nonlinearity.
        recompute: As in :class:`~counterflow.nets.ImageDecoder`, for large images.
        generator: Where initial weights are drawn from.

    Returns:
        The autoencoder, untrained: see :func:`~counterflow.generators.fit_vae`.

    Raises:
        ArgumentError: The pixels have no such law, or fewer than two widths are given.
        ShapeError: The points are no images.

    Example:
        >>> vae = conv_vae((3, 9, 16), latent_features=4, bounds=(0.0, 256.0), widths=(8, 4))
        >>> vae.sample(2, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 9, 16])
    """
    _check(latent_features, widths)
    law = _law(pixels, bounds) if isinstance(pixels, str) else pixels
    down = tuple(reversed(widths[:-1]))
    encoder = ImageEncoder(event_shape, 2 * latent_features, widths=down, activation=activation, generator=generator)
    outputs = (law.parameters_per_number * event_shape[0], *event_shape[1:])
    decoder = ImageDecoder(
        latent_features, outputs, widths=widths, activation=activation, recompute=recompute, generator=generator
    )
    return VAE(encoder, decoder, pixels=law, latent_features=latent_features)


def conv_gan(
    event_shape: tuple[int, ...],
    *,
    latent_features: int = 64,
    bounds: tuple[float, float] = (0.0, 1.0),
    widths: tuple[int, ...] = (64, 32, 16),
    activation: str = "silu",
    recompute: bool = False,
    generator: torch.Generator | None = None,
) -> GAN:
    """Build a convolutional generative adversarial network.

    It differs from the paper's where that is known to help: pixels are repeated in place of transposed convolutions,
    and each pixel is normalized over its channels in place of each channel over the batch, so that images never mix.

    Args:
        event_shape: ``(channels, height, width)``, of any size.
        latent_features: Length of the latent (100 in the paper).
        bounds: Between which numbers pixels lie.
        widths: Channels of the decoder at each size, from the smallest to the full one; the critic has them the other
            way around, without the one at full size.
        activation: Name of the nonlinearity.
        recompute: As in :class:`~counterflow.nets.ImageDecoder`, for large images.
        generator: Where initial weights are drawn from.

    Returns:
        The network, untrained: see :func:`~counterflow.generators.fit_gan`.

    Raises:
        ArgumentError: Fewer than two widths are given.
        ShapeError: The points are no images.

    Reference:
        Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
        Networks", 2016, section 3.

    Example:
        >>> gan = conv_gan((1, 28, 28), latent_features=8, widths=(16, 8, 4))
        >>> gan.decode(torch.zeros(2, 8)).shape
        torch.Size([2, 1, 28, 28])
    """
    _check(latent_features, widths)
    decoder = ImageDecoder(
        latent_features,
        event_shape,
        widths=widths,
        activation=activation,
        normalize=True,
        recompute=recompute,
        generator=generator,
    )
    critic = ImageEncoder(
        event_shape, 1, widths=tuple(reversed(widths[:-1])), activation=activation, generator=generator
    )
    return GAN(decoder, critic, latent_features=latent_features, bounds=bounds)


def _law(name: str, bounds: tuple[float, float]) -> AbstractPixels:
    if name == "logistic":
        return LogisticPixels(bounds)
    if name == "normal":
        return NormalPixels(bounds)
    if name == "bernoulli":
        return BernoulliPixels()
    raise ArgumentError(
        f"pixels must be 'logistic', 'normal', 'bernoulli' or a law, got {name!r}. Choose one of these."
    )


def _check(latent_features: int, widths: tuple[int, ...]) -> None:
    check_count(latent_features, "latent_features")
    if len(widths) < 2:
        raise ArgumentError(f"widths must name at least two sizes, got {widths}. Try (64, 32, 16).")

"""Generative adversarial networks: a decoder that learns from a critic, and has neither encoder nor likelihood."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import normal_log_prob
from counterflow.core.random import make_generator
from counterflow.generators.inversion import Decoder, InversionSettings, InvertedDecoder

__all__ = ["GAN"]


class GAN(nn.Module):
    r"""A decoder of standard normal latents, and a critic that tells its images from real ones.

    There is no encoder: :meth:`inverted` gives the generator that searches latents. There is no likelihood: the law of
    the images lives on a surface of ``latent_features`` dimensions and has no density in the space of pixels.

    Args:
        decoder: From latents to images, before the bounds.
        critic: From images, scaled to -1 and 1, to one logit of "real".
        latent_features: Length of the latent.
        bounds: Between which numbers pixels lie, to which a sigmoid holds them; ``None`` for numbers without bounds.

    Raises:
        ArgumentError: The bounds do not increase.

    Reference:
        Goodfellow et al., "Generative Adversarial Nets", 2014, section 3.

    Example:
        >>> from counterflow.generators import conv_gan
        >>> gan = conv_gan((1, 8, 8), latent_features=3)
        >>> gan.sample(5).shape, gan.judge(gan.sample(5)).shape
        (torch.Size([5, 1, 8, 8]), torch.Size([5]))
    """

    def __init__(
        self,
        decoder: nn.Module,
        critic: nn.Module,
        *,
        latent_features: int,
        bounds: tuple[float, float] | None = (0.0, 1.0),
    ) -> None:
        super().__init__()
        check_count(latent_features, "latent_features")
        if bounds is not None and (len(bounds) != 2 or not bounds[0] < bounds[1]):
            raise ArgumentError(f"bounds must be two increasing numbers or None, got {bounds}. For bytes use (0, 256).")
        self.decoder, self.critic = decoder, critic
        self.latent_features = latent_features
        self.bounds = bounds

    def decode(self, z: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to images."""
        x = self.decoder(z)
        return x if self.bounds is None else self.bounds[0] + (self.bounds[1] - self.bounds[0]) * x.sigmoid()

    def judge(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, " rows"]:
        """Compute the critic's logit that each image is real."""
        return self.critic(self.centered(x)).flatten()

    def centered(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Scale pixels from the bounds to -1 and 1: what the critic is shown."""
        if self.bounds is None:
            return x
        low, high = self.bounds
        return (2 * x - (low + high)) / (high - low)

    def log_prob(self, z: Float[Tensor, "rows latent"]) -> Float[Tensor, " rows"]:
        """Compute the standard normal log-density of latents; images have none."""
        return normal_log_prob(z).sum(1)

    @torch.no_grad()
    def sample(
        self, n: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *event"]:
        """Draw images.

        Args:
            n: How many.
            temperature: Factor of the latent; below 1 images are more usual and less diverse.
            generator: Where to draw from.

        Returns:
            Images in the units of the pixels.

        Raises:
            ArgumentError: ``n`` is below one, or ``temperature`` not positive.
        """
        check_count(n, "n")
        check_positive(temperature, "temperature")
        return self.decode(temperature * self.latents(n, generator))

    def latents(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n latent"]:
        """Draw latents."""
        like = next(self.decoder.parameters())
        generator = make_generator(generator, like.device)
        return torch.randn(n, self.latent_features, dtype=like.dtype, device=like.device, generator=generator)

    def inverted(self, settings: InversionSettings | None = None, *, encoder: Decoder | None = None) -> InvertedDecoder:
        """Make the generator that encodes images by searching their latents, for latent ascent and the like.

        Example:
            >>> from counterflow.generators import conv_gan
            >>> gan = conv_gan((1, 8, 8), latent_features=3)
            >>> gan.inverted(InversionSettings(starts=2, steps=5)).encode(torch.rand(4, 1, 8, 8)).shape
            torch.Size([4, 3])
        """
        return InvertedDecoder(_Decoding(self), self.latent_features, settings=settings, encoder=encoder)


class _Decoding(nn.Module):
    """The decoding half of a GAN as a module, so that it is moved and frozen with what holds it."""

    def __init__(self, gan: GAN) -> None:
        super().__init__()
        self.gan = gan

    def forward(self, z: Tensor) -> Tensor:
        return self.gan.decode(z)

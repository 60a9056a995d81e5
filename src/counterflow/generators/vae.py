"""Variational autoencoders: an encoder and a decoder that bound the likelihood of images from below."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_positive
from counterflow.core.numerics import normal_log_prob, soft_bound
from counterflow.core.random import make_generator
from counterflow.generators.pixels import AbstractPixels

__all__ = ["VAE"]

_LOG_DEVIATION_BOUND = 6.0
"""The encoder's standard deviations lie within the exponentials of this and of its negative."""


class VAE(nn.Module):
    r"""A latent variable model with a standard normal latent, and an encoder that guesses the latent of an image.

    .. math:: p(x) = \int p(x \mid g(z))\, \mathcal N(z; 0, I)\, dz, \qquad
        q(z \mid x) = \mathcal N\big(z; \mu(x), \operatorname{diag} \sigma^2(x)\big)

    As a generator it encodes by the mean of q and decodes by the mean of the pixels. All likelihoods are natural
    logarithms, summed over an image: log-densities per unit of each pixel as it was handed in, or log-probabilities, as
    ``pixels`` says.

    Args:
        encoder: From images, scaled to -1 and 1, to ``2 * latent_features`` numbers: means and log standard deviations.
        decoder: From latents to what the pixels' law needs.
        pixels: The law of an image given the decoder's answer.
        latent_features: Length of the latent.

    Reference:
        Kingma, Welling, "Auto-Encoding Variational Bayes", 2014, sections 2 and 3.

    Example:
        >>> from counterflow.generators import conv_vae
        >>> vae = conv_vae((1, 8, 8), latent_features=3)
        >>> x = torch.rand(5, 1, 8, 8)
        >>> vae.encode(x).shape, vae.decode(vae.encode(x)).shape, vae.elbo(x).shape
        (torch.Size([5, 3]), torch.Size([5, 1, 8, 8]), torch.Size([5]))
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, pixels: AbstractPixels, latent_features: int) -> None:
        super().__init__()
        check_count(latent_features, "latent_features")
        self.encoder, self.decoder, self.pixels = encoder, decoder, pixels
        self.latent_features = latent_features

    def posterior(
        self, x: Float[Tensor, "rows *event"]
    ) -> tuple[Float[Tensor, "rows latent"], Float[Tensor, "rows latent"]]:
        """Compute the mean and the log standard deviation of the encoder's law."""
        mean, raw = self.encoder(self.pixels.centered(x)).chunk(2, dim=1)
        return mean, soft_bound(raw, _LOG_DEVIATION_BOUND)

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows latent"]:
        """Map images to latents: the mean of the encoder's law."""
        return self.posterior(x)[0]

    def decode(self, z: Float[Tensor, "rows latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to images: the mean of the pixels."""
        return self.pixels.mean(self.decoder(z))

    def log_prob(self, z: Float[Tensor, "rows latent"]) -> Float[Tensor, " rows"]:
        """Compute the standard normal log-density of latents; for images see :meth:`importance_bound`."""
        return normal_log_prob(z).sum(1)

    def forward(self, x: Float[Tensor, "rows *event"], noise: Float[Tensor, "rows latent"]) -> Float[Tensor, " rows"]:
        r"""Compute the evidence lower bound with the latent :math:`z = \mu + \sigma \epsilon` of given noise."""
        mean, log_deviation = self.posterior(x)
        z = mean + log_deviation.exp() * noise
        surplus = (mean.square() + (2 * log_deviation).exp() - 1) / 2 - log_deviation  # of q over the prior
        return self.log_likelihood(x, z) - surplus.sum(1)

    def log_likelihood(
        self, x: Float[Tensor, "rows *event"], z: Float[Tensor, "rows latent"]
    ) -> Float[Tensor, " rows"]:
        r"""Compute :math:`\log p(x \mid g(z))`, in nats."""
        return self.pixels.log_prob(x, self.decoder(z)).flatten(1).sum(1)

    def elbo(
        self, x: Float[Tensor, "rows *event"], *, samples: int = 1, generator: torch.Generator | None = None
    ) -> Float[Tensor, " rows"]:
        r"""Estimate the evidence lower bound of each image, in nats.

        .. math:: \log p(x) \ge \mathbb E_{q(z \mid x)} \log p(x \mid g(z)) -
            \operatorname{KL}\big(q(z \mid x)\, \|\, \mathcal N(0, I)\big)

        The second term is exact, the first the mean over ``samples`` draws.

        Args:
            x: Images.
            samples: How many latents are drawn for each.
            generator: Where they are drawn from.

        Returns:
            One number for each image, its expectation at most :math:`\log p(x)`.

        Raises:
            ArgumentError: Pixels cannot occur under the law of the pixels, or ``samples`` is below one.
        """
        check_count(samples, "samples")
        self.pixels.check(x)
        generator = make_generator(generator, x.device)
        total = sum(self(x, self._noise(x, generator)) for _ in range(samples))
        return torch.as_tensor(total) / samples

    @torch.no_grad()
    def importance_bound(
        self,
        x: Float[Tensor, "rows *event"],
        *,
        samples: int = 64,
        at_once: int = 1024,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " rows"]:
        r"""Estimate the importance-weighted bound of each image, in nats: tighter, the more samples.

        .. math:: \log p(x) \ge \mathbb E \log \frac1k \sum_{i=1}^k
            \frac{p(x \mid g(z_i))\, p(z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

        Args:
            x: Images.
            samples: k.
            at_once: How many latents are decoded together, which bounds the memory.
            generator: Where they are drawn from.

        Returns:
            One number for each image, its expectation at most :math:`\log p(x)` and never falling in k.

        Raises:
            ArgumentError: Pixels cannot occur under the law of the pixels, or a number is below one.

        Reference:
            Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, equation 8.
        """
        check_count(samples, "samples")
        check_count(at_once, "at_once")
        self.pixels.check(x)
        generator = make_generator(generator, x.device)
        return torch.cat(
            [self._importance_bound(part, samples, at_once // len(part), generator) for part in x.split(at_once)]
        )

    @torch.no_grad()
    def sample(
        self, n: int, *, temperature: float = 1.0, noise: bool = True, generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *event"]:
        r"""Draw images.

        Args:
            n: How many.
            temperature: Factor of the latent; below 1 images are more usual and less diverse.
            noise: Whether pixels are drawn, as the model has it, or are their mean, which is what is mostly shown.
            generator: Where to draw from.

        Returns:
            Images in the units of the pixels.

        Raises:
            ArgumentError: ``n`` is below one, or ``temperature`` not positive.
        """
        check_count(n, "n")
        check_positive(temperature, "temperature")
        like = next(self.decoder.parameters())
        generator = make_generator(generator, like.device)
        z = torch.randn(n, self.latent_features, dtype=like.dtype, device=like.device, generator=generator)
        eta = self.decoder(temperature * z)
        return self.pixels.draw(eta, generator=generator) if noise else self.pixels.mean(eta)

    def _importance_bound(self, x: Tensor, samples: int, most: int, generator: torch.Generator) -> Tensor:
        """The bound of images of which ``most`` copies may be decoded together."""
        total = x.new_full((len(x),), -torch.inf)
        for draws in torch.arange(samples).split(most):
            copies = x.repeat(len(draws), *[1] * (x.dim() - 1))
            weights = self._log_weight(copies, generator).unflatten(0, (len(draws), len(x)))
            total = torch.logaddexp(total, weights.logsumexp(0))
        return total - math.log(samples)

    def _log_weight(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The log of one importance weight for each image."""
        mean, log_deviation = self.posterior(x)
        noise = self._noise(x, generator)
        z = mean + log_deviation.exp() * noise
        log_q = (normal_log_prob(noise) - log_deviation).sum(1)
        return self.log_likelihood(x, z) + self.log_prob(z) - log_q

    def _noise(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(len(x), self.latent_features, dtype=x.dtype, device=x.device, generator=generator)

r"""Latents for a decoder that has no encoder: found by descent, from many starts, for all points at once.

.. math:: \hat z(x) = \arg\min_z \; \tfrac1d \lVert g(z) - x \rVert^2 + \tfrac{w}{m} \, \tfrac12 \lVert z \rVert^2

with d numbers in a point and m in a latent. The second term is the standard normal prior of the latent: it keeps the
search where the decoder was trained, and w = 0 leaves it out. What is found is nearly never exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import normal_log_prob
from counterflow.core.random import make_generator

__all__ = ["Inversion", "InversionSettings", "InvertedDecoder", "invert"]

Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class InversionSettings:
    """How a decoder is inverted.

    Args:
        starts: From how many latents each point is searched; all points share them.
        steps: Steps of Adam from each.
        learning_rate: Its first step length, in the units of the latent; it falls to zero along half a cosine.
        prior: The weight w of the standard normal prior against the mean squared error.
        points_at_once: How many latents (points times starts) are decoded together, which bounds the memory: 1 for very
            large images.
        seed: Seeds the starts. They are the same at each call, so that a point always has the same latent.

    Raises:
        ArgumentError: A number is outside its range.

    Example:
        >>> InversionSettings(starts=8).steps
        300
    """

    starts: int = 4
    steps: int = 300
    learning_rate: float = 0.1
    prior: float = 1e-3
    points_at_once: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("starts", "steps", "points_at_once"):
            check_count(getattr(self, name), name)
        check_positive(self.learning_rate, "learning_rate")
        if not self.prior >= 0:
            raise ArgumentError(f"prior must be at least 0, got {self.prior}. Use 0 for none.")


class Inversion(NamedTuple):
    """What :func:`invert` found.

    Args:
        z: The best latent of each point.
        error: The mean squared error of its reconstruction.
        errors: The mean squared error from every start.
    """

    z: Float[Tensor, "rows *latent"]
    error: Float[Tensor, " rows"]
    errors: Float[Tensor, "starts rows"]


def invert(
    decoder: Decoder,
    x: Float[Tensor, "rows *event"],
    *,
    start: Float[Tensor, "starts #rows *latent"],
    settings: InversionSettings | None = None,
) -> Inversion:
    """Find the latents that a decoder maps nearest to points, by Adam from given starts, all points at once.

    Args:
        decoder: From latents to points, differentiable, each point alone.
        x: The points.
        start: Where to start: for each point its own latents, or the same for all with 1 in place of ``rows``.
        settings: How to search.

    Returns:
        For each point the latent whose error and prior together are least.

    Reference:
        Zhu, Krahenbuhl, Shechtman, Efros, "Generative Visual Manipulation on the Natural Image Manifold", 2016,
        section 3.1 (projection by optimization).

    Example:
        >>> found = invert(lambda z: z.expand(-1, 2), torch.tensor([[1.0, 2.0]]), start=torch.zeros(1, 1, 1))
        >>> round(found.z.item(), 2), round(found.error.item(), 2)  # half way between both
        (1.5, 0.25)
    """
    settings = settings or InversionSettings()
    count, rows = len(start), torch.arange(len(x), device=x.device)
    starts = start.expand(-1, len(x), *start.shape[2:]).flatten(0, 1)
    most = settings.points_at_once
    pairs = zip(rows.repeat(count).split(most), starts.split(most), strict=True)
    parts = [_descend(decoder, x[row], begin, settings) for row, begin in pairs]
    z, error, prior = (torch.cat(column).unflatten(0, (count, len(x))) for column in zip(*parts, strict=True))
    best = (error + settings.prior * prior).nan_to_num(nan=math.inf).argmin(0)
    return Inversion(z[best, rows], error[best, rows], error)


def _descend(
    decoder: Decoder, goal: Tensor, start: Tensor, settings: InversionSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam from one start for each goal: where it ends, with the mean squared errors and priors there."""
    z = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    for _ in range(settings.steps):
        error, prior = _terms(decoder, goal, z)
        (z.grad,) = torch.autograd.grad((error + settings.prior * prior).sum(), z)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return z.detach(), *_terms(decoder, goal, z)


def _terms(decoder: Decoder, goal: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared error of each point, and its prior."""
    return (decoder(z) - goal).square().flatten(1).mean(1), z.square().flatten(1).mean(1) / 2


class InvertedDecoder(nn.Module):
    """A decoder alone, a GAN's for example, as a generator: it is inverted where it must encode.

    Args:
        decoder: From latents to points: a module or a function, each point alone (in evaluation mode where the mode
            matters).
        latent_shape: The shape of one latent, or a number of features.
        settings: How the search goes.
        encoder: A first guess of the latent, which becomes one more start.

    Example:
        >>> decoder = nn.Linear(2, 3)
        >>> generator = InvertedDecoder(decoder, 2)
        >>> x = torch.zeros(1, 3)
        >>> generator.encode(x).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        decoder: Decoder,
        latent_shape: int | tuple[int, ...],
        *,
        settings: InversionSettings | None = None,
        encoder: Callable[[Tensor], Any] | None = None,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.encoder = encoder
        self.latent_shape = (latent_shape,) if isinstance(latent_shape, int) else tuple(latent_shape)
        self.settings = settings or InversionSettings()

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *latent"]:
        """Search the latents of points."""
        shape = (self.settings.starts, 1, *self.latent_shape)
        starts = torch.randn(shape, generator=make_generator(self.settings.seed)).to(x)
        if self.encoder is not None:
            with torch.no_grad():
                guess = self.encoder(x)[None]
            starts = torch.cat([guess, starts.expand(-1, *guess.shape[1:])])
        return invert(self.decoder, x, start=starts, settings=self.settings).z

    def decode(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to points."""
        return self.decoder(z)

    def log_prob(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, " rows"]:
        """Compute the standard normal log-density of latents."""
        return normal_log_prob(z).flatten(1).sum(1)

    def refine(
        self, x: Float[Tensor, "rows *event"], z: Float[Tensor, "rows *latent"]
    ) -> Float[Tensor, "rows *latent"]:
        """Search again from ``z``; a point whose reconstruction did not come nearer keeps its latent."""
        found = invert(self.decoder, x, start=z[None], settings=self.settings)
        with torch.no_grad():
            before = _terms(self.decoder, x, z)[0]
        nearer = (found.error < before).view(-1, *[1] * (z.dim() - 1))
        return torch.where(nearer, found.z, z)

"""The latents of a frozen autoencoder: computed once, with the spread of its encoder where it has one."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.generators import AutoencoderGenerator, Generator, as_generator
from counterflow.models import Loan

__all__ = ["Codes", "as_autoencoder", "check_decoded", "check_rows", "encode_once", "lent"]

_ROWS_AT_ONCE = 512


class Codes(NamedTuple):
    """Latents of points, each a vector.

    Args:
        mean: The latents: what ``encode`` answers, the mean where that is a law.
        deviation: The standard deviations of the encoder's law, or ``None`` if it has no law.
        shape: The shape of one latent before it was laid out as a vector.
    """

    mean: Float[Tensor, "rows latent"]
    deviation: Float[Tensor, "rows latent"] | None
    shape: tuple[int, ...]


@runtime_checkable
class _HasPosterior(Protocol):
    """An autoencoder with a law of latents, such as :class:`~counterflow.generators.VAE`."""

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the mean and the log standard deviation."""
        ...


def as_autoencoder(source: Any) -> Generator:
    """Take anything that encodes and decodes for an autoencoder, two functions in a pair included.

    Raises:
        ArgumentError: It does neither.

    Example:
        >>> halved = as_autoencoder((lambda x: x / 2, lambda z: 2 * z))
        >>> halved.decode(halved.encode(torch.ones(1, 3)))
        tensor([[1., 1., 1.]])
    """
    if isinstance(source, tuple) and len(source) == 2 and all(map(callable, source)):
        return AutoencoderGenerator(*source)
    if isinstance(source, Generator):
        return as_generator(source)
    raise ArgumentError(
        "the autoencoder must have methods encode(x) and decode(z), or be a pair (encode, decode) of functions, got "
        f"{type(source).__name__}."
    )


def lent(autoencoder: Generator) -> Loan:
    """Borrow an autoencoder frozen and in evaluation mode for the block that follows."""
    return Loan(*([autoencoder] if isinstance(autoencoder, nn.Module) else []))


@torch.no_grad()
def encode_once(autoencoder: Generator, x: Float[Tensor, "rows *event"], *, spread: bool) -> Codes:
    """Compute the latents of points, some at a time, and check that the way back exists.

    Args:
        autoencoder: What encodes and decodes.
        x: Points, where the autoencoder is.
        spread: Whether the deviations of the encoder's law are wanted.

    Returns:
        The latents.

    Raises:
        ArgumentError: Points or latents are not finite, or there is no law although its spread is wanted.
        ShapeError: There is not one latent for each point, or decoded points have another shape.
    """
    check_finite(x, "x")
    with lent(autoencoder):
        parts = [_law(autoencoder, part, spread=spread) for part in x.split(_ROWS_AT_ONCE)]
        mean = torch.cat([part[0] for part in parts])
        if len(mean) != len(x) or mean.dim() < 2:
            raise ShapeError(
                f"the autoencoder must encode {len(x)} points as as many latents, got {tuple(mean.shape)}. "
                "Its encode(x) must give one row for each row of x."
            )
        check_finite(mean, "the autoencoder's latents")
        check_decoded(autoencoder.decode(mean[:1]), tuple(x.shape[1:]))
    deviation = torch.cat([part[1].flatten(1) for part in parts]) if spread else None  # type: ignore[union-attr]
    return Codes(mean.flatten(1), deviation, tuple(mean.shape[1:]))


def check_rows(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Check that each row has the shape of those learned from.

    Raises:
        ShapeError: If it has another.
    """
    if not x.dim() or tuple(x.shape[1:]) != shape:
        raise ShapeError(
            f"{name} must have shape (rows, {', '.join(map(str, shape))}), got {tuple(x.shape)}. "
            f"One row had shape {shape} when the flow was learned."
        )


def check_decoded(decoded: Tensor, event_shape: tuple[int, ...]) -> None:
    """Check that decoded points look like those that were encoded.

    Raises:
        ShapeError: If they have another shape.
    """
    if tuple(decoded.shape[1:]) != event_shape:
        raise ShapeError(
            f"the autoencoder must decode latents into points of shape {event_shape}, as it was given them, got "
            f"{tuple(decoded.shape[1:])}. Give it points of the shape that it gives back."
        )


def _law(autoencoder: Generator, x: Tensor, *, spread: bool) -> tuple[Tensor, Tensor | None]:
    """The mean of the encoder's law, and its standard deviation if that is wanted."""
    if not spread:
        return autoencoder.encode(x), None
    if isinstance(autoencoder, _HasPosterior):
        mean, log_deviation = autoencoder.posterior(x)
        return mean, log_deviation.exp()
    answer = autoencoder.encoder(x) if isinstance(autoencoder, AutoencoderGenerator) else autoencoder.encode(x)
    law = getattr(answer, "latent_dist", answer)
    deviation = getattr(law, "stddev", getattr(law, "std", None))
    if isinstance(law, Tensor) or not isinstance(deviation, Tensor):
        raise ArgumentError(
            "resample=True needs an encoder with a law: a method posterior(x) that gives mean and log standard "
            f"deviation, or an answer with .mean and .stddev, got {type(answer).__name__}. Use resample=False."
        )
    return law.mean, deviation

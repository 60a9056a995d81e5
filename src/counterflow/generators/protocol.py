"""What latent ascent needs of a generator: a way to a latent, and a way back."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.flows import Flow
from counterflow.generators.autoencoder import AutoencoderGenerator
from counterflow.generators.exact import FlowGenerator

__all__ = ["Generator", "HasLogProb", "Refines", "as_generator"]


@runtime_checkable
class Generator(Protocol):
    r"""Anything that goes from points to latents and back, many points at once.

    A flow goes back exactly, :math:`g(g^{-1}(x)) = x`; an autoencoder or an inverted decoder only nearly, so that what
    is made of a point must be compared with the point and with its reconstruction :math:`g(e(x))`. The first dimension
    counts points and each point is treated alone; a latent may have any shape.

    Example:
        >>> from counterflow import flows
        >>> isinstance(FlowGenerator(flows.realnvp(2)), Generator)
        True
    """

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *latent"]:
        """Map points to latents."""
        ...

    def decode(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, "rows *event"]:
        """Map latents to points, differentiable in ``z``."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """A generator that knows how its latents are distributed."""

    def log_prob(self, z: Float[Tensor, "rows *latent"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density of latents, one number per point."""
        ...


@runtime_checkable
class Refines(Protocol):
    """A generator whose latents can be brought nearer to their points."""

    def refine(
        self, x: Float[Tensor, "rows *event"], z: Float[Tensor, "rows *latent"]
    ) -> Float[Tensor, "rows *latent"]:
        """Give latents whose decodings are nearer to ``x`` than those of ``z``, or no farther."""
        ...


def as_generator(source: Any) -> Generator:
    """Take a flow, an autoencoder or a generator for a generator.

    Args:
        source: A :class:`~counterflow.flows.Flow`; a torch module with methods ``encode`` and ``decode`` (see
            :class:`AutoencoderGenerator` for what they may answer); or anything else with these methods.

    Returns:
        The generator; what is none of a flow or a torch module is returned as it is.

    Raises:
        ArgumentError: It has no ``encode`` or no ``decode``, or the flow needs a context.

    Example:
        >>> from counterflow import flows
        >>> type(as_generator(flows.realnvp(2))).__name__
        'FlowGenerator'
    """
    if isinstance(source, Flow):
        return FlowGenerator(source)
    if isinstance(source, Generator):
        return AutoencoderGenerator.of(source)
    raise ArgumentError(
        "a generator must be a Flow or have methods encode(x) and decode(z), got "
        f"{type(source).__name__}. For a decoder alone use InvertedDecoder, for two functions AutoencoderGenerator."
    )

"""The one contract of maps that forget something on the way to data: rounding, choosing the largest, sorting."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions.base import as_shape

__all__ = ["AbstractSurjection", "SideBySide"]


class AbstractSurjection(nn.Module, ABC):
    r"""A map from latent to data that forgets something, and draws it anew on the way back.

    Where ``to_data`` rounds, clips or chooses, a data point x has many latents. One of them is drawn, z from q(z | x),
    and its log-weight is what goes with it in the likelihood:

    .. math:: p_X(x) = \mathbb{E}_{z \sim q} \left[ p_Z(z)\, e^{w} \right], \quad
        \mathbb{E}_{z \sim q} \left[ \log p_Z(z) + w \right] \le \log p_X(x)

    Where it is ``to_latent`` that forgets (sorting, the absolute value), z and w have nothing random, ``exact`` is
    true, and both sides are equal. All randomness comes in as noise, uniform between 0 and 1: given the noise,
    :meth:`place` is an ordinary differentiable function.

    Args:
        event_shape: The shape of one point of data.
        latent_shape: The shape of its latent.
        noise_features: How many uniform numbers a point takes on the way to the latent.
        context_features: Length of the context; 0 for none.
        exact: Whether ``log p_Z(z) + w`` is the log-likelihood itself and no bound.

    Reference:
        Nielsen, Jaini, Hoogeboom, Winther, Welling, "SurVAE Flows: Surjections to Bridge the Gap between VAEs and
        Flows", 2020, section 3.
    """

    def __init__(
        self,
        event_shape: int | tuple[int, ...],
        latent_shape: int | tuple[int, ...],
        *,
        noise_features: int,
        context_features: int = 0,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.event_shape = as_shape(event_shape)
        self.latent_shape = as_shape(latent_shape)
        self.noise_features = noise_features
        self.context_features = context_features
        self.exact = exact

    @abstractmethod
    def place(
        self,
        x: Float[Tensor, "*batch"],
        noise: Float[Tensor, "*rows n"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent under given noise: ``(z, w)``; leading dimensions broadcast."""

    @abstractmethod
    def to_data(
        self,
        z: Float[Tensor, "*batch"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        """Map latent to data; what data have and latents have not is drawn."""

    def to_latent(
        self,
        x: Float[Tensor, "*batch"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent with fresh noise: ``(z, w)``."""
        rows = x.shape[: x.dim() - len(self.event_shape)]
        noise = torch.rand(*rows, self.noise_features, dtype=x.dtype, device=x.device, generator=generator)
        return self.place(x, noise, context=context)

    def extra_repr(self) -> str:
        """Name the shapes."""
        return f"{self.event_shape} from {self.latent_shape}, exact={self.exact}"


class SideBySide(AbstractSurjection):
    """Surjections and bijections of some columns each, side by side: the door for tables of mixed columns.

    Args:
        parts: Each takes as many of the columns that are left as it has features.

    Raises:
        ArgumentError: If there is none.
        ShapeError: If a part is of images, or context lengths differ.

    Example:
        >>> from counterflow.bijections import Exp, SideBySide, UniformDequantization
        >>> both = SideBySide([UniformDequantization(2), Exp(1)])
        >>> both.to_data(torch.tensor([0.3, 4.7, 1.0]))
        tensor([0., 4., 0.])
    """

    def __init__(self, parts: Iterable[AbstractSurjection | AbstractBijection]) -> None:
        members = list(parts)
        if not members:
            raise ArgumentError("parts must have at least one member, got none. Pass a non-empty list.")
        wrapped = [part if isinstance(part, AbstractSurjection) else _Bijective(part) for part in members]
        contexts = {part.context_features for part in wrapped} - {0}
        if len(contexts) > 1 or any(len(part.event_shape) != 1 for part in wrapped):
            raise ShapeError(
                "all parts must have points of shape (features,) and one context length, got event shapes "
                f"{[part.event_shape for part in wrapped]} and context lengths {sorted(contexts)}. Flatten images."
            )
        super().__init__(
            sum(part.event_shape[0] for part in wrapped),
            sum(part.latent_shape[0] for part in wrapped),
            noise_features=sum(part.noise_features for part in wrapped),
            context_features=contexts.pop() if contexts else 0,
            exact=all(part.exact for part in wrapped),
        )
        self.parts = nn.ModuleList(wrapped)

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows n"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out latents"], Float[Tensor, "*out"]]:
        """Place the columns of every part, and add up the log-weights."""
        parts = cast("list[AbstractSurjection]", list(self.parts))
        columns = x.split([part.event_shape[0] for part in parts], -1)
        noises = noise.split([part.noise_features for part in parts], -1)
        placed = [part.place(*given, context=context) for part, *given in zip(parts, columns, noises, strict=True)]
        weights = torch.broadcast_tensors(*(weight for _, weight in placed))
        latents = [z.expand(*weights[0].shape, -1) for z, _ in placed]
        return torch.cat(latents, -1), torch.stack(weights).sum(0)

    def to_data(
        self,
        z: Float[Tensor, "*batch latents"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out features"]:
        """Map the latents of every part to its columns."""
        parts = cast("list[AbstractSurjection]", list(self.parts))
        latents = z.split([part.latent_shape[0] for part in parts], -1)
        columns = [part.to_data(one, context, generator=generator) for part, one in zip(parts, latents, strict=True)]
        rows = torch.broadcast_shapes(*(column.shape[:-1] for column in columns))
        return torch.cat([column.expand(*rows, -1) for column in columns], -1)


class _Bijective(AbstractSurjection):
    """A bijection among surjections."""

    def __init__(self, bijection: AbstractBijection) -> None:
        super().__init__(
            bijection.event_shape,
            bijection.event_shape,
            noise_features=0,
            context_features=bijection.context_features,
            exact=True,
        )
        self.bijection = bijection

    def place(self, x: Tensor, noise: Tensor, *, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection.to_latent(x, context)
        rows = torch.broadcast_shapes(log_det.shape, noise.shape[:-1])
        return z.expand(*rows, *self.event_shape), log_det.expand(rows)

    def to_data(self, z: Tensor, context: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        return self.bijection.to_data(z, context)[0]

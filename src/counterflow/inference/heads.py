"""A density under what an embedding says of an observation: bounds, a regression, and a head behind."""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, Bounded, Chain, TruncatedWhitening
from counterflow.flows import Flow, compose
from counterflow.flows.heads import Head

_FITTED_ONCE = 2
"""So many first layers are fitted once: bounds and regression."""


__all__ = ["ConditionalDensity", "Target"]


@dataclass(frozen=True)
class Target:
    """What a density is of: rows of numbers between bounds.

    Args:
        low: Lower bounds; ``-inf`` for none.
        high: Upper bounds; ``inf`` for none.
    """

    low: Float[Tensor, " features"]
    high: Float[Tensor, " features"]

    @classmethod
    def unbounded(cls, features: int) -> "Target":
        """Rows of any numbers."""
        return cls(torch.full((features,), -torch.inf), torch.full((features,), torch.inf))

    @property
    def features(self) -> int:
        """How many numbers a row has."""
        return len(self.low)


class ConditionalDensity(nn.Module):
    r"""A density of rows under what an embedding says of an observation: :math:`\log q(y \mid e(c))`.

    Args:
        head: The form of the flow.
        target: What the density is of; it has no mass beyond its bounds.
        embedding: The network that reads the condition.
        embedded: The length of what it gives.
        linear: Whether the flow starts from the linear regression on what the embedding gives; for embeddings that
            learn nothing.
        generator: Where weights are drawn from.

    Example:
        >>> from counterflow.inference import SplineHead
        >>> from counterflow.inference.heads import Target
        >>> generator = torch.Generator().manual_seed(0)
        >>> density = ConditionalDensity(SplineHead(), Target.unbounded(2), nn.Identity(), 3, generator=generator)
        >>> density(torch.zeros(5, 2), torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        head: Head,
        target: Target,
        embedding: nn.Module,
        embedded: int,
        *,
        linear: bool = True,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        features = target.features
        layers = head.build(features, context_features=embedded, generator=generator)
        self.embedding = embedding
        one_sided = target.low.isinf() | target.high.isinf()
        low, high = target.low, target.high
        self.flow = compose(
            [
                Bounded(torch.where(one_sided, low, -torch.inf), torch.where(one_sided, high, torch.inf)),
                TruncatedWhitening(
                    torch.where(one_sided, -torch.inf, low),
                    torch.where(one_sided, torch.inf, high),
                    context_features=embedded if linear else 0,
                ),
                *layers,
            ]
        )

    def forward(
        self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each row."""
        return self.flow(y, None if context is None else self.embedding(context))

    @torch.no_grad()
    def standardized(
        self, y: Float[Tensor, "rows features"], context: Float[Tensor, "rows *read"]
    ) -> tuple[Float[Tensor, "rows features"], Float[Tensor, " rows"]]:
        """Map rows through the layers that are fitted once: the bounds and the regression."""
        front = Chain(self._layers()[:_FITTED_ONCE])
        parts = zip(y.split(10_000), context.split(10_000), strict=True)
        z, log_det = zip(*(front.to_latent(part, self.embedding(read)) for part, read in parts), strict=True)
        return torch.cat(z), torch.cat(log_det)

    def rest(self) -> Flow:
        """The flow behind those layers, of the same parameters."""
        return compose(self._layers()[_FITTED_ONCE:])

    def _layers(self) -> list[AbstractBijection]:
        return list(cast("Chain", self.flow.bijection).parts)

    def initialize(self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None) -> None:
        """Let the layers that start from data see some."""
        with torch.no_grad():
            self.flow.initialize(y, None if context is None else self.embedding(context))

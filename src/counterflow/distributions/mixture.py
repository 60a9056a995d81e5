"""A mixture of densities."""

from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["Mixture"]


class Mixture(AbstractDistribution):
    r"""A mixture of densities with learned weights: :math:`p(x) = \sum_k w_k\, p_k(x)`.

    Args:
        components: At least one, all of one event shape.
        weights: Positive, one per component; ``None`` for equal ones.

    Raises:
        ArgumentError: If there is no component.
        ShapeError: If event shapes differ, or there is not one weight per component.

    Example:
        >>> from counterflow.distributions import DiagonalNormal
        >>> mixture = Mixture([DiagonalNormal(torch.tensor([-1.0])), DiagonalNormal(torch.tensor([1.0]))])
        >>> round(mixture.log_prob(torch.zeros(1)).exp().item(), 4)  # the normal density at 1
        0.242
    """

    def __init__(self, components: Iterable[AbstractDistribution], weights: Tensor | None = None) -> None:
        parts = list(components)
        if not parts:
            raise ArgumentError("a mixture must have at least one component, got none. Pass a non-empty list.")
        shapes = {part.event_shape for part in parts}
        if len(shapes) > 1 or (weights is not None and weights.shape != (len(parts),)):
            raise ShapeError(
                f"components must have one event shape and one weight each, got event shapes {sorted(shapes)} and "
                f"weights {None if weights is None else weights.tolist()}. Build them alike."
            )
        super().__init__(shapes.pop())
        self.components = nn.ModuleList(parts)
        self.logits = nn.Parameter(torch.zeros(len(parts)) if weights is None else weights.detach().log())

    @property
    def parts(self) -> tuple[AbstractDistribution, ...]:
        """The densities that are mixed."""
        return cast("tuple[AbstractDistribution, ...]", tuple(self.components))

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        parts = torch.stack([part.log_prob(x) for part in self.parts], -1)
        return torch.logsumexp(parts + self.logits.log_softmax(-1), -1)

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``; the weights get no gradient from samples."""
        size = as_shape(shape)
        weights = self.logits.detach().softmax(-1).expand(*size, -1)
        chosen = torch.multinomial(weights.reshape(-1, len(self.components)), 1, generator=generator).reshape(size)
        drawn = torch.stack([part.rsample(size, generator=generator) for part in self.parts])
        index = chosen.reshape(1, *size, *(1 for _ in self.event_shape)).expand(1, *drawn.shape[1:])
        return drawn.gather(0, index).squeeze(0)

"""The one contract of every density that a flow starts from."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["AbstractDistribution", "as_shape"]


def as_shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """Read a number of features or samples as a shape.

    Example:
        >>> as_shape(3), as_shape((2, 3))
        ((3,), (2, 3))
    """
    return (shape,) if isinstance(shape, int) else tuple(shape)


class AbstractDistribution(nn.Module, ABC):
    """A density with samples: a module, so that it moves, saves and trains with the flow on top of it.

    Args:
        event_shape: The shape of one point, or a number of features.
    """

    anchor: Tensor

    def __init__(self, event_shape: int | tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = as_shape(event_shape)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)  # follows .to(): dtype and device of samples

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""

    @abstractmethod
    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)`` that carry gradients to the parameters where they can."""

    def sample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)`` without gradients."""
        with torch.no_grad():
            return self.rsample(shape, generator=generator)

    def extra_repr(self) -> str:
        """Name the shape of one point."""
        return f"event_shape={self.event_shape}"

"""The units in which a PointFlow learns: clouds centered and scaled, without losing digits far from the origin."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import DataError

__all__ = ["Units"]


class Units(nn.Module):
    r"""Where clouds lie and how far they reach, in double precision whatever the precision of the model around it.

    .. math:: u = (x - c) / s

    Coordinates of maps are of millions of meters, where neighboring numbers of single precision are half a meter apart.
    So center c and scale s stay float64 when the model is cast, and points become less exact only when they are
    centered.

    Args:
        dimensions: Of the space.

    Example:
        >>> units = Units(2).float()
        >>> x = torch.tensor([[4649776.25, 0.0], [4649776.5, 0.0]], dtype=torch.float64)
        >>> units.fit(x)
        >>> units.center.tolist(), units.unscaled(units.scaled(x))[:, 0].tolist()
        ([4649776.375, 0.0], [4649776.25, 4649776.5])
    """

    center: Tensor
    scale: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(dimensions, dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @torch.no_grad()
    def fit(self, points: Float[Tensor, "points dimensions"]) -> None:
        """Take the mean of points for the center, and their overall deviation for the scale.

        Raises:
            DataError: All points are the same.
        """
        offsets = points.double() - points[0].double()
        middle = offsets.mean(0)
        scale = (offsets - middle).square().mean().sqrt()
        if not 0 < scale < torch.inf:
            raise DataError(
                f"clouds must differ in their points, by a finite deviation, got {len(points)} points of deviation "
                f"{scale.item():g}. Pass other clouds, or the same in other units."
            )
        self.center.copy_(points[0] + middle)
        self.scale.copy_(scale)

    def scaled(self, x: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch dimensions"]:
        """Bring points to these units, in double precision."""
        return (x.double() - self.center) / self.scale

    def unscaled(self, u: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch dimensions"]:
        """Bring points back from these units, in double precision."""
        return u.double() * self.scale + self.center

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Units":  # noqa: FBT001, FBT002
        """Follow the model to another device, not to another precision: every cast of a module comes through here."""
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, value in exact.items():
            setattr(self, name, value.to(cast("Tensor", getattr(self, name)).device))
        return self

"""Splines of the circle: increasing maps of an angle, once around."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.spline import MAX_LOG_SLOPE, MIN_BIN, Bin, solve_bin, value_and_log_slope
from counterflow.bijections.transformers import AbstractTransformer, Spline
from counterflow.core.numerics import soft_bound

__all__ = ["CircularSpline", "wrap_angle"]


def wrap_angle(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    r"""Bring an angle to :math:`[-\pi, \pi)` by whole turns.

    Example:
        >>> wrap_angle(torch.tensor([0.5, 0.5 + 4 * math.pi])).allclose(torch.tensor(0.5))
        True
    """
    return torch.remainder(x + math.pi, 2 * math.pi) - math.pi


@dataclass(frozen=True)
class CircularSpline(AbstractTransformer):
    r"""A rational-quadratic spline once around the circle, then a rotation: a smooth map of the circle.

    .. math:: z = S(x) + \beta \mod 2 \pi, \quad S(\pm \pi) = \pm \pi, \quad S'(-\pi) = S'(\pi)

    The slope at the seam is learned and the same on both sides, so that value and slope of the map have no jump where
    the circle closes. Angles outside :math:`[-\pi, \pi)` are wrapped: an angle and the same angle a turn later are one
    point.

    Args:
        bins: Number of bins, at least 2.

    Raises:
        ArgumentError: If ``bins`` is below 2 or so large that the bins' least widths fill the circle.

    Reference:
        Rezende et al., "Normalizing flows on tori and spheres", 2020, section 2.1 (circular splines, phase).

    Example:
        >>> z, log_slope = CircularSpline(bins=4).latent_and_log_slope(torch.tensor([0.5]), torch.zeros(13, 1))
        >>> round(z.item(), 4), log_slope.item()
        (0.5, 0.0)
    """

    bins: int = 8

    def __post_init__(self) -> None:
        Spline(bins=self.bins)  # refuses the same numbers of bins

    @property
    def size(self) -> int:
        """The rotation; widths, heights, and slopes at the knots, the first of which is the last."""
        return 3 * self.bins + 1

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Bend and rotate."""
        x = wrap_angle(x)
        cell = _find_bin(x, parameters[..., 1:, :], axis=0)
        share, log_slope = value_and_log_slope(((x - cell.left) / cell.width).clamp(0.0, 1.0), cell)
        return wrap_angle(cell.bottom + cell.height * share + parameters[..., 0, :]), log_slope

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Rotate and bend back."""
        z = wrap_angle(z - parameters[..., 0, :])
        cell = _find_bin(z, parameters[..., 1:, :], axis=1)
        position = solve_bin(((z - cell.bottom) / cell.height).clamp(0.0, 1.0), cell).clamp(0.0, 1.0)
        return wrap_angle(cell.left + cell.width * position), -value_and_log_slope(position, cell)[1]


def _find_bin(x: Tensor, parameters: Tensor, *, axis: int) -> Bin:
    """Look up the bin of each angle, along the widths (axis 0) or the heights (axis 1)."""
    table = _knots(parameters)
    index = (x.unsqueeze(-2) >= table[..., axis, 1:-1, :]).sum(-2, keepdim=True)
    both = torch.cat((index, index + 1), -2).unsqueeze(-3)
    ends = table.gather(-2, both.expand(*both.shape[:-3], 3, 2, -1))
    (left, right), (bottom, top), (slope_left, slope_right) = (end.unbind(-2) for end in ends.unbind(-3))
    return Bin(left, bottom, right - left, top - bottom, slope_left, slope_right)


def _knots(parameters: Tensor) -> Tensor:
    """The table of knots, shape ``(*batch, 3, bins + 1, d)``: positions, values and slopes; the last is the first."""
    raw = parameters.unflatten(-2, (3, -1))
    bins = raw.shape[-2]
    sizes = 2 * math.pi * (MIN_BIN + (1 - bins * MIN_BIN) * raw[..., :2, :, :].softmax(-2))
    places = functional.pad(sizes[..., :-1, :].cumsum(-2), (0, 0, 1, 0)) - math.pi
    slopes = soft_bound(raw[..., 2:, :, :], MAX_LOG_SLOPE).exp()
    ends = torch.cat((torch.full_like(places[..., :1, :], math.pi), slopes[..., :1, :]), -3)
    return torch.cat((torch.cat((places, slopes), -3), ends), -2)

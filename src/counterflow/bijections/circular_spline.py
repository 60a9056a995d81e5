"""Splines of the circle: increasing maps of an angle, once around."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.spline import spline_to_data, spline_to_latent
from counterflow.bijections.transformers import AbstractTransformer, Spline

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
    r"""A rational-quadratic spline of :math:`[-\pi, \pi)` between two rotations: a smooth map of the circle.

    .. math:: z = R_\beta(S(R_\alpha(x))), \quad R_\alpha(x) = x + \alpha \mod 2 \pi

    The spline S fixes the ends and has slope one there, so that value and slope of the map have no jump where the
    circle closes. That costs nothing: over a whole turn the mean slope of any smooth map of the circle is one, so
    somewhere it is one, and :math:`\alpha` brings the seam to that place. Angles outside :math:`[-\pi, \pi)` are
    wrapped: an angle and the same angle a turn later are one point.

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
        """The two rotations; widths, heights, and slopes at the inner knots."""
        return 3 * self.bins + 1

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Rotate, bend, rotate."""
        before, after, curve = parameters[..., 0, :], parameters[..., 1, :], parameters[..., 2:, :]
        z, log_slope = spline_to_latent(wrap_angle(x + before), curve, bound=math.pi)
        return wrap_angle(z + after), log_slope

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Rotate, bend and rotate back."""
        before, after, curve = parameters[..., 0, :], parameters[..., 1, :], parameters[..., 2:, :]
        x, log_slope = spline_to_data(wrap_angle(z - after), curve, bound=math.pi)
        return wrap_angle(x - before), log_slope

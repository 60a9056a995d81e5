"""Small neural networks that increase: positive weights, all of which are parameters."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.checks import check_count, check_positive
from counterflow.core.numerics import soft_bound
from counterflow.core.rootfinding import solve_increasing

__all__ = ["MonotoneNet"]

_MAX_LOG_SLOPE = math.log(1e2)
_MAX_LOG_WIDTH = math.log(10.0)


@dataclass(frozen=True)
class MonotoneNet(AbstractTransformer):
    r"""A neural network of one hidden layer with positive weights, onto the whole real line.

    .. math:: z = t + \sum_{k=0}^{K} w_k\, r_k(x), \quad r_k(x) = \zeta_k(x) - \zeta_{k+1}(x), \quad
        \zeta_k(x) = s \log \left( 1 + e^{(x - c_k) / s} \right)

    Each unit :math:`r_k` is a smooth ramp that rises between the knots :math:`c_k < c_{k+1}` and is flat elsewhere; the
    first rises from minus infinity (:math:`\zeta_0(x) = x`) and the last without end (:math:`\zeta_{K+1} = 0`). The
    ramps sum to x, so equal weights make the identity, although no two units are alike. Tails are straight lines with
    slopes :math:`w_0` and :math:`w_K`: every z is reached. It is smooth of every order.

    Args:
        units: K, the number of knots.
        bound: Knots start evenly spread over [-bound, bound], in the units of the layer's input.

    Raises:
        ArgumentError: If ``units`` is below 2 or the bound is not above zero.

    Reference:
        Huang, Krueger, Lacoste, Courville, "Neural autoregressive flows", 2018, section 3 (a strictly increasing net
        whose weights come from a conditioner; their units are sigmoids, which reach the whole line only in exact
        arithmetic and are all alike where the net is the identity).

    Example:
        >>> z, log_slope = MonotoneNet(units=4).latent_and_log_slope(torch.tensor([0.5, 9.0]), torch.zeros(11, 2))
        >>> [round(value, 4) for value in z.tolist()]
        [0.5, 9.0]
    """

    units: int = 8
    bound: float = 3.0

    def __post_init__(self) -> None:
        check_count(self.units, "units", 2)
        check_positive(self.bound, "bound")

    @property
    def size(self) -> int:
        """Shift, center and log-width, log-gaps between knots and log-weights."""
        return 2 * self.units + 3

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Evaluate the net of each coordinate."""
        return self._value_and_log_slope(x, parameters)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Invert the net of each coordinate: the smallest and the largest slope give a bracket."""

        def value_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
            value, log_slope = self._value_and_log_slope(x, parameters)
            return value, log_slope.exp()

        with torch.no_grad():
            way = z - value_and_slope(torch.zeros_like(z))[0]
            weights = self._weights(parameters)
            ends = torch.stack((way / weights.amin(-2), way / weights.amax(-2)))
        x = solve_increasing(value_and_slope, z, ends.amin(0), ends.amax(0))
        return x, -self._value_and_log_slope(x, parameters)[1]

    def _value_and_log_slope(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        knots, width = self._knots(parameters)
        weights = self._weights(parameters)
        place = (x.unsqueeze(-2) - knots) / width
        rises = torch.cat((x.unsqueeze(-2), -width * functional.logsigmoid(-place)), -2)  # logsigmoid has no threshold
        shares = functional.pad(torch.sigmoid(place), (0, 0, 1, 0), value=1.0)
        value = parameters[..., 0, :] + (weights * _differences(rises)).sum(-2)
        return value, (weights * _differences(shares)).sum(-2).log()

    def _knots(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The knots, one after the other in the dimension before the last, and the width of their corners."""
        _, center, raw_width, raw_gaps, _ = parameters.split((1, 1, 1, self.units - 1, self.units + 1), -2)
        start = 2 * self.bound / (self.units - 1)
        gaps = start * soft_bound(raw_gaps, _MAX_LOG_WIDTH).exp()
        places = functional.pad(gaps.cumsum(-2), (0, 0, 1, 0))
        return center + places - 0.5 * places[..., -1:, :], 0.3 * start * soft_bound(raw_width, _MAX_LOG_WIDTH).exp()

    def _weights(self, parameters: Tensor) -> Tensor:
        return soft_bound(parameters[..., -(self.units + 1) :, :], _MAX_LOG_SLOPE).exp()


def _differences(falling: Tensor) -> Tensor:
    """Each entry less the one after it, the last less zero."""
    return falling - functional.pad(falling[..., 1:, :], (0, 0, 0, 1))

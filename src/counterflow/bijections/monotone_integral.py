"""Increasing functions whose log-slope is a small neural net: unconstrained monotone networks."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.integral import AbstractIntegral
from counterflow.core.checks import check_count
from counterflow.core.numerics import soft_bound

__all__ = ["MonotoneIntegral"]

_LARGEST_WEIGHT = 1.5
_LARGEST_FACTOR = 2.0


@dataclass(frozen=True)
class MonotoneIntegral(AbstractIntegral):
    r"""The integral of the exponential of a net with one hidden layer, all of whose weights are parameters.

    .. math:: z = t + \int_0^x g(u)\, du, \quad
        \log g(u) = v_0 + \sum_{k=1}^{K} v_k \tanh \frac{u - c_k}{h_k}

    The exponential keeps the slope above zero, whatever the net does. Units start evenly spread over [-bound, bound];
    centers move freely, widths change by a factor of at most two and weights stay within 1.5, smoothly. Without such
    limits a net can be too rough for any rule of quadrature, and then value and slope contradict each other; with them
    32 nodes give about eight digits. Beyond the interval the tangents act.

    Args:
        bound: B, half the length of the interval, in the units of the layer's input (standard deviations).
        units: K, the width of the hidden layer.
        nodes: Nodes of the quadrature.

    Raises:
        ArgumentError: If ``units`` or ``nodes`` is below 1 or the bound is not above zero.

    Reference:
        Wehenkel, Louppe, "Unconstrained monotonic neural networks", 2019, equation 1.

    Example:
        >>> z, _ = MonotoneIntegral(units=4).latent_and_log_slope(torch.tensor([0.5, 9.0]), torch.zeros(14, 2))
        >>> [round(value, 4) for value in z.tolist()]
        [0.5, 9.0]
    """

    units: int = 8
    nodes: int = 32

    def __post_init__(self) -> None:
        check_count(self.units, "units")
        super().__post_init__()

    @property
    def size(self) -> int:
        """Shift and bias, and weight, center and log-width of every unit."""
        return 3 * self.units + 2

    @property
    def rule_size(self) -> int:
        """As many nodes as asked for."""
        return self.nodes

    def log_integrand(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows q d"]
    ) -> Float[Tensor, "*out d"]:
        """Evaluate the net."""
        bias, weights, moves, raw = parameters.split((1, self.units, self.units, self.units), -2)
        spacing = 2 * self.bound / self.units
        starts = spacing * (torch.arange(self.units, dtype=x.dtype, device=x.device) + 0.5) - self.bound
        rates = soft_bound(-raw, math.log(_LARGEST_FACTOR)).exp() / spacing
        hidden = torch.tanh((x.unsqueeze(-2) - starts.unsqueeze(-1) - moves) * rates)
        outer = soft_bound(torch.cat((bias, weights), -2), _LARGEST_WEIGHT)
        return outer[..., 0, :] + (outer[..., 1:, :] * hidden).sum(-2)

"""Families of increasing functions of one number: what couplings and autoregressive maps apply to each coordinate.

A transformer holds settings and no weights. The parameters of each coordinate come from a conditioner, last
dimension ``size * d``: first parameter of every coordinate, then the second of every coordinate, and so on. Parameters
that are all zero make the identity. A family defines its functions elementwise; sums over coordinates are taken here.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.spline import MIN_BIN, spline_to_data, spline_to_latent
from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import soft_bound

__all__ = ["AbstractTransformer", "ScaleShift", "Shift", "Spline"]


class AbstractTransformer(ABC):
    """A family of increasing functions of one number, applied to ``d`` coordinates at once."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many parameters a coordinate needs."""

    @abstractmethod
    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Map data to latent, elementwise: ``(z, log dz/dx)``; coordinate j has ``parameters[..., :, j]``."""

    @abstractmethod
    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Map latent to data, elementwise: ``(x, log dx/dz)``; coordinate j has ``parameters[..., :, j]``."""

    def to_latent(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Map data to latent: ``(z, log|det dz/dx|)``."""
        z, log_slope = self.latent_and_log_slope(x, parameters.unflatten(-1, (self.size, -1)))
        return z, log_slope.sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Map latent to data: ``(x, log|det dx/dz|)``."""
        x, log_slope = self.data_and_log_slope(z, parameters.unflatten(-1, (self.size, -1)))
        return x, log_slope.sum(-1)


@dataclass(frozen=True)
class Shift(AbstractTransformer):
    r"""A shift, :math:`z = x + t`: volume stays as it is.

    Reference:
        Dinh, Krueger, Bengio, "NICE: Non-linear Independent Components Estimation", 2015, equation 5 (additive).

    Example:
        >>> Shift().to_latent(torch.zeros(2), torch.tensor([1.0, 2.0]))
        (tensor([1., 2.]), tensor(0.))
    """

    @property
    def size(self) -> int:
        """One parameter: the shift."""
        return 1

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Add the shift."""
        z = x + parameters.squeeze(-2)
        return z, z.new_zeros(()).expand(z.shape)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Take the shift away."""
        x = z - parameters.squeeze(-2)
        return x, x.new_zeros(()).expand(x.shape)


@dataclass(frozen=True)
class ScaleShift(AbstractTransformer):
    r"""A scale and a shift, :math:`z = x e^{s} + t`, the log-scale bounded smoothly.

    .. math:: s = b \tanh(a / b), \quad \log |\det| = \sum_i s_i

    The bound keeps deep stacks finite: no layer can stretch by more than :math:`e^b`.

    Args:
        bound: The largest absolute log-scale b.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, equation 4.

    Example:
        >>> ScaleShift().to_latent(torch.ones(1), torch.zeros(2))
        (tensor([1.]), tensor(0.))
    """

    bound: float = math.log(30.0)

    def __post_init__(self) -> None:
        check_positive(self.bound, "bound")

    @property
    def size(self) -> int:
        """Two parameters: shift and raw log-scale."""
        return 2

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Scale, then shift."""
        shift, raw = parameters.unbind(-2)
        log_scale = soft_bound(raw, self.bound)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Take the shift away, then the scale."""
        shift, raw = parameters.unbind(-2)
        log_scale = -soft_bound(raw, self.bound)
        return (z - shift) * log_scale.exp(), log_scale


@dataclass(frozen=True)
class Spline(AbstractTransformer):
    """A rational-quadratic spline on [-bound, bound] with the identity outside.

    Args:
        bins: Number of bins, at least 2.
        bound: Half the length of the interval, in the units of the layer's input (standard deviations).

    Raises:
        ArgumentError: If ``bins`` is below 2 or so large that the bins' least widths fill the interval.

    Reference:
        Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019, section 3.1.

    Example:
        >>> Spline(bins=4).to_latent(torch.tensor([0.5, 9.0]), torch.zeros(22))[0].tolist()
        [0.5, 9.0]
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        check_count(self.bins, "bins", 2)
        check_positive(self.bound, "bound")
        if self.bins * MIN_BIN >= 0.5:
            raise ArgumentError(f"bins must be below {0.5 / MIN_BIN:.0f}, got {self.bins}. Choose fewer.")

    @property
    def size(self) -> int:
        """Widths, heights, and slopes at the inner knots."""
        return 3 * self.bins - 1

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Evaluate the spline of each coordinate."""
        return spline_to_latent(x, parameters, bound=self.bound)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Invert the spline of each coordinate."""
        return spline_to_data(z, parameters, bound=self.bound)

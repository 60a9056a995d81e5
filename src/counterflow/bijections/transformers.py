"""Families of increasing functions of one number: what couplings and autoregressive maps apply to each coordinate.

A transformer holds settings and no weights. The parameters of each coordinate come from a conditioner, last
dimension ``size * d``: first parameter of every coordinate, then the second of every coordinate, and so on. Parameters
that are all zero make the identity.
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
    def to_latent(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Map data to latent: ``(z, log|det dz/dx|)``."""

    @abstractmethod
    def to_data(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Map latent to data: ``(x, log|det dx/dz|)``."""


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

    def to_latent(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Add the shift."""
        z = x + parameters
        return z, z.new_zeros(z.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Take the shift away."""
        x = z - parameters
        return x, x.new_zeros(x.shape[:-1])


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

    def to_latent(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Scale, then shift."""
        shift, raw = parameters.chunk(2, -1)
        log_scale = soft_bound(raw, self.bound)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale.sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Take the shift away, then the scale."""
        shift, raw = parameters.chunk(2, -1)
        log_scale = -soft_bound(raw, self.bound)
        return (z - shift) * log_scale.exp(), log_scale.sum(-1)


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

    def to_latent(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Evaluate the spline of each coordinate."""
        z, log_slope = spline_to_latent(x, parameters.unflatten(-1, (self.size, -1)), bound=self.bound)
        return z, log_slope.sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out"]]:
        """Invert the spline of each coordinate."""
        x, log_slope = spline_to_data(z, parameters.unflatten(-1, (self.size, -1)), bound=self.bound)
        return x, log_slope.sum(-1)

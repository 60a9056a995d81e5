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

from counterflow.core.checks import check_positive
from counterflow.core.numerics import soft_bound

__all__ = ["AbstractTransformer", "ScaleShift", "Shift"]


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

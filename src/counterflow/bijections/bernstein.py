"""Increasing Bernstein polynomials."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.tails import continued, solve_continued
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.checks import check_count, check_positive
from counterflow.core.numerics import soft_bound

__all__ = ["Bernstein"]

_MAX_LOG_SLOPE = math.log(1e3)


@dataclass(frozen=True)
class Bernstein(AbstractTransformer):
    r"""An increasing polynomial in Bernstein form on [-bound, bound], continued by its tangents.

    .. math:: z = \sum_{k=0}^{M} \theta_k\, b_{k,M}(t), \quad b_{k,M}(t) = \binom{M}{k} t^k (1 - t)^{M - k}, \quad
        t = \frac{x + B}{2 B}, \quad \frac{dz}{dx} = \sum_{k=0}^{M-1} e^{g_k}\, b_{k,M-1}(t)

    The steps :math:`\theta_{k+1} - \theta_k = e^{g_k} 2 B / M` are above zero, so the polynomial increases; equal
    steps make the identity. All terms of the slope are positive: no digits are lost.

    Args:
        degree: M, the degree of the polynomial.
        bound: B, half the length of the interval, in the units of the layer's input (standard deviations).

    Raises:
        ArgumentError: If the degree is below 1 or the bound is not above zero.

    Reference:
        Ramasinghe et al., "Robust normalizing flows using Bernstein-type polynomials", 2021;
        Sick, Hothorn, Duerr, "Deep transformation models", 2020.

    Example:
        >>> z, log_slope = Bernstein(degree=4).latent_and_log_slope(torch.tensor([0.5, 9.0]), torch.zeros(5, 2))
        >>> [round(value, 4) for value in z.tolist()]
        [0.5, 9.0]
    """

    degree: int = 16
    bound: float = 3.0

    def __post_init__(self) -> None:
        check_count(self.degree, "degree")
        check_positive(self.bound, "bound")

    @property
    def size(self) -> int:
        """A shift, and the log-steps between coefficients."""
        return self.degree + 1

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Evaluate the polynomial of each coordinate."""
        return continued(lambda inside: self._polynomial(inside, parameters), x, bound=self.bound)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Invert the polynomial of each coordinate."""
        return solve_continued(lambda inside: self._polynomial(inside, parameters), z, bound=self.bound)

    def _polynomial(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = parameters.split((1, self.degree), -2)
        slopes = soft_bound(raw, _MAX_LOG_SLOPE).exp()
        reached = slopes.cumsum(-2) * (2 * self.bound / self.degree)
        start = shift - 0.5 * reached[..., -1:, :]
        coefficients = torch.cat((start, start + reached), -2)
        share = (x + self.bound) / (2 * self.bound)
        value = (coefficients * _basis(share, self.degree)).sum(-2)
        return value, (slopes * _basis(share, self.degree - 1)).sum(-2).log()


def _basis(t: Tensor, degree: int) -> Tensor:
    """All Bernstein polynomials of a degree, in a new dimension before the last."""
    k = torch.arange(degree + 1, dtype=t.dtype, device=t.device).unsqueeze(-1)
    ways = torch.tensor([float(math.comb(degree, i)) for i in range(degree + 1)], dtype=t.dtype, device=t.device)
    return ways.unsqueeze(-1) * t.unsqueeze(-2) ** k * (1 - t).unsqueeze(-2) ** (degree - k)

"""Increasing functions as integrals of positive ones: what unconstrained monotone nets and sums of squares share."""

from abc import abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.tails import continued, solve_continued
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.checks import check_count, check_positive

__all__ = ["AbstractIntegral"]


@dataclass(frozen=True)
class AbstractIntegral(AbstractTransformer):
    r"""The integral of a positive function on [-bound, bound], continued by its tangents.

    .. math:: z = t + \int_0^x g(u)\, du \approx t + \frac{x}{2} \sum_i w_i\, g\!\left( \frac{x}{2} (1 + u_i) \right),
        \quad \log \frac{dz}{dx} = \log g(x)

    Nodes :math:`u_i` and weights :math:`w_i` are those of Gauss and Legendre, n of them: exact for polynomials of
    degree 2n - 1. The first parameter of a coordinate is the shift t, the others are those of g. The log-slope is that
    of the integral itself, so value and slope agree as well as the rule integrates g.

    Reference:
        Wehenkel, Louppe, "Unconstrained monotonic neural networks", 2019, equation 1 (there Clenshaw and Curtis).
    """

    bound: float = 3.0
    rule: tuple[tuple[float, ...], tuple[float, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_positive(self.bound, "bound")
        check_count(self.rule_size, "nodes")
        points, weights = np.polynomial.legendre.leggauss(self.rule_size)
        object.__setattr__(self, "rule", (tuple(0.5 + 0.5 * points), tuple(0.5 * weights)))

    @property
    @abstractmethod
    def rule_size(self) -> int:
        """How many nodes the rule has."""

    @abstractmethod
    def log_integrand(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows q d"]
    ) -> Float[Tensor, "*out d"]:
        """Give log g(x) on [-bound, bound] for ``size - 1`` parameters; zeros give zero."""

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Integrate up to x."""
        return continued(lambda inside: self._integral(inside, parameters), x, bound=self.bound)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        """Find the x up to which the integral is z."""
        return solve_continued(lambda inside: self._integral(inside, parameters), z, bound=self.bound)

    def _integral(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shift, rest = parameters[..., 0, :], parameters[..., 1:, :]
        shares, weights = (torch.tensor(part, dtype=x.dtype, device=x.device) for part in self.rule)
        points = shares.reshape(-1, *(1 for _ in x.shape)) * x
        mean = torch.tensordot(weights, self.log_integrand(points, rest).exp(), dims=1)
        return shift + x * mean, self.log_integrand(x, rest)

"""Polynomials that increase because their slope is a sum of squares."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.integral import AbstractIntegral
from counterflow.core.checks import check_count
from counterflow.core.numerics import soft_bound

__all__ = ["SumOfSquares"]

_LEAST_SLOPE = 1e-3
_LARGEST_COEFFICIENT = 3.0


@dataclass(frozen=True)
class SumOfSquares(AbstractIntegral):
    r"""The integral of a positive polynomial of degree 2r on [-bound, bound], continued by its tangents.

    .. math:: g(x) = \epsilon + (1 - \epsilon) \left( p(u)^2 + (1 - u^2)\, q(u)^2 \right), \quad u = x / B, \quad
        p = T_r + \sum_{l=0}^{r} a_l T_l, \quad q = U_{r-1} + \sum_{l=0}^{r-1} b_l U_l

    By the theorem of Markov and Lukacs every polynomial of degree 2r that is nowhere negative on [-1, 1] is of this
    form. With Chebyshev polynomials T and U the identity :math:`T_r^2 + (1 - u^2) U_{r-1}^2 = 1` makes zero parameters
    the identity without making the two squares alike, so that from there every direction can be learned. The integral,
    of degree 2r + 1, is exact.

    Args:
        bound: B, half the length of the interval, in the units of the layer's input (standard deviations).
        degree: r, the degree of the larger polynomial that is squared.

    Raises:
        ArgumentError: If the degree is below 1 or the bound is not above zero.

    Reference:
        Jaini, Selby, Yu, "Sum-of-squares polynomial flow", 2019 (squares on the whole line);
        Szego, "Orthogonal polynomials", 1939, theorem 1.21.1 (Markov and Lukacs).

    Example:
        >>> z, _ = SumOfSquares(degree=3).latent_and_log_slope(torch.tensor([0.5, 9.0]), torch.zeros(8, 2))
        >>> [round(value, 4) for value in z.tolist()]
        [0.5, 9.0]
    """

    degree: int = 4

    def __post_init__(self) -> None:
        check_count(self.degree, "degree")
        super().__post_init__()

    @property
    def size(self) -> int:
        """A shift, and the coefficients of the two polynomials."""
        return 2 * self.degree + 2

    @property
    def rule_size(self) -> int:
        """As many as integrate degree 2r exactly."""
        return self.degree + 1

    def log_integrand(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows q d"]
    ) -> Float[Tensor, "*out d"]:
        """Add the squares."""
        u = x / self.bound
        coefficients = soft_bound(parameters, _LARGEST_COEFFICIENT).unbind(-2)
        first = _chebyshev(u, coefficients[: self.degree + 1], kind=1)
        second = _chebyshev(u, coefficients[self.degree + 1 :], kind=2)
        squares = first.square() + (1 - u.square()) * second.square()
        return (_LEAST_SLOPE + (1 - _LEAST_SLOPE) * squares).log()


def _chebyshev(u: Tensor, coefficients: tuple[Tensor, ...], *, kind: int) -> Tensor:
    """A sum of Chebyshev polynomials of one kind, the last of them once more."""
    before, term, total = (2 - kind) * u, torch.ones_like(u), torch.zeros_like(u)
    for coefficient in coefficients:
        total = total + coefficient * term
        before, term = term, 2 * u * term - before
    return total + before

"""Functions known on an interval, continued by straight lines: increasing on all of the real line, hence invertible."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.rootfinding import solve_increasing

__all__ = ["continued", "solve_continued"]

ValueAndLogSlope = Callable[[Tensor], tuple[Tensor, Tensor]]


def continued(
    function: ValueAndLogSlope, x: Float[Tensor, "*batch"], *, bound: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    r"""Continue a function of [-B, B] by its tangents at the ends; value and slope have no jump there.

    .. math:: z = f(\bar x) + f'(\bar x)\,(x - \bar x), \quad \bar x = \min(\max(x, -B), B)

    Args:
        function: Gives value and log-slope on [-B, B], elementwise.
        x: Any real numbers.
        bound: B, half the length of the interval.

    Returns:
        ``(z, log dz/dx)``, elementwise.

    Example:
        >>> continued(lambda x: (x**3, (3 * x**2).log()), torch.tensor([1.0, 3.0]), bound=2.0)[0]  # 8 + 12 * (3 - 2)
        tensor([ 1., 20.])
    """
    inside = x.clamp(-bound, bound)
    value, log_slope = function(inside)
    return value + (x - inside) * log_slope.exp(), log_slope


def solve_continued(
    function: ValueAndLogSlope, z: Float[Tensor, "*batch"], *, bound: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Invert what :func:`continued` makes; beyond the interval the tangents give a bracket at once.

    Args:
        function: Gives value and log-slope on [-B, B], elementwise.
        z: Any real numbers.
        bound: B, half the length of the interval.

    Returns:
        ``(x, log dx/dz)``, elementwise, with gradients in z and in all that the function depends on.

    Example:
        >>> x, _ = solve_continued(lambda x: (x**3 + x, (3 * x**2 + 1).log()), torch.tensor([2.0, 23.0]), bound=2.0)
        >>> [round(value, 4) for value in x.tolist()]  # 10 + 13 * (3 - 2) = 23
        [1.0, 3.0]
    """

    def value_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
        value, log_slope = continued(function, x, bound=bound)
        return value, log_slope.exp()

    with torch.no_grad():
        (low, low_slope), (high, high_slope) = (value_and_slope(torch.full_like(z, end)) for end in (-bound, bound))
        lower = ((z - low) / low_slope).clamp(max=0.0) - bound
        upper = ((z - high) / high_slope).clamp(min=0.0) + bound
    x = solve_increasing(value_and_slope, z, lower, upper)
    return x, -continued(function, x, bound=bound)[1]

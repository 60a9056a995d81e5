"""Fixed points of contractions, a whole batch at once."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from counterflow.core.errors import NotInvertibleError

__all__ = ["solve_contraction"]


def solve_contraction(
    function: Callable[[Tensor], Tensor], start: Tensor, *, lipschitz: float, tolerance: float
) -> Tensor:
    r"""Solve :math:`x = F(x)` for a map F that shrinks distances, by applying it until every row has settled.

    .. math:: \lVert x_n - x^* \rVert \le \frac{L}{1 - L} \lVert x_n - x_{n-1} \rVert

    A row stays where it is once this bound is below the tolerance, so that it does not depend on the rows beside it.
    Where values cannot be looked at (under ``torch.compile``, ``torch.func.vmap`` and on the meta device) the map is
    applied as often as L says is enough for any row.

    Args:
        function: F, acting on each row (the last dimension) by itself.
        start: Where to begin.
        lipschitz: L, the factor by which F shrinks distances at least, in (0, 1).
        tolerance: The largest distance from the fixed point allowed, relative to 1 plus the length of the row.

    Returns:
        The fixed points.

    Raises:
        NotInvertibleError: If a row has not settled after as many steps as L says are enough.

    Reference:
        Banach's fixed-point theorem; Behrmann et al., "Invertible Residual Networks", 2019, algorithm 1.

    Example:
        >>> x = solve_contraction(lambda x: 0.5 * x.cos(), torch.zeros(1), lipschitz=0.5, tolerance=1e-5)
        >>> round(x.item(), 4)
        0.4502
    """
    x, settled = start, torch.zeros_like(start[..., :1], dtype=torch.bool)
    factor = lipschitz / (1 - lipschitz)
    for _ in range(_enough_steps(lipschitz, tolerance)):
        ahead = function(x)
        error = factor * torch.linalg.vector_norm((ahead - x).detach(), dim=-1, keepdim=True)
        x = torch.where(settled, x, ahead)
        settled = settled | (error <= tolerance * (1 + torch.linalg.vector_norm(x.detach(), dim=-1, keepdim=True)))
        if _known(settled.all()):
            return x
    _check_settled(settled, x)
    return x


def _enough_steps(lipschitz: float, tolerance: float) -> int:
    """How many steps are enough if the first is at most a thousand times as long as the row and 1."""
    return 1 + math.ceil(math.log(1e-3 * tolerance * (1 - lipschitz)) / math.log(lipschitz))


def _known(settled: Tensor) -> bool | None:
    """The value of a flag, or ``None`` where nobody can look at it."""
    if torch.compiler.is_compiling() or settled.is_meta:
        return None
    try:
        return bool(settled)
    except RuntimeError:  # vmap: the flag has a value for each example, and Python can follow one path only
        return None


def _check_settled(settled: Tensor, x: Tensor) -> None:
    if _known(settled.all()) is False:
        row = x.reshape(-1, x.shape[-1])[int(settled.reshape(-1).logical_not().nonzero()[0])]
        raise NotInvertibleError(
            f"every row must settle in a fixed point, but one has come to {row.tolist()} and has not. "
            "Check that the inputs and the parameters are finite and of moderate size."
        )

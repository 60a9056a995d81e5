"""Roots of increasing functions, a whole batch at once, with gradients by the implicit function theorem."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["bisect", "bracketed_newton", "solve_increasing"]

Increasing = Callable[[Tensor], Tensor]
ValueAndSlope = Callable[[Tensor], tuple[Tensor, Tensor]]


def bisect(function: Increasing, target: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Solve :math:`f(x) = y` for an increasing f by halving a bracket, elementwise.

    The number of halvings is fixed by the dtype (no test on data, so the loop compiles): 32 in float32, 64 in float64.

    Args:
        function: Increasing, elementwise, from and to tensors of the shape of ``target``.
        target: The values y to reach.
        lower: A point where the function is at most ``target``, elementwise.
        upper: A point where the function is at least ``target``, elementwise.

    Returns:
        The middle of the last bracket.

    Example:
        >>> cube_root = bisect(lambda x: x**3, torch.tensor(8.0), torch.tensor(0.0), torch.tensor(5.0))
        >>> round(cube_root.item(), 4)
        2.0
    """
    for _ in range(64 if target.dtype == torch.float64 else 32):
        middle = 0.5 * (lower + upper)
        below = function(middle) < target
        lower = torch.where(below, middle, lower)
        upper = torch.where(below, upper, middle)
    return 0.5 * (lower + upper)


def bracketed_newton(function: ValueAndSlope, target: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Solve :math:`f(x) = y` for an increasing f by Newton steps that a bracket keeps in check, elementwise.

    A Newton step is taken where it stays inside the bracket and is at most half as long as the step before; elsewhere
    the bracket is halved. Where f is smooth the digits double with each step: eight evaluations are enough in double
    precision; near kinks and jumps the halvings win ground first. The number of evaluations is fixed by the dtype (no
    test on data, so the loop compiles): 20 in float32, 24 in float64. Kept is the point with the least error.

    Args:
        function: Gives value and slope of f, elementwise.
        target: The values y to reach.
        lower: A point where f is at most ``target``, elementwise.
        upper: A point where f is at least ``target``, elementwise.

    Returns:
        The best point seen, for two Newton steps more to polish.

    Reference:
        Press et al., "Numerical Recipes", 3rd edition, 2007, section 9.4 (the safeguard).

    Example:
        >>> x = bracketed_newton(lambda x: (x**3, 3 * x**2), torch.tensor(8.0), torch.tensor(0.0), torch.tensor(5.0))
        >>> round(x.item(), 5)
        2.0
    """
    root, step = 0.5 * (lower + upper), upper - lower
    best, least = root, torch.full_like(root, math.inf)
    for _ in range(24 if root.dtype == torch.float64 else 20):
        value, slope = function(root)
        error = value - target
        better = error.abs() < least
        best, least = torch.where(better, root, best), torch.where(better, error.abs(), least)
        lower, upper = torch.where(error < 0, root, lower), torch.where(error < 0, upper, root)
        ahead = root - error / slope.clamp(min=torch.finfo(root.dtype).tiny)
        safe = (ahead >= lower) & (ahead <= upper) & (2 * (ahead - root).abs() <= step.abs())
        following = torch.where(safe, ahead, 0.5 * (lower + upper))
        root, step = following, following - root
    return best


def solve_increasing(function: ValueAndSlope, target: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Solve :math:`f(x) = y` for an increasing f, with gradients in y and in everything f depends on.

    The search (:func:`bracketed_newton`) runs without gradients; two Newton steps from the solution found carry them.
    At the root a Newton step has the derivatives of the implicit function theorem, :math:`dx = (dy - df) / f'(x)`, and
    two steps make second and third derivatives right too. There is no custom autograd function, so ``torch.func`` and
    ``torch.compile`` see plain operations.

    Args:
        function: Gives value and slope of f, elementwise; the slope is above zero at the root.
        target: The values y to reach.
        lower: A point where f is at most ``target``, elementwise.
        upper: A point where f is at least ``target``, elementwise.

    Returns:
        The solution, with the broadcast shape of the arguments.

    Reference:
        Lehmann et al., "One-step differentiation of iterative algorithms", 2023, section 3 (the trick).

    Example:
        >>> y = torch.tensor(8.0, requires_grad=True)
        >>> x = solve_increasing(lambda x: (x**3, 3 * x**2), y, torch.tensor(0.0), torch.tensor(5.0))
        >>> round(torch.autograd.grad(x, y)[0].item(), 4)  # dx/dy = 1 / (3 x^2) = 1/12
        0.0833
    """
    with torch.no_grad():
        root = bracketed_newton(function, target, *torch.broadcast_tensors(lower, upper, target)[:2])
    tiny = torch.finfo(root.dtype).tiny
    for _ in range(2):
        value, slope = function(root)
        root = root - (value - target) / slope.clamp(min=tiny)
    return root

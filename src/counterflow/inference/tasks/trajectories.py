"""Solutions of differential equations at the times of observations."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.ode import AdaptiveSolver, solve
from counterflow.core.runge_kutta import Field

__all__ = ["trajectory"]

_SOLVER = AdaptiveSolver(atol=1e-6, rtol=1e-6, max_steps=10_000)


def trajectory(
    field: Field, start: Float[Tensor, "rows d"], *, times: Sequence[float]
) -> Float[Tensor, "times rows d"]:
    """Solve an initial value problem for a batch of rows, and give the states at several times.

    Args:
        field: The field, with what belongs to the rows in its ``rows``.
        start: The states at the first of the times.
        times: Ascending.

    Returns:
        The states, the first of which is ``start``.

    Raises:
        SolverError: A row could not be solved.

    Example:
        >>> decay = Field(lambda t, y, rows, weights: -rows[0] * y, rows=(torch.tensor([[1.0], [2.0]]),))
        >>> trajectory(decay, torch.ones(2, 1), times=[0.0, 1.0])[1].log().round(decimals=3).tolist()
        [[-1.0], [-2.0]]
    """
    states = [start]
    for begin, end in pairwise(times):
        states.append(solve(field, states[-1], start=begin, end=end, solver=_SOLVER).y)
    return torch.stack(states)

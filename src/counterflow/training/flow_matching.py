"""Flow matching: a velocity learns the straight ways between data and noise, and no equation is solved meanwhile."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterflow.core.errors import ShapeError

__all__ = ["flow_matching_loss", "optimal_assignment"]


def flow_matching_loss(
    velocity: nn.Module | Callable[..., Tensor],
    x: Float[Tensor, "rows features"],
    *,
    z: Float[Tensor, "points features"],
    t: Float[Tensor, "rows 1"],
    context: Float[Tensor, "rows *c"] | None = None,
    weights: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, ""]:
    r"""Compare a velocity with that of the straight way from a data point at time 0 to a noise point at time 1.

    .. math:: \mathbb{E} \left\| v(t, (1 - t) x + t z, c) - (z - x) \right\|^2 / D

    The velocity that minimizes it moves the law of the data to that of the noise.

    Args:
        velocity: Called as ``velocity(t, x, context)``.
        x: Data points.
        z: Points of the base density, one for each.
        t: Times in [0, 1].
        context: Their contexts.
        weights: One weight of at least 0 per row; only their ratios count.

    Returns:
        The mean squared difference, over rows and features.

    Raises:
        ShapeError: If data and noise differ in shape.

    Reference:
        Lipman, Chen, Ben-Hamu, Nickel, Le, "Flow Matching for Generative Modeling", 2023, equations 14 and 23 (with
        time running from data to noise); Liu, Gong, Liu, "Flow Straight and Fast", 2023, equation 1.

    Example:
        >>> still = lambda t, x, context=None: torch.zeros_like(x)
        >>> flow_matching_loss(still, torch.zeros(4, 2), z=torch.full((4, 2), 3.0), t=torch.rand(4, 1)).item()
        9.0
    """
    if x.shape != z.shape:
        raise ShapeError(f"z must have the shape of x, {tuple(x.shape)}, got {tuple(z.shape)}. Draw one for each row.")
    target = z - x
    found = velocity(t, torch.addcmul(x, target, t), *(() if context is None else (context,)))
    errors = (found - target).square().mean(-1)
    return errors.mean() if weights is None else (errors * weights).sum() / weights.sum()


def optimal_assignment(cost: Float[Tensor, "rows columns"]) -> Int[Tensor, " rows"]:
    r"""Assign each row a column of its own at the least total cost, exactly.

    .. math:: \min_\pi \sum_i C_{i \pi(i)}

    Row by row, the cheapest way to make room for it is found (Dijkstra's algorithm on costs reduced by the prices of
    the dual problem). This takes of the order of n^3 operations.

    Args:
        cost: The costs C, finite.

    Returns:
        The column of each row, on the device of the costs.

    Raises:
        ShapeError: If the matrix is not square.

    Reference:
        Jonker, Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", 1987.

    Example:
        >>> optimal_assignment(torch.tensor([[1.0, 2.0], [1.0, 5.0]])).tolist()
        [1, 0]
    """
    if cost.dim() != 2 or cost.shape[0] != cost.shape[1]:
        raise ShapeError(f"cost must have shape (rows, rows), got {tuple(cost.shape)}. Pair as many points as points.")
    costs = cost.detach().double().cpu().numpy()
    prices = costs.min(0)
    owner = np.full(len(costs), -1)
    for row in _greedy(costs - prices, owner):
        _make_room(costs, prices, owner, row)
    column = np.empty_like(owner)
    column[owner] = np.arange(len(owner))
    return torch.from_numpy(column).to(cost.device)


def _greedy(reduced: np.ndarray, owner: np.ndarray) -> list[int]:
    """Give rows the free columns in which they are the cheapest; the rows that are left over."""
    taken = np.zeros(len(owner), dtype=bool)
    for column, row in enumerate(reduced.argmin(0)):
        if not taken[row]:
            owner[column], taken[row] = row, True
    return [int(row) for row in np.flatnonzero(~taken)]


def _make_room(costs: np.ndarray, prices: np.ndarray, owner: np.ndarray, row: int) -> None:
    """Find the cheapest way from a row to a free column, and shift all owners on it by one."""
    size = len(owner)
    distance, came_from = np.full(size, np.inf), np.full(size, -1)
    done = np.zeros(size, dtype=bool)
    current, column, length = row, -1, 0.0
    while True:
        base = length if column < 0 else length - (costs[current, column] - prices[column])
        through = base + costs[current] - prices
        better = ~done & (through < distance)
        distance[better], came_from[better] = through[better], column
        open_distance = np.where(done, np.inf, distance)
        column = int(open_distance.argmin())
        length = open_distance[column]
        if owner[column] < 0:
            break
        done[column] = True
        current = int(owner[column])
    prices[done] += distance[done] - length
    while column >= 0:
        before = came_from[column]
        owner[column] = row if before < 0 else owner[before]
        column = int(before)

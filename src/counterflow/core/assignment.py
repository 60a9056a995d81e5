"""The assignment problem, solved exactly: who goes with whom at the least total cost."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ShapeError

__all__ = ["optimal_assignment"]


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

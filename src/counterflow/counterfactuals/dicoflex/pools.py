"""The rows that may be neighbors: of each class those whose decision is steady."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["steady_rows", "steadiness"]

_TRIALS = 12
_CHANCE = 0.2


def steadiness(
    rows: Float[Tensor, "rows columns"],
    label: int,
    *,
    others: Float[Tensor, "others columns"],
    decide: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Float[Tensor, " rows"]:
    """How often each row keeps its decision when a fifth of its values come from other rows.

    It stands in for the model's confidence, and needs nothing of the model but its decisions.

    Args:
        rows: Rows that the model decides alike.
        label: What it decides.
        others: Where the values come from: rows of every kind.
        decide: The model's decisions for rows.
        generator: Which values are exchanged, and for which.

    Returns:
        A share for each row.
    """
    total = torch.zeros(len(rows), dtype=torch.float64)
    for _ in range(_TRIALS):
        lent = others[torch.randint(len(others), (len(rows),), generator=generator)]
        taken = torch.rand(rows.shape, generator=generator) < _CHANCE
        total += decide(torch.where(taken, lent, rows)) == label
    return total / _TRIALS


def steady_rows(
    numbers: Float[Tensor, "rows columns"],
    labels: Int[Tensor, " rows"],
    label: int,
    *,
    most: int,
    share: float,
    decide: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Float[Tensor, "_ columns"]:
    """Of the rows of a class the steadiest share, no more than ``most`` of them looked at."""
    own = torch.nonzero(labels == label)[:, 0]
    own = own[torch.randperm(len(own), generator=generator)[:most]]
    if not len(own) or share >= 1:
        return numbers[own]
    score = steadiness(numbers[own], label, others=numbers, decide=decide, generator=generator)
    kept = score.topk(max(1, round(share * len(own)))).indices.sort().values
    return numbers[own[kept]]

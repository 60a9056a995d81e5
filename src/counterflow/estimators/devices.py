"""Whether rows are many enough to be worth a GPU."""

from typing import Literal

import torch

from counterflow.core.errors import ArgumentError

__all__ = ["place_for"]

_REPAID_FROM = {"training": 50_000, "explaining": 2_000}
"""From so many rows on a GPU is faster than a CPU."""


def place_for(device: str, rows: int, *, work: Literal["training", "explaining"]) -> str:
    """Where flows are trained on, or computed for, so many rows.

    Args:
        device: ``"cpu"``, ``"cuda"`` (or ``"cuda:1"``), or ``"auto"``.
        rows: How many.
        work: What is done with them.

    Returns:
        ``device``; in the place of ``"auto"`` a GPU where there is one and the rows repay it, else ``"cpu"``.

    Raises:
        ArgumentError: Torch finds no such device here.

    Example:
        >>> place_for("auto", 10, work="explaining")
        'cpu'
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() and rows >= _REPAID_FROM[work] else "cpu"
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise ArgumentError(f"device must be 'auto', 'cpu' or 'cuda', got {device!r}.")
    if device != "cpu" and not torch.cuda.is_available():
        raise ArgumentError(f"device is {device!r}, but torch finds no GPU here: use 'auto' or 'cpu'.")
    return device

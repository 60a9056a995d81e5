"""The few checks and array types that every metric shares."""

import math
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Num

from counterflow.core.errors import ArgumentError, DataError, ShapeError

__all__ = ["Flags", "Groups", "Images", "Labels", "Rows", "check_pair", "check_same_rows", "share"]

# Rows and features are not bound by name: tables that do not fit together get a sentence of ours (check_pair).
Rows: TypeAlias = Num[np.ndarray, "_ _"]
Images: TypeAlias = Num[np.ndarray, "_ ..."]
Flags: TypeAlias = Bool[np.ndarray, "..."]
Groups: TypeAlias = Num[np.ndarray, "_"]
Labels: TypeAlias = np.ndarray


def check_pair(factuals: Images, counterfactuals: Images) -> None:
    """Raise unless both tables are finite and have the same shape.

    Args:
        factuals: (rows, features), the rows as they were; or images, of any shape.
        counterfactuals: Of the same shape, the rows as they are returned, in the same order.

    Raises:
        ShapeError: If the shapes differ.
        DataError: If a number is NaN or infinite.
    """
    if factuals.shape != counterfactuals.shape:
        raise ShapeError(
            f"factuals and counterfactuals must have the same shape, got {factuals.shape} and {counterfactuals.shape}. "
            "Repeat each factual once per answer, for example factuals[group]."
        )
    for name, table in (("factuals", factuals), ("counterfactuals", counterfactuals)):
        if not np.isfinite(table).all():
            raise DataError(f"{name} must be finite, got NaN or infinity. Leave out the rows without an answer.")


def check_same_rows(name: str, values: Labels, rows: int) -> None:
    """Raise :class:`ShapeError` unless ``values`` has one entry per row."""
    if values.shape[:1] != (rows,):
        raise ShapeError(f"{name} must have one entry per row, shape ({rows},), got {values.shape}.")


def share(flags: np.ndarray, among: np.ndarray | None = None) -> float:
    """The share of true flags, ``nan`` if there is none to count.

    Args:
        flags: Booleans of any shape.
        among: Booleans of the same shape: where false, the flag is not counted at all.

    Returns:
        A number in [0, 1], or ``nan`` for an empty selection.

    Raises:
        ArgumentError: If ``flags`` are not Booleans.
        ShapeError: If ``among`` has another shape.

    Example:
        >>> share(np.array([True, False, True]), among=np.array([True, True, False]))
        0.5
    """
    for name, mask in (("flags", flags), ("among", among)):
        if mask is not None and mask.dtype != np.bool_:
            raise ArgumentError(f"{name} must be Booleans, got {mask.dtype}. Compare first: score >= bound.")
    if among is not None and among.shape != flags.shape:
        raise ShapeError(f"flags and among must have the same shape, got {flags.shape} and {among.shape}.")
    chosen = flags if among is None else flags[among]
    return float(chosen.mean()) if chosen.size else math.nan

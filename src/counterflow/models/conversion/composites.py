"""Converters of what is made of other steps: pipelines, column transformers, unions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from counterflow.models.conversion.columns import Columns, NotConvertible, join

__all__ = ["column_transformer", "feature_union", "pipeline", "positions"]

Converter = Callable[[Any, Columns], Columns]


def pipeline(step: Any, columns: Columns, convert: Converter) -> Columns:
    """One step after the other."""
    for _, part in step.steps:
        columns = convert(part, columns)
    return columns


def feature_union(step: Any, columns: Columns, convert: Converter) -> Columns:
    """The same columns through several steps, side by side."""
    weights = step.transformer_weights or {}
    branches = [
        _weighted(convert(part, columns), weights.get(name))
        for name, part in step.transformer_list
        if not _is_drop(part)
    ]
    return join(branches, step="FeatureUnion")


def column_transformer(step: Any, columns: Columns, convert: Converter) -> Columns:
    """Each group of columns through its own step, side by side."""
    names = list(getattr(step, "feature_names_in_", []))
    weights = step.transformer_weights or {}
    branches = []
    for name, part, chosen in step.transformers_:
        where = positions(chosen, names, columns.width)
        if len(where) and not _is_drop(part):
            branches.append(_weighted(convert(part, columns.select(where)), weights.get(name)))
    if not branches:
        raise NotConvertible("ColumnTransformer gives no column at all")
    return join(branches, step="ColumnTransformer")


def positions(chosen: Any, names: list[str], width: int) -> np.ndarray:
    """Column positions from a name, a position, a list of either, a slice of either, or Booleans.

    Example:
        >>> positions(slice("b", "c"), ["a", "b", "c", "d"], 4)
        array([1, 2])
        >>> positions([True, False], [], 2)
        array([0])
    """
    everything = np.arange(width)
    if isinstance(chosen, slice):
        start, stop = (names.index(end) if isinstance(end, str) else end for end in (chosen.start, chosen.stop))
        return everything[start : stop + 1 if isinstance(chosen.stop, str) else stop : chosen.step]
    if isinstance(chosen, str | int | np.integer):
        chosen = [chosen]
    chosen = list(chosen)
    if chosen and isinstance(chosen[0], bool | np.bool_):
        return everything[np.asarray(chosen, dtype=bool)]
    found = [names.index(one) if isinstance(one, str) else one for one in chosen]
    return everything[np.asarray(found, dtype=np.intp)]


def _is_drop(part: Any) -> bool:
    return isinstance(part, str) and part == "drop"


def _weighted(columns: Columns, weight: float | None) -> Columns:
    return columns if weight is None else columns.scaled(None, np.full(columns.width, 1.0 / weight), step="a weight")

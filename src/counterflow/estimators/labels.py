"""What an explainer needs of models, labels and wishes, checked with a sentence each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from counterflow.core.errors import ArgumentError, DataError, ModelError
from counterflow.counterfactuals.bins import ValueBins
from counterflow.models import AdaptedModel
from counterflow.tables import Table, TableCodec, take_rows
from counterflow.tables.hints import listed

__all__ = [
    "check_same_classes",
    "class_indices",
    "density_classes",
    "intervals",
    "one_for_each",
    "plain_labels",
    "without_missing",
]

_FEWEST = 20


def without_missing(X: Any, y: Any, codec: TableCodec) -> tuple[Any, Any]:
    """Leave out the rows with missing values where the schema says so."""
    if codec.schema.missing != "drop":
        return X, y
    kept = np.flatnonzero(~codec.missing_rows(X))
    labels = None if y is None else plain_labels(y, len(Table(X)))[kept]
    return take_rows(X, kept), labels


def plain_labels(y: Any, rows: int) -> np.ndarray:
    """Labels of any kind as an array of plain values, one for each row."""
    values = y.to_list() if hasattr(y, "to_list") else y.tolist() if hasattr(y, "tolist") else list(y)
    if len(values) != rows:
        raise DataError(f"y must have one label for each of the {rows} rows, got {len(values)}.")
    labels = np.empty(rows, dtype=object)
    labels[:] = values
    return labels


def density_classes(model: AdaptedModel, given: np.ndarray) -> tuple[ValueBins | None, Int[np.ndarray, " rows"]]:
    """What stands for y in p(x|y): the index of a label, or the bin of a regressor's value with the bins themselves."""
    if not model.regression:
        return None, class_indices(model, given)
    try:
        values = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"y must hold numbers, as {model.name} is a regressor, got {given[0]!r}.") from error
    if not np.isfinite(values).all():
        raise DataError("y holds values that are missing or infinite: leave these rows out.")
    if len(values) < _FEWEST:
        raise DataError(f"the table has {len(values)} rows; a density needs at least {_FEWEST}. Give more rows.")
    bins = ValueBins.of(values)
    return bins, bins.labels(values)


def intervals(desired: Any, rows: int) -> Sequence[tuple[float | None, float | None]]:
    """One interval for each row: the same for all, or one each.

    Raises:
        ArgumentError: It is no pair, or is empty.
    """
    one = isinstance(desired, tuple) and len(desired) == 2 and all(_is_limit(limit) for limit in desired)
    wishes = [desired] * rows if one else list(desired) if isinstance(desired, list | tuple) else [desired]
    for wish in wishes:
        pair = isinstance(wish, list | tuple) and len(wish) == 2 and all(_is_limit(limit) for limit in wish)
        if not pair or wish == (None, None):
            raise ArgumentError(
                "a regressor needs desired=(low, high), the interval of its value, with None for an open end, "
                f"got {wish!r}."
            )
        low, high = wish
        if low is not None and high is not None and not low < high:
            raise ArgumentError(
                f"the interval desired=({low:g}, {high:g}) is empty: its low end must be the lower one."
            )
    if len(wishes) != rows:
        raise ArgumentError(f"desired must be one interval, or one for each of the {rows} rows, got {len(wishes)}.")
    return [tuple(None if limit is None else float(limit) for limit in wish) for wish in wishes]  # type: ignore[misc]


def _is_limit(limit: Any) -> bool:
    return limit is None or (isinstance(limit, int | float | np.number) and not isinstance(limit, bool))


def class_indices(model: AdaptedModel, labels: np.ndarray) -> np.ndarray:
    """The position of each label among the model's classes, every class with rows enough."""
    classes = list(model.classes or ())
    positions = {label: k for k, label in enumerate(classes)}
    unknown = [label for label in labels.tolist() if label not in positions]
    if unknown:
        raise DataError(
            f"y holds {unknown[0]!r}, which is no class of {model.name}: it knows {listed(classes)}. "
            "Correct the labels."
        )
    indices = np.array([positions[label] for label in labels.tolist()], dtype=np.int64)
    counts = np.bincount(indices, minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"all rows are of one class, {classes[int(counts.argmax())]!r}: a counterfactual needs rows of "
            "another. Give labels y, or rows that the model decides both ways."
        )
    if counts.min() < _FEWEST:
        k = int(counts.argmin())
        raise DataError(
            f"class {classes[k]!r} has {counts[k]} rows; the density of a class needs at least {_FEWEST}. "
            "Give more rows, or merge rare classes."
        )
    return indices


def one_for_each(desired: Any, rows: int) -> Sequence[Any]:
    """One wish for each row."""
    if isinstance(desired, str | bool | int | float | np.generic):
        return [desired.item() if isinstance(desired, np.generic) else desired] * rows
    if desired is None:
        raise ArgumentError("desired must be the class that the model shall decide, got None.")
    wishes = list(desired.to_list() if hasattr(desired, "to_list") else desired)
    if len(wishes) != rows:
        raise ArgumentError(f"desired must be one class, or one for each of the {rows} rows, got {len(wishes)}.")
    return [wish.item() if isinstance(wish, np.generic) else wish for wish in wishes]


def check_same_classes(model: AdaptedModel, classes: list[Any], *, folder: str | Path) -> None:
    """Refuse a model that answers with other classes than the one that was explained."""
    if list(model.classes or ()) != classes:
        raise ModelError(
            f"'{folder}' was made for a model with the classes {listed(classes)}, got one with "
            f"{listed(list(model.classes or ()))}. Pass the model that was explained."
        )

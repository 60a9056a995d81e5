"""What a regressor learns from: rows as numbers or features, and targets with what they are."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.estimators.inputs import checked_table, checked_weights, codec_for, table_names
from counterflow.models.table_features import TableFeatures, standard_units
from counterflow.tables import Schema, TableCodec

__all__ = ["RowReader", "Targets", "check_whole", "checked_targets", "training_table"]

_FEWEST_ROWS = 4


@dataclass(frozen=True, eq=False)
class RowReader:
    """From tables to what a method reads: numbers for trees, features for nets.

    Args:
        schema: The columns.
        trees: Whether trees read them.
        center: The middle of each column.
        scale: Its unit.
    """

    schema: Schema
    trees: bool
    center: Float[Tensor, " columns"]
    scale: Float[Tensor, " columns"]

    @classmethod
    def of(cls, schema: Schema, numbers: Float[Tensor, "rows columns"], *, trees: bool) -> "RowReader":
        """Learn the units from training rows."""
        return cls(schema, trees, *standard_units(schema, numbers))

    @property
    def levels(self) -> tuple[int, ...]:
        """How many categories each column has; 0 for numbers."""
        return tuple(len(column.categories) if column.labeled else 0 for column in self.schema.columns)

    def numbers(self, X: Any) -> Float[Tensor, "rows columns"]:
        """The table in the codec's form."""
        return torch.from_numpy(codec_for(self.schema, X).to_numbers(X))

    def features(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows features"]:
        """What the method reads; for nets differentiable in the numbers."""
        return numbers if self.trees else TableFeatures(self.schema, self.center, self.scale)(numbers)

    def read(self, X: Any) -> Float[Tensor, "rows features"]:
        """Both in one."""
        return self.features(self.numbers(X))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors."""
        return {"schema": self.schema.to_dict(), "trees": self.trees}, {"center": self.center, "scale": self.scale}

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "RowReader":
        """Read what :meth:`to_parts` gave."""
        return cls(Schema.from_dict(config["schema"]), config["trees"], tensors["center"], tensors["scale"])


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets as numbers, and what they were given as.

    Args:
        values: (rows, targets).
        flat: Whether they were given as one column without a second dimension.
        whole: Which of them are whole numbers, whose law is one of probabilities and not of densities.
        names: The names of the columns of a frame.
    """

    values: Float[np.ndarray, "rows targets"]
    flat: bool
    whole: tuple[bool, ...]
    names: tuple[str, ...] | None = None


def training_table(
    estimator: BaseEstimator, X: Any, *, schema: Any, sample_weight: Any
) -> tuple[Any, TableCodec, Float[np.ndarray, " rows"] | None]:
    """Check a training table, and find the codec that reads it and the weights of its rows.

    Raises:
        ArgumentError: ``schema`` is none.
        DataError: X or the weights cannot be used.
    """
    if not isinstance(schema, Schema | None):
        raise ArgumentError(f"schema must be a Schema or None, got {type(schema).__name__}. See Schema.infer.")
    X = checked_table(estimator, X, reset=True, fewest=_FEWEST_ROWS, missing=True, strict=schema is None)
    known = Schema.infer(X, missing="atom") if schema is None else schema
    return X, codec_for(known, X), checked_weights(sample_weight, X)


def checked_targets(y: Any, rows: int, *, whole: Any) -> Targets:
    """Check targets.

    Args:
        y: One number or one row of numbers for each row; an array, a list, or a column or frame of any kind.
        rows: How many rows X has.
        whole: ``"auto"``, with a warning where whole numbers are found; or whether they are.

    Raises:
        DataError: They are missing, no finite numbers, or not as many as rows.
        ArgumentError: ``whole`` is neither, or says so of other numbers.
    """
    if y is None:
        raise DataError("a regressor requires y to be passed, but the target y is None. Pass the values to predict.")
    _check_no_dates(y)
    try:
        values = check_array(
            y,
            ensure_2d=False,
            allow_nd=True,
            dtype=np.float64,  # pyright: ignore[reportArgumentType]
            input_name="y",
            estimator="FlowRegressor",
            ensure_min_samples=0,
        )
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from error
    if values.ndim > 2 or len(values) != rows:
        raise ShapeError(
            f"y must have one number or one row of numbers for each of the {rows} rows of X, got shape {values.shape}."
        )
    flat = values.ndim == 1
    values = np.array(values[:, None] if flat else values)
    return Targets(values, flat, _are_whole(values, whole), None if flat else table_names(y))


def _check_no_dates(y: Any) -> None:
    kinds = [getattr(part, "kind", "") for part in np.atleast_1d(getattr(y, "dtypes", getattr(y, "dtype", "")))]
    if {"m", "M"} & set(kinds):
        raise DataError("y must hold numbers, got dates or spans of time. Count days, say, from a date of your choice.")


def _are_whole(values: np.ndarray, whole: Any) -> tuple[bool, ...]:
    if whole not in ("auto", True, False):
        raise ArgumentError(f"whole_numbers must be 'auto', True or False, got {whole!r}.")
    found = tuple(((values == np.round(values)) & (np.abs(values) < 2**53)).all(0).tolist())
    if whole == "auto":
        _tell_whole(found)
        return found
    asked = (whole,) * len(found)
    check_whole(values, asked)
    return asked


def check_whole(values: Float[np.ndarray, "rows targets"], whole: tuple[bool, ...]) -> None:
    """Refuse other numbers where targets are whole.

    Raises:
        ArgumentError: There are some.
    """
    if (values != np.round(values))[:, list(whole)].any():
        raise ArgumentError("y must hold whole numbers, got others. Round them, or fit with whole_numbers=False.")


def _tell_whole(found: tuple[bool, ...]) -> None:
    if not any(found):
        return
    which = "y" if all(found) else f"y's column {found.index(True)}"
    warnings.warn(
        f"{which} holds whole numbers only, on which a density could grow without limit: each is spread over its unit "
        "cell, and scores are logarithms of probabilities. Say whole_numbers=False if y is continuous.",
        UserWarning,
        stacklevel=5,
    )

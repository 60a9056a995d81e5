"""The tables that scikit-learn brings along, by name, with readable columns and a schema."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn import datasets as sklearn_datasets

from counterflow.core.errors import ArgumentError
from counterflow.datasets.credit import loan
from counterflow.datasets.dataset import Dataset, make_frame
from counterflow.tables import Column, Schema
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["NAMES", "load"]


def load(name: str) -> Dataset:
    """Load a table by its name; nothing is downloaded.

    - ``"breast_cancer"``: 569 tumors, 30 measures of cell nuclei; ``diagnosis`` is ``"malignant"`` or ``"benign"``.
    - ``"iris"``: 150 flowers, 4 lengths in cm; ``species``.
    - ``"wine"``: 178 wines, 13 chemical measures; ``cultivar``.
    - ``"digits"``: 1797 handwritten digits, 64 pixels from 0 to 16; ``digit``. Pixels that are always 0
      are carried along.
    - ``"diabetes"``: 442 patients, 10 measures in their own units; ``progression`` is a number, and
      ``sex`` is protected.
    - ``"loan"``: 2000 rows of :func:`loan`, made up.

    Args:
        name: One of these.

    Returns:
        The table.

    Raises:
        ArgumentError: There is no table of that name.

    Reference:
        scikit-learn's user guide, "Toy datasets", for the sources of the first five.

    Example:
        >>> cancer = load("breast_cancer")
        >>> cancer.target, cancer.schema.classes, cancer.schema.names[:2]
        ('diagnosis', ('benign', 'malignant'), ('mean_radius', 'mean_texture'))
    """
    if name not in _LOADERS:
        raise ArgumentError(f"name must be one of {listed(NAMES)}, got {name!r}.{did_you_mean(name, NAMES)}")
    return _LOADERS[name]()


def _breast_cancer() -> Dataset:
    return _classes(sklearn_datasets.load_breast_cancer(), "diagnosis")


def _iris() -> Dataset:
    data = _classes(sklearn_datasets.load_iris(), "species")
    return _described(data, {name: {"unit": "cm"} for name in data.schema.names})


def _wine() -> Dataset:
    return _described(_classes(sklearn_datasets.load_wine(), "cultivar"), {"alcohol": {"unit": "%"}})


def _digits() -> Dataset:
    bunch: Any = sklearn_datasets.load_digits()
    names = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    pixels = bunch.data.astype(int)
    columns = tuple(
        Column(name, "integer", lower=0, upper=16, dtype="Int64", actionable=bool(pixels[:, place].any()))
        for place, name in enumerate(names)
    )
    frame = make_frame({**dict(zip(names, pixels.T, strict=True)), "digit": bunch.target})
    return Dataset(frame, "digit", Schema(columns, target="digit", classes=tuple(range(10))))


def _diabetes() -> Dataset:
    bunch: Any = sklearn_datasets.load_diabetes(scaled=False)
    names = {
        "age": "age", "sex": "sex", "bmi": "bmi", "bp": "blood_pressure", "s1": "total_cholesterol", "s2": "ldl",
        "s3": "hdl", "s4": "cholesterol_ratio", "s5": "log_triglycerides", "s6": "glucose",
    }  # fmt: skip
    columns = {names[old]: _whole(bunch.data[:, place]) for place, old in enumerate(bunch.feature_names)}
    columns["progression"] = _whole(bunch.target)
    frame = make_frame(columns)
    schema = Schema.infer(frame, "progression", protected=["sex"])
    changes = {"age": {"unit": "years", "direction": "increase"}, "bmi": {"unit": "kg/m2"}}
    return _described(Dataset(frame, "progression", schema), {**changes, "blood_pressure": {"unit": "mmHg"}})


def _classes(bunch: Any, target: str) -> Dataset:
    """A table of measures with classes."""
    columns = {_snake(name): bunch.data[:, place] for place, name in enumerate(bunch.feature_names)}
    columns[target] = np.array(bunch.target_names)[bunch.target]
    frame = make_frame(columns)
    return Dataset(frame, target, Schema.infer(frame, target, codes=[]))


def _described(data: Dataset, changes: dict[str, dict[str, Any]]) -> Dataset:
    return replace(data, schema=data.schema.edit(changes))


def _snake(name: str) -> str:
    """A name without units and signs.

    Example:
        >>> _snake("sepal length (cm)"), _snake("od280/od315_of_diluted_wines")
        ('sepal_length', 'od280_od315_of_diluted_wines')
    """
    return re.sub(r"\W+", "_", re.sub(r"\s*\(.*\)", "", name))


def _whole(values: np.ndarray) -> np.ndarray:
    """Whole numbers as integers."""
    return values.astype(int) if (values % 1 == 0).all() else values


_LOADERS: dict[str, Callable[[], Dataset]] = {
    "breast_cancer": _breast_cancer,
    "diabetes": _diabetes,
    "digits": _digits,
    "iris": _iris,
    "loan": loan,
    "wine": _wine,
}

NAMES = tuple(_LOADERS)
"""What :func:`load` knows."""

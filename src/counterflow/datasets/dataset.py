"""A table with what is known of its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from counterflow.tables import Schema, Table
from counterflow.tables.frames import frame_of

__all__ = ["Dataset", "make_frame"]


@dataclass(frozen=True)
class Dataset:
    """A table, the column to be predicted, and the schema of the others.

    Args:
        frame: All columns, the target last: a pandas frame, or a pyarrow table where pandas is not installed.
        target: The name of the column to be predicted.
        schema: The features, with units, verbs and protected attributes where there are any.

    Example:
        >>> from counterflow.datasets import load
        >>> iris = load("iris")
        >>> len(iris), iris.features.shape, iris.target, iris.schema.classes
        (150, (150, 4), 'species', ('setosa', 'versicolor', 'virginica'))
    """

    frame: Any = field(repr=False)
    target: str
    schema: Schema = field(repr=False)

    def __len__(self) -> int:
        return len(Table(self.frame))

    @property
    def features(self) -> Any:
        """The frame without the target."""
        drop = self.frame.drop_columns if hasattr(self.frame, "drop_columns") else self.frame.drop
        return drop([self.target]) if hasattr(self.frame, "drop_columns") else drop(columns=[self.target])

    @property
    def labels(self) -> np.ndarray:
        """The target as an array: labels of the classes, or numbers."""
        return np.array(Table(self.frame).labels(self.target))


def make_frame(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> Any:
    """A frame of the kind that is installed: pandas, else pyarrow.

    Example:
        >>> make_frame({"age": [28, 35]}).shape
        (2, 1)
    """
    plain = {
        name: values.tolist() if isinstance(values, np.ndarray) else list(values) for name, values in columns.items()
    }
    return frame_of(plain, "pandas" if find_spec("pandas") else "pyarrow")

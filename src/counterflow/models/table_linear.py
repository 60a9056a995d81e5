"""What our own models of a table share: scores that are linear in its features, as plain data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.models.table_features import TableFeatures, standard_units
from counterflow.tables.codec import TableCodec
from counterflow.tables.schema import Schema

__all__ = ["LinearTableModel", "design"]


class LinearTableModel(ABC):
    r"""Scores :math:`b + W \phi(x)` of a row's features (:class:`~counterflow.models.table_features.TableFeatures`).

    A number enters standardized; at a special code it enters as its mean, and the code has a weight of its own, so that
    -9 is not read as "nine less than nothing". A category has a weight each.

    Args:
        schema: The columns.
        tensors: ``center``, ``scale``, ``weight`` and ``bias``.
    """

    def __init__(self, schema: Schema, tensors: Mapping[str, Tensor]) -> None:
        self.schema = schema
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}
        self._codec = TableCodec(schema)
        self._features = TableFeatures(schema, self.tensors["center"], self.tensors["scale"])

    def features(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows features"]:
        """Standardized numbers, then one indicator for each category and atom; differentiable in the numbers."""
        return self._features(numbers)

    def scores(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows outputs"]:
        """The linear scores of rows in the codec's form."""
        return self.features(numbers) @ self.tensors["weight"].T + self.tensors["bias"]

    def scores_of_frame(self, frame: Any) -> Float[Tensor, "rows outputs"]:
        """The same of a frame's rows."""
        return self.scores(torch.from_numpy(self._codec.to_numbers(frame)))

    @abstractmethod
    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""


def design(schema: Schema, frame: Any) -> tuple[Float[np.ndarray, "rows features"], dict[str, Tensor]]:
    """The features of training rows, and the units that they are measured in: ``center`` and ``scale``."""
    numbers = torch.from_numpy(TableCodec(schema).to_numbers(frame))
    center, scale = standard_units(schema, numbers)
    return TableFeatures(schema, center, scale)(numbers).numpy(), {"center": center, "scale": scale}

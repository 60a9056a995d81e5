"""A regressor's values in bins, each of which has a density and thresholds of its own, as a class has."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import DataError

__all__ = ["ValueBins"]

_ROWS_A_BIN = 200
_FEWEST = 100
_MOST_BINS = 5


@dataclass(frozen=True)
class ValueBins:
    """Quantile bins of a regressor's values.

    p(x|y) of a value y is the density of the bin it lies in, and "plausible" compares a row with held-out rows of that
    bin: a fresh row whose value lies in the bin passes as often as was asked.

    Args:
        edges: The inner edges, ascending.
        unit: The standard deviation of the values: what counts as one unit of a regressor's answer.

    Example:
        >>> bins = ValueBins.of(np.arange(1000.0))
        >>> bins.names[0], bins.labels(np.array([0.0, 999.0])).tolist()
        ('values below 199.8', [0, 4])
    """

    edges: tuple[float, ...]
    unit: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " rows"]) -> "ValueBins":
        """Bins of about as many rows each, at most five, of at least some two hundred rows if there are two or more.

        Raises:
            DataError: All values are the same.
        """
        count = int(np.clip(len(values) // _ROWS_A_BIN, 1, _MOST_BINS))
        edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
        if not values.std() > 0:
            raise DataError("the regressor gives all rows the same value: there is nothing to explain.")
        return cls(_with_rows_between(edges, np.sort(values)), float(values.std()))

    def __len__(self) -> int:
        return len(self.edges) + 1

    @property
    def names(self) -> list[str]:
        """What each bin is called."""
        if not self.edges:
            return ["all values"]
        inner = [f"values from {low:.4g} to {high:.4g}" for low, high in zip(self.edges, self.edges[1:], strict=False)]
        return [f"values below {self.edges[0]:.4g}", *inner, f"values from {self.edges[-1]:.4g}"]

    @property
    def tensor(self) -> Float[Tensor, " inner"]:
        """The inner edges as float64."""
        return torch.tensor(self.edges, dtype=torch.float64)

    def labels(self, values: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
        """The bin of each value."""
        return np.searchsorted(np.array(self.edges), values, side="right").astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"edges": list(self.edges), "unit": self.unit}

    @classmethod
    def from_dict(cls, data: dict[str, Any] | None) -> "ValueBins | None":
        """Read what :meth:`to_dict` gave; ``None`` stays ``None``."""
        return None if data is None else cls(tuple(data["edges"]), data["unit"])


def _with_rows_between(edges: Float[np.ndarray, " edges"], ordered: Float[np.ndarray, " rows"]) -> tuple[float, ...]:
    """The edges that leave rows enough in each bin: where many values are equal, quantiles may leave hardly any."""
    kept: list[float] = []
    below = 0
    for edge, place in zip(edges.tolist(), np.searchsorted(ordered, edges).tolist(), strict=True):
        if min(place - below, len(ordered) - place) >= _FEWEST:
            kept.append(edge)
            below = place
    return tuple(kept)

"""A learned law in the words of a table: rows in, targets out as they were given."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.estimators.regressor_rows import RowReader, check_whole, checked_targets
from counterflow.regression import DensityRegression

__all__ = ["Kind", "TableLaw", "check_kind"]

Kind = str

_POINTS = 200
_CELL_DRAWS = 16
_REFINED = 40


def check_kind(kind: str) -> None:
    """Refuse what no law has.

    Raises:
        ArgumentError: It is none of mean, median and mode.
    """
    if kind not in ("mean", "median", "mode"):
        raise ArgumentError(f"kind must be 'mean', 'median' or 'mode', got {kind!r}. Choose one of these.")


@dataclass(frozen=True, eq=False)
class TableLaw:
    """The law of targets under features, with what targets were given as.

    Args:
        regression: The law of numbers.
        rows: What reads tables.
        flat: Whether targets were given as one column without a second dimension.
        whole: Which of them are whole numbers; each then stands for its unit cell.
        names: The names of the targets, if a frame held them.
    """

    regression: DensityRegression
    rows: RowReader
    flat: bool
    whole: tuple[bool, ...]
    names: tuple[str, ...] | None = None

    def targets(self, y: Any, rows: int) -> Float[Tensor, "rows targets"]:
        """Targets like those that were learned.

        Raises:
            DataError: They are missing, no finite numbers, or of other columns.
            ShapeError: They are not as many as rows, or not as wide.
            ArgumentError: One that held whole numbers holds others.
        """
        expected = self.regression.targets
        found = checked_targets(y, rows, whole=False)
        if found.values.shape[1] != expected:
            raise ShapeError(
                f"y must have {expected} columns, as in fit, got {found.values.shape[1]}. Give the same targets."
            )
        if None not in (self.names, found.names) and self.names != found.names:
            raise DataError(
                f"y must have the columns {list(self.names or ())}, as in fit, got {list(found.names or ())}. "
                "Put them in this order."
            )
        check_whole(found.values, self.whole)
        return torch.from_numpy(found.values)

    def log_likelihood(
        self, x: Float[Tensor, "rows features"], y: Float[Tensor, "rows targets"]
    ) -> Float[Tensor, " rows"]:
        """The log-density of each row's targets; of whole numbers, the logarithm of their probability."""
        if not any(self.whole):
            return self.regression.log_prob(y, x)
        if self.regression.targets == 1:
            return self.log_likelihood_each(x, y)[:, 0]
        noise = torch.rand(_CELL_DRAWS, y.shape[1], dtype=y.dtype, generator=torch.Generator().manual_seed(0)) - 0.5
        noise = noise * torch.tensor(self.whole)
        each = torch.stack([self.regression.log_prob(y + move, x) for move in noise])
        return each.logsumexp(0) - torch.tensor(_CELL_DRAWS).log()

    def log_likelihood_each(
        self, x: Float[Tensor, "rows features"], values: Float[Tensor, "rows k"]
    ) -> Float[Tensor, "rows k"]:
        """The same of k values of one target in each row; between whole numbers, minus infinity."""
        if not any(self.whole):
            return self.regression.log_prob_each(values.unsqueeze(2), x)
        low, high = self.regression.cdf(torch.cat([values - 0.5, values + 0.5], 1), x).chunk(2, 1)
        chance = (high - low).clamp(min=torch.finfo(torch.float64).tiny).log()
        return torch.where(values == values.round(), chance, -torch.inf)

    def cdf(self, x: Float[Tensor, "rows features"], values: Float[Tensor, "rows k"]) -> Float[Tensor, "rows k"]:
        """P(Y <= value | x) of one target; of whole numbers it jumps at each."""
        return self.regression.cdf(values.floor() + 0.5 if any(self.whole) else values, x)

    def summary(self, x: Float[Tensor, "rows features"], kind: Kind, *, draws: int) -> Float[Tensor, "rows targets"]:
        """The mean, the median or the mode of each row."""
        check_kind(kind)
        if self.regression.targets == 1:
            return self._of_one(x, kind)
        found = self.regression.draws_alike(draws, x)
        if kind == "mean":
            return found.mean(1)
        if kind == "median":
            return self.rounded(found.quantile(0.5, 1))
        return self.rounded(self._best(found, x))

    def points(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows points"]:
        """Points of even weight that stand for the law of one target."""
        return self.rounded(self.regression.points(_POINTS, x))

    def rounded(self, y: Float[Tensor, "*batch targets"]) -> Float[Tensor, "*batch targets"]:
        """Whole numbers where targets are; the last dimension is that of the targets, or of values of one."""
        return torch.where(torch.tensor(self.whole), y.round(), y) if any(self.whole) else y

    def shaped(self, y: Tensor | np.ndarray) -> np.ndarray:
        """Without the last dimension if targets were given flat."""
        y = np.asarray(y)
        return y[..., 0] if self.flat else y

    def _of_one(self, x: Tensor, kind: Kind) -> Tensor:
        if kind == "median":
            return self.rounded(self.regression.quantiles([0.5], x))
        points = self.points(x)
        if kind == "mean":
            return points.mean(1, keepdim=True)
        return self._likeliest(points, x) if any(self.whole) else self._highest(points, x)

    def _likeliest(self, points: Tensor, x: Tensor) -> Tensor:
        """The likeliest of the whole numbers that the points are."""
        return points.gather(1, self.log_likelihood_each(x, points).argmax(1, keepdim=True))

    def _highest(self, points: Tensor, x: Tensor) -> Tensor:
        """The highest of the points, then a search between its neighbors."""
        best = self.regression.log_prob_each(points.unsqueeze(2), x).argmax(1, keepdim=True)
        low = points.gather(1, (best - 1).clamp(min=0))
        high = points.gather(1, (best + 1).clamp(max=points.shape[1] - 1))
        for _ in range(_REFINED):
            third = (high - low) / 3
            inner = torch.cat([low + third, high - third], 1)
            rises = self.regression.log_prob_each(inner.unsqueeze(2), x).diff(dim=1) > 0
            low, high = torch.where(rises, inner[:, :1], low), torch.where(rises, high, inner[:, 1:])
        return (low + high) / 2

    def _best(self, draws: Tensor, x: Tensor) -> Tensor:
        density = self.regression.log_prob_each(draws, x)
        return draws[torch.arange(len(draws)), density.argmax(1)]

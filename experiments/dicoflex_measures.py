"""What is measured of draws, each by its definition; the space of numbers is the range of the training table."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import LocalOutlierFactor

from counterflow.tables import Schema

__all__ = ["Measures"]

_EPSILON = 0.05


@dataclass(frozen=True)
class Measures:
    """Distances in a table: numbers as shares of their range in training, categories by equality.

    Args:
        schema: The columns.
        train: The training rows.
    """

    schema: Schema
    train: torch.Tensor

    @property
    def numeric(self) -> torch.Tensor:
        """Which columns are numbers."""
        return torch.tensor([column.numeric for column in self.schema.columns])

    @property
    def width(self) -> torch.Tensor:
        """The range of every column in training."""
        width = self.train.amax(0) - self.train.amin(0)
        return torch.where(self.numeric & (width > 0), width, 1.0)

    def steps(self, rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """How far each entry is from another, as a share of its range; 1 for another category."""
        gap = ((rows - others).abs() / self.width).nan_to_num(1.0)
        return torch.where(self.numeric, gap, (rows != others).double())

    def distance(self, steps: torch.Tensor) -> torch.Tensor:
        """City-block over the numbers and the share of changed categories, weighted by how many columns each are."""
        weight = float(self.numeric.double().mean())
        block = steps[..., self.numeric].sum(-1)
        share = steps[..., ~self.numeric].mean(-1) if weight < 1 else torch.zeros_like(block)
        return weight * block + (1 - weight) * share

    def moved(self, steps: torch.Tensor) -> torch.Tensor:
        """The share of the numbers that move by more than a twentieth of their range."""
        return (steps[..., self.numeric] > _EPSILON).double().mean(-1)

    def switched(self, steps: torch.Tensor) -> torch.Tensor:
        """The share of the categories that change; 0 where there are none."""
        return steps[..., ~self.numeric].mean(-1) if not bool(self.numeric.all()) else steps.new_zeros(steps.shape[:-1])

    def changes(self, factuals: torch.Tensor, draws: torch.Tensor, valid: torch.Tensor) -> dict[str, float]:
        """Of the valid draws: the mean over draws, and the mean over factuals of the best draw.

        Args:
            factuals: (rows, columns).
            draws: (count, rows, columns).
            valid: (count, rows).
        """
        steps = self.steps(draws, factuals)
        values = {
            "proximity": self.distance(steps),
            "epsilon_sparsity": self.moved(steps),
            "categorical_sparsity": self.switched(steps),
            "changed_columns": (draws != factuals).double().sum(-1),
        }
        found = {name: float(value[valid].mean()) for name, value in values.items()}
        some = valid.any(0)
        best = {
            f"{name}_best": float(value.masked_fill(~valid, torch.inf).amin(0)[some].mean())
            for name, value in values.items()
        }
        return found | best

    def diversity(self, draws: torch.Tensor, valid: torch.Tensor) -> dict[str, float]:
        """The mean over pairs of valid draws of one factual: their distance, and the shares that differ."""
        half = len(draws) // 2
        pairs = [(draws[:half], draws[half : 2 * half], valid[:half] & valid[half : 2 * half])]
        pairs += [(draws[:half].roll(1, 0), draws[half : 2 * half], valid[:half].roll(1, 0) & valid[half : 2 * half])]
        both = torch.cat([kept for *_, kept in pairs])
        steps = torch.cat([self.steps(a, b) for a, b, _ in pairs])
        measures = {
            "diversity": self.distance(steps),
            "epsilon_diversity": self.moved(steps),
            "categorical_diversity": self.switched(steps),
        }
        return {name: float(value[both].mean()) for name, value in measures.items()}

    def outside(self, draws: torch.Tensor, factuals: torch.Tensor) -> int:
        """How many values lie outside the range of training and are not the factual's own."""
        low, high = self.train.amin(0), self.train.amax(0)
        return int((((draws < low) | (draws > high)) & (draws != factuals)).sum())

    def outlier_factors(self, rows: torch.Tensor, *, most: int = 8000) -> np.ndarray:
        """The local outlier factor of rows among training rows (20 neighbors; ranges and one-hot categories)."""
        judge = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(self._features(self.train[:most]))
        return -judge.score_samples(self._features(rows))

    def _features(self, rows: torch.Tensor) -> np.ndarray:
        parts = [((rows - self.train.amin(0)) / self.width)[:, self.numeric].numpy()]
        for place, column in enumerate(self.schema.columns):
            if not column.numeric:
                parts.append(np.eye(len(column.categories))[rows[:, place].long().numpy()])
        return np.concatenate(parts, 1)

"""One number of a learned law as a regressor: what counterfactual questions are asked of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.estimators.regressor_law import TableLaw, check_kind
from counterflow.models import AdaptedModel
from counterflow.models.fingerprints import fingerprint
from counterflow.tables import TableCodec

__all__ = ["Summary", "as_adapted_model"]


@dataclass(frozen=True)
class Summary:
    """Which number of a law is meant.

    Args:
        quantile: A level in (0, 1), or ``None`` for ``kind``.
        kind: ``"mean"``, ``"median"`` or ``"mode"``.
        target: Which target.
        draws: How many draws stand for the law of several targets.
    """

    quantile: float | None
    kind: str
    target: int
    draws: int

    @property
    def words(self) -> str:
        """The number's name in a sentence."""
        return self.kind if self.quantile is None else f"{100 * self.quantile:g}% quantile"

    def check(self, targets: int) -> None:
        """Refuse what the law does not have.

        Raises:
            ArgumentError: The level, the kind or the target does not exist.
        """
        check_kind(self.kind)
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ArgumentError(f"quantile must lie in (0, 1), got {self.quantile}. The median is 0.5.")
        if not 0 <= self.target < targets:
            raise ArgumentError(f"target must be one of 0 to {targets - 1}, got {self.target}.")

    def of(self, law: TableLaw, features: Float[Tensor, "rows features"]) -> Float[Tensor, "rows 1"]:
        """Compute it for each row, differentiable in the features where the law is (the mode is not)."""
        regression = law.regression
        if self.quantile is None and self.kind == "mode":
            return law.summary(features, "mode", draws=self.draws)[:, self.target : self.target + 1]
        level = 0.5 if self.quantile is None else self.quantile
        if regression.targets > 1:
            draws = regression.draws_alike(self.draws, features)[..., self.target]
            mean = self.quantile is None and self.kind == "mean"
            return draws.mean(1, keepdim=True) if mean else draws.quantile(level, 1).unsqueeze(1)
        if self.quantile is None and self.kind == "mean":
            return regression.points(200, features).mean(1, keepdim=True)
        return regression.quantiles([level], features)


def as_adapted_model(law: TableLaw, summary: Summary) -> AdaptedModel:
    """Put one number of a law behind the face of every model.

    It reads the user's own frames by the law's own schema; nets are known as a formula too, trees are not.
    """
    summary.check(law.regression.targets)
    codec = TableCodec(law.rows.schema)

    def values(numbers: Tensor) -> Tensor:
        return summary.of(law, law.rows.features(numbers))

    @torch.no_grad()
    def predict(frame: Any) -> np.ndarray:
        numbers = torch.from_numpy(codec.to_numbers(frame))
        return torch.cat([values(part) for part in numbers.split(1000)])[:, 0].numpy()

    smooth = not law.rows.trees and (summary.quantile is not None or summary.kind != "mode")
    return AdaptedModel(
        name=f"the {summary.words} of the FlowRegressor",
        fingerprint=fingerprint(*_parts(law), summary.words, summary.target),
        classes=None,
        predict=predict,
        formula=values if smooth else None,
        why_not=None if smooth else "its trees (or the search for a mode) have no slope.",
    )


def _parts(law: TableLaw) -> tuple[Any, ...]:
    config, tensors = law.regression.to_parts()
    return config, {f"{part}.{name}": value for part, group in tensors.items() for name, value in group.items()}

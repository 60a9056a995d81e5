"""Does the formula say what the model says? Tried on real rows before it is trusted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["StandInReport", "disagreement"]

TOLERANCE = 1e-6
TOLERANCE_FLOAT32 = 1e-4


@dataclass(frozen=True)
class StandInReport:
    """How well a stand-in answers for its model, on rows of the table that it never saw.

    Args:
        rows: How many rows that were.
        agreement: The share of them that it decides alike; for a regressor the share of the variance of the model's
            values that it explains.
        error: The mean absolute difference of the probabilities (of the values, in their own unit).
        asked: About how many rows the model was asked for the training.
        regression: Whether the model predicts values.

    Example:
        >>> StandInReport(rows=500, agreement=0.978, error=0.021, asked=20000).sentence
        'The stand-in decides 97.8% of 500 fresh rows as the model does; probabilities differ by 0.021 on average.'
    """

    rows: int
    agreement: float
    error: float
    asked: int
    regression: bool = False

    @property
    def sentence(self) -> str:
        """The report in words."""
        if self.regression:
            return (
                f"The stand-in explains {self.agreement:.1%} of the variance of the model's values on {self.rows:,} "
                f"fresh rows; values differ by {self.error:.3g} on average."
            )
        return (
            f"The stand-in decides {self.agreement:.1%} of {self.rows:,} fresh rows as the model does; probabilities "
            f"differ by {self.error:.3f} on average."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a saved folder."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "StandInReport":
        """Read what :meth:`to_dict` gave."""
        return cls(**data)


def disagreement(
    formula: Callable[[Tensor], Tensor],
    numbers: np.ndarray,
    *,
    probabilities: np.ndarray | None = None,
    values: np.ndarray | None = None,
    decided: np.ndarray | None = None,
    single: bool = False,
) -> str | None:
    """Compare a formula with the model's own answers on the same rows.

    Args:
        formula: (n, d) numbers to (n, K) logits or (n, 1) values.
        numbers: (n, d), the rows.
        probabilities: (n, K), the model's own; compared with the softmax.
        values: (n,), the model's own; compared relative to their spread.
        decided: (n,), positions of the predicted classes; compared with the arg max (of margins).
        single: The model computes in float32.

    Returns:
        ``None`` if they agree, else a sentence that says by how much they differ.
    """
    with torch.no_grad():
        ours = formula(torch.tensor(numbers, dtype=torch.float64))
    tolerance = TOLERANCE_FLOAT32 if single else TOLERANCE
    gap = 0.0
    if probabilities is not None:
        gap = _largest(torch.softmax(ours, dim=-1).numpy() - probabilities)
    if values is not None:
        gap = _largest(ours[:, 0].numpy() - values) / max(1.0, float(np.abs(values).max(initial=0.0)))
    if not gap <= tolerance:
        return f"its conversion to torch differs from the model by {gap:.1e} on real rows."
    if decided is not None and _decides_otherwise(ours, decided):
        return "it does not decide for the class with the highest score."
    return None


def _largest(differences: np.ndarray) -> float:
    return float(np.abs(differences).max(initial=0.0)) if not np.isnan(differences).any() else float("nan")


def _decides_otherwise(scores: Tensor, decided: np.ndarray) -> bool:
    chosen = scores.gather(1, torch.as_tensor(decided)[:, None])[:, 0]
    return bool((scores.amax(dim=1) - chosen > TOLERANCE).any())

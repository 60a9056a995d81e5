"""Prediction intervals that keep their promise on fresh rows: conformal correction of a learned law."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.metrics import conformal_threshold
from counterflow.regression import DensityRegression

__all__ = ["Conformal", "check_coverage", "conformal_scores", "intervals"]

_EDGE = 1e-6
_SPREAD = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class Conformal:
    """What calibration rows said.

    Args:
        scores: How far out each of them lay; no row itself is kept.
    """

    scores: Float[np.ndarray, " rows"]

    def radius(self, coverage: float) -> float:
        """How far out intervals must reach so that a fresh row lies inside with that chance."""
        return -conformal_threshold(-self.scores, 1 - coverage)


def check_coverage(coverage: float) -> None:
    """Refuse a coverage that is none.

    Raises:
        ArgumentError: It lies outside of (0, 1).
    """
    if not 0 < coverage < 1:
        raise ArgumentError(f"coverage must lie in (0, 1), got {coverage}. Nine of ten rows are 0.9.")


def conformal_scores(
    law: DensityRegression, x: Float[Tensor, "rows features"], y: Float[Tensor, "rows targets"], *, draws: int
) -> Float[np.ndarray, " rows"]:
    r"""How far out targets lie: :math:`|F(y \mid x) - 1/2|` of one; of several, the farthest, in units of the spread.

    Args:
        law: The learned law.
        x: Rows.
        y: Their targets.
        draws: How many draws of several targets say what their spread is.

    Reference:
        Chernozhukov, Wuethrich, Zhu, "Distributional conformal prediction", 2021, algorithm 1.
    """
    if law.targets == 1:
        return (law.cdf(y, x) - 0.5).abs()[:, 0].numpy()
    low, middle, high = _spread(law, x, draws)
    return _distance(y.numpy(), low, middle, high).max(1)


def intervals(
    law: DensityRegression,
    x: Float[Tensor, "rows features"],
    coverage: float,
    *,
    conformal: Conformal | None,
    draws: int,
) -> Float[np.ndarray, "rows ends targets"]:
    """Intervals of each target, (rows, 2, targets); of several targets they hold all at once.

    Args:
        law: The learned law.
        x: Rows.
        coverage: The chance to hold a fresh target.
        conformal: What calibration rows said; ``None``: the law is believed.
        draws: How many draws of several targets say what their spread is.
    """
    if law.targets == 1:
        radius = coverage / 2 if conformal is None else conformal.radius(coverage)
        if radius >= 0.5:
            return np.broadcast_to(np.array([-np.inf, np.inf])[None, :, None], (len(x), 2, 1)).copy()
        levels: Any = [max(0.5 - radius, _EDGE), min(0.5 + radius, 1 - _EDGE)]
        return law.quantiles(levels, x).unsqueeze(-1).numpy()
    low, middle, high = _spread(law, x, draws)
    if conformal is None:
        found = law.draws_alike(draws, x).numpy()
        far = _distance(found, *(part[:, None] for part in (low, middle, high)))
        radius = np.quantile(far.max(2), coverage, axis=1)[:, None]
    else:
        radius = conformal.radius(coverage)
    return np.stack([middle - radius * (middle - low), middle + radius * (high - middle)], 1)


def _spread(law: DensityRegression, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, middle, high = np.quantile(law.draws_alike(draws, x).numpy(), _SPREAD, axis=1)
    return low, middle, high


def _distance(y: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far from the middle targets lie, in units of the spread on their side."""
    return np.maximum((middle - y) / (middle - low), (y - middle) / (high - middle))

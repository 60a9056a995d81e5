"""Prediction intervals that keep their promise on fresh rows: conformal correction of a learned law."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.regression import DensityRegression

__all__ = ["Conformal", "check_coverage", "conformal_scores", "intervals"]

_EDGE = 1e-6
_INNER = 0.5 - _EDGE
_SPREAD = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False)
class Conformal:
    """What calibration rows said.

    Args:
        scores: How far out each of them lay; no row itself is kept.
    """

    scores: Float[np.ndarray, " rows"]

    def radius(self, coverage: float) -> float:
        r"""How far out intervals must reach so that a fresh row lies inside with that chance.

        .. math:: s_{(k)}, \quad k = \lceil c (n + 1) \rceil, \qquad \infty \text{ if } k > n

        Example:
            >>> calibrated = Conformal(np.arange(1.0, 10.0))
            >>> calibrated.radius(0.8), calibrated.radius(0.9), calibrated.radius(0.91)
            (8.0, 9.0, inf)
        """
        rank = math.ceil(round(coverage * (len(self.scores) + 1), 9))
        return float(np.sort(self.scores)[rank - 1]) if rank <= len(self.scores) else math.inf


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

    Beyond the outermost millionths of a law F says nothing more, so that one target's distance from there is added, in
    units of the spread.

    Args:
        law: The learned law.
        x: Rows.
        y: Their targets.
        draws: How many draws of several targets say what their spread is.

    Reference:
        Chernozhukov, Wuethrich, Zhu, "Distributional conformal prediction", 2021, algorithm 1.
    """
    if law.targets == 1:
        inner = (law.cdf(y, x) - 0.5).abs().clamp(max=_INNER)
        first, low, middle, high, last = _edges(law, x)
        beyond = torch.maximum((first - y) / (middle - low), (y - last) / (high - middle)).clamp(min=0)
        return (inner + beyond)[:, 0].numpy()
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
        inner = min(radius, _INNER)
        found = law.quantiles([0.5 - inner, 0.5 + inner], x)
        if radius > inner and conformal is not None:
            _, low, middle, high, _ = _edges(law, x)
            found = found + (radius - inner) * torch.cat([low - middle, high - middle], 1)
        return found.unsqueeze(-1).numpy()
    low, middle, high = _spread(law, x, draws)
    if conformal is None:
        found = law.draws_alike(draws, x).numpy()
        far = _distance(found, *(part[:, None] for part in (low, middle, high)))
        radius = np.quantile(far.max(2), coverage, axis=1)[:, None]
    else:
        radius = conformal.radius(coverage)
    return np.stack([middle - radius * (middle - low), middle + radius * (high - middle)], 1)


def _edges(law: DensityRegression, x: Tensor) -> tuple[Tensor, ...]:
    """The ends of what is told apart by F, and the spread in between, a column each."""
    return law.quantiles([_EDGE, *_SPREAD, 1 - _EDGE], x).split(1, 1)


def _spread(law: DensityRegression, x: Tensor, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, middle, high = np.quantile(law.draws_alike(draws, x).numpy(), _SPREAD, axis=1)
    return low, middle, high


def _distance(y: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far from the middle targets lie, in units of the spread on their side."""
    return np.maximum((middle - y) / (middle - low), (y - middle) / (high - middle))

"""Are numbers in (0, 1) uniform? Three tests of it, and the band in which their distribution function stays."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError

__all__ = ["EcdfBand", "Uniformity", "ecdf_band", "pvalue_text"]

_MOST_POINTS = 100


@dataclass(frozen=True, eq=False)
class EcdfBand:
    """Where the empirical distribution function of uniform numbers stays, at all points together.

    Args:
        points: (k,), in (0, 1): where it is looked at.
        low: (k,), the least share of numbers at or below each point.
        high: (k,), the greatest.
        confidence: The chance that all shares stay within, to the size of one step of the counts.
    """

    points: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    confidence: float


@dataclass(frozen=True, eq=False)
class Uniformity:
    """Numbers that should be uniform and independent, and what tests say of them.

    Args:
        values: (rows,), in [0, 1].

    Raises:
        DataError: If there is no number, or one outside [0, 1].

    Example:
        >>> even = Uniformity((torch.arange(200) + 0.5) / 200)
        >>> [round(p, 2) for p in (even.band_pvalue, even.ks_pvalue, even.chi_square_pvalue())]
        [1.0, 1.0, 1.0]
        >>> round(Uniformity(torch.linspace(0.0, 0.8, 200)).band_pvalue, 6)
        0.0
    """

    values: Float[Tensor, " rows"]

    def __post_init__(self) -> None:
        if not len(self.values) or not ((self.values >= 0) & (self.values <= 1)).all():
            raise DataError(
                "values must be at least one number and all must lie in [0, 1], NaN is none. Check the draws."
            )

    @property
    def band_pvalue(self) -> float:
        """The chance that uniform numbers leave as unlikely a band as these do; sees the ends as well as the middle."""
        n, points = len(self.values), _points(len(self.values))
        tails = _tails(n, points)
        counts = (self._ecdf(points) * n).round().astype(int)
        least = float(tails[np.arange(points), counts].min()) * (1 + 1e-9)  # equal tails differ in their last digit
        return 1.0 - _chance_within(n, tails, least)

    @property
    def ks_distance(self) -> float:
        """Kolmogorov's and Smirnov's distance: the farthest that the distribution function is from the diagonal."""
        ordered, n = self.values.double().sort().values, len(self.values)
        steps = torch.arange(n + 1, dtype=torch.float64) / n
        return float(torch.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())

    @property
    def ks_pvalue(self) -> float:
        r"""The chance of a larger distance, by :math:`2 \sum_k (-1)^{k-1} e^{-2 k^2 z^2}` with Vrbik's correction."""
        n = len(self.values)
        z = self.ks_distance * math.sqrt(n)
        z += 1 / (6 * math.sqrt(n)) + (z - 1) / (4 * n)
        if z < 0.2:  # the series would need many terms, and the chance is 1 to twelve digits
            return 1.0
        return min(max(2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * z) ** 2) for k in range(1, 101)), 0.0), 1.0)

    def chi_square_pvalue(self, bins: int | None = None) -> float:
        """Pearson's test on a histogram of even bins.

        Args:
            bins: How many; if not given, as many that 10 numbers fall into each, but from 2 to 20.
        """
        n = len(self.values)
        bins = min(max(n // 10, 2), 20) if bins is None else bins
        counts = torch.histc(self.values.double(), bins, 0.0, 1.0)
        statistic = (counts - n / bins).square().sum() * bins / n
        return float(torch.special.gammaincc(torch.tensor((bins - 1) / 2).double(), statistic / 2))

    @property
    def says(self) -> str:
        """In which way the numbers are not uniform, if the band's p-value is at most 0.05."""
        if self.band_pvalue > 0.05:
            return "uniform as far as can be seen"
        away = self.values.double() - 0.5
        n = len(away)
        shift, spread = (
            float(away.mean()) * math.sqrt(12 * n),
            float((away.square() - 1 / 12).mean()) * math.sqrt(180 * n),
        )
        if abs(shift) > abs(spread):
            return "too high" if shift > 0 else "too low"
        return "too often at the ends" if spread > 0 else "too often in the middle"

    def _ecdf(self, points: int) -> np.ndarray:
        at = np.arange(1, points + 1) / (points + 1)
        return np.searchsorted(np.sort(self.values.double().numpy()), at, side="right") / len(self.values)


def ecdf_band(n: int, *, confidence: float = 0.95) -> EcdfBand:
    r"""The band in which the distribution function of ``n`` uniform numbers stays, at up to 100 points together.

    .. math:: P\left( \forall k: \; \mathrm{Bin}_{\gamma/2}(n, z_k) \le n \hat F(z_k)
        \le \mathrm{Bin}_{1-\gamma/2}(n, z_k) \right) \ge 1 - \alpha

    with the largest :math:`\gamma`. The chance is computed, not simulated: counts in even bins are Poisson numbers
    whose sum is known, so that each step from point to point is a convolution.

    Args:
        n: How many numbers.
        confidence: :math:`1 - \alpha`, in (0, 1).

    Returns:
        The band.

    Raises:
        ArgumentError: If ``confidence`` is outside (0, 1).

    Reference:
        Säilynoja, Bürkner, Vehtari, "Graphical test for discrete uniformity and its applications in goodness-of-fit
        evaluation and multiple sample comparison", 2022, section 2; Moscovich, Nadler, "Fast calculation of boundary
        crossing probabilities for Poisson processes", 2017.

    Example:
        >>> band = ecdf_band(100)
        >>> float(band.low[49].round(2)), float(band.high[49].round(2))
        (0.36, 0.64)
    """
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence must lie in (0, 1), got {confidence}.")
    points = _points(n)
    tails = _tails(n, points)
    low, high = math.log(1e-12), math.log(0.5)
    for _ in range(40):  # to 1e-11 of the threshold's logarithm
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_within(n, tails, math.exp(middle)) >= confidence else (low, middle)
    inside = tails > math.exp(low)
    at = np.arange(1, points + 1) / (points + 1)
    return EcdfBand(at, inside.argmax(1) / n, (n - inside[:, ::-1].argmax(1)) / n, confidence)


def pvalue_text(p: float) -> str:
    """A p-value in words; below a billionth its digits are those of rounding.

    Example:
        >>> pvalue_text(0.0312), pvalue_text(1e-15)
        ('p = 0.031', 'p < 1e-9')
    """
    return f"p = {p:.2g}" if p >= 1e-9 else "p < 1e-9"


def _points(n: int) -> int:
    """How many points split (0, 1) evenly, the ends left out."""
    return min(max(n, 2), _MOST_POINTS) - 1


@lru_cache(maxsize=8)
def _tails(n: int, points: int) -> np.ndarray:
    """The smaller tail of each count from 0 to n at each point: the chance of it or less, or of it or more."""
    counts = torch.arange(n + 1, dtype=torch.float64)
    z = (torch.arange(1, points + 1, dtype=torch.float64) / (points + 1))[:, None]
    choose = math.lgamma(n + 1) - torch.lgamma(counts + 1) - torch.lgamma(n - counts + 1)
    mass = (choose + counts * z.log() + (n - counts) * torch.log1p(-z)).exp()
    return torch.minimum(mass.cumsum(1), mass.flip(1).cumsum(1).flip(1)).numpy()


def _chance_within(n: int, tails: np.ndarray, threshold: float) -> float:
    """The chance that the tail of the count is above a threshold at all points."""
    inside = tails > threshold
    if not inside.any(1).all():
        return 0.0
    lows, highs = inside.argmax(1), n - inside[:, ::-1].argmax(1)
    steps = _poisson(np.arange(n + 1), n / (len(tails) + 1))
    chances, start = np.ones(1), 0
    for low, high in zip([*lows, n], [*highs, n], strict=True):
        moved = np.convolve(chances, steps[: high - start + 1])
        chances, start = moved[low - start : high - start + 1], low
    return float(min(chances[0] / _poisson(np.array([n]), float(n))[0], 1.0))


def _poisson(counts: np.ndarray, rate: float) -> np.ndarray:
    return np.exp(counts * math.log(rate) - rate - torch.lgamma(torch.as_tensor(counts + 1.0)).numpy())

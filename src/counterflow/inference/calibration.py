"""Simulation-based calibration: where true parameters stand among the draws of their own posteriors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import DataError, ShapeError
from counterflow.inference.uniformity import Uniformity, pvalue_text
from counterflow.metrics import c2st

__all__ = ["RankCalibration", "TestQuantity", "check_draws", "rank_among", "simulation_based_calibration"]

TestQuantity: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]
"""From points ``(rows, n, parameters)`` and the data ``(rows, ...)`` they belong to, to numbers ``(rows, n)``."""


@dataclass(frozen=True, eq=False)
class RankCalibration:
    """Ranks of true parameters among their draws, and what they say of the posterior.

    Args:
        names: What is ranked: the parameters, then the test quantities.
        ranks: ``(rows, quantities)``: how many draws lie below the truth, ties broken at random, from 0 to ``count``.
        levels: ``(rows, quantities)``: the same in (0, 1), spread evenly within the step of each rank.
        count: How many draws each truth is ranked among.
        prior_c2st: How well one draw of each posterior can be told from draws of the prior, see
            :func:`~counterflow.metrics.c2st`; about 0.5 if all posteriors together are the prior, as they must be.
    """

    names: tuple[str, ...]
    ranks: Int[Tensor, "rows quantities"]
    levels: Float[Tensor, "rows quantities"]
    count: int
    prior_c2st: float

    def uniformity(self, name: str) -> Uniformity:
        """The levels of one quantity, with their tests.

        Raises:
            DataError: If there is no such quantity.
        """
        if name not in self.names:
            raise DataError(f"name must be one of {', '.join(self.names)}, got {name!r}.")
        return Uniformity(self.levels[:, self.names.index(name)])

    @property
    def ks_pvalues(self) -> dict[str, float]:
        """Of Kolmogorov's and Smirnov's test, for each quantity."""
        return {name: self.uniformity(name).ks_pvalue for name in self.names}

    @property
    def chi_square_pvalues(self) -> dict[str, float]:
        """Of Pearson's test on the histogram, for each quantity."""
        return {name: self.uniformity(name).chi_square_pvalue() for name in self.names}

    @property
    def band_pvalues(self) -> dict[str, float]:
        """Of the band in which the distribution function should stay, for each quantity."""
        return {name: self.uniformity(name).band_pvalue for name in self.names}

    def ranks_c2st(self, *, random_state: int = 0) -> dict[str, float]:
        """How well the ranks of each quantity can be told from as many uniform numbers, by boosted trees.

        Args:
            random_state: The seed of the uniform numbers and of the trees.
        """
        even = torch.rand(len(self.levels), 1, generator=torch.Generator().manual_seed(random_state)).double()
        columns = self.levels.split(1, dim=1)
        found = [c2st(even, column, classifier="boosting", random_state=random_state) for column in columns]
        return dict(zip(self.names, found, strict=True))

    @property
    def pvalue(self) -> float:
        """One for all quantities: the least of the band's p-values, times how many there are (Bonferroni)."""
        return min(1.0, min(self.band_pvalues.values()) * len(self.names))

    @property
    def says(self) -> str:
        """What can be concluded, and what can not."""
        worst = {name: p for name, p in self.band_pvalues.items() if p * len(self.names) <= 0.05}
        if not worst:
            return (
                f"The ranks of {len(self.names)} quantities among {self.count} draws are uniform as far as "
                f"{len(self.levels)} rows can show. So would they be if every posterior were the prior."
            )
        found = [f"{name} ({self.uniformity(name).says}, {pvalue_text(p)})" for name, p in worst.items()]
        return f"The posterior is wrong: the truth does not stand evenly among its draws for {'; '.join(found)}."


def simulation_based_calibration(
    draws: Float[Tensor, "rows count parameters"],
    theta: Float[Tensor, "rows parameters"],
    *,
    x: Tensor | None = None,
    quantities: Mapping[str, TestQuantity] | None = None,
    names: Sequence[str] | None = None,
    generator: torch.Generator | None = None,
) -> RankCalibration:
    r"""Rank true parameters among draws of the posteriors of data simulated from them.

    .. math:: \theta_i \sim p(\theta), \quad x_i \sim p(x \mid \theta_i), \quad
        r_i = \#\{ l : f(\theta_i^{(l)}, x_i) < f(\theta_i, x_i) \} \;\sim\; \mathrm{Uniform}\{0, \dots, L\}

    if the draws are independent and of the exact posterior. A posterior too narrow has the truth too often at the ends
    of its draws, one too wide too often in the middle, a shifted one on one side.

    **What it cannot see.** It asks for one thing only, and other posteriors than the exact one have it: ranks of
    parameters are uniform too if every posterior is the prior, which learned nothing from the data, and if correlations
    are ignored. Test quantities that look at the data, the log-likelihood first of all, see both. And whatever is
    found holds on average over the prior, not at one observation: see
    :func:`~counterflow.inference.fit_local_c2st` for that.

    Args:
        draws: Independent draws of each posterior; chains must be thinned first.
        theta: The true parameters: draws of the prior.
        x: ``(rows, ...)``, the data simulated from ``theta``, for test quantities that look at them.
        quantities: Names and functions ranked beside the parameters: each from points ``(rows, n, parameters)`` and
            ``x`` to numbers ``(rows, n)``.
        names: Of the parameters; ``theta_1`` and so on if not given.
        generator: Breaks ties, and spreads ranks evenly within their steps.

    Returns:
        The ranks and their tests.

    Raises:
        ShapeError: If the shapes do not fit together.
        DataError: If a number is NaN.

    Reference:
        Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration", 2018, theorem 1;
        Modrák et al., "Simulation-Based Calibration Checking for Bayesian Computation: The Choice of Test Quantities
        Shapes Sensitivity", 2023.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> theta = torch.randn(500, 1, generator=g)
        >>> x = theta + torch.randn(500, 1, generator=g)
        >>> draws = x[:, None] / 2 + 0.5**0.5 * torch.randn(500, 99, 1, generator=g)
        >>> simulation_based_calibration(draws, theta, generator=g).uniformity("theta_1").says
        'uniform as far as can be seen'
        >>> narrow = simulation_based_calibration(x[:, None] / 2 + (draws - x[:, None] / 2) / 2, theta, generator=g)
        >>> narrow.uniformity("theta_1").says
        'too often at the ends'
    """
    check_draws(draws, theta)
    names = tuple(names or (f"theta_{k + 1}" for k in range(theta.shape[1])))
    if len(names) != theta.shape[1]:
        raise ShapeError(f"names must be {theta.shape[1]}, one for each parameter, got {len(names)}.")
    own, true = [draws], [theta]
    for quantity in (quantities or {}).values():
        own.append(quantity(draws, x).unsqueeze(-1))
        true.append(quantity(theta.unsqueeze(1), x))
    ranks, levels = rank_among(torch.cat(own, -1), torch.cat(true, -1), generator=generator)
    prior = c2st(theta, draws[:, 0], classifier="logistic")
    return RankCalibration((*names, *(quantities or {})), ranks, levels, draws.shape[1], prior)


def rank_among(
    draws: Float[Tensor, "rows count quantities"],
    truth: Float[Tensor, "rows quantities"],
    *,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "rows quantities"], Float[Tensor, "rows quantities"]]:
    """How many draws lie below the truth, ties broken at random, and the same as a number in (0, 1).

    Args:
        draws: What is ranked among.
        truth: What is ranked.
        generator: Breaks the ties, and places the second within the step of the first.

    Returns:
        Ranks from 0 to count, and levels, uniform on (0, 1) if the truth is one more draw.

    Raises:
        DataError: If a number is NaN.

    Example:
        >>> rank_among(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2.5]]))[0]
        tensor([[2]])
    """
    if draws.isnan().any() or truth.isnan().any():
        raise DataError("What is ranked must not be NaN. Leave out the rows whose posterior failed, and count them.")
    truth = truth.unsqueeze(1)
    below, equal = (draws < truth).sum(1), (draws == truth).sum(1)
    first = torch.rand(below.shape, generator=generator, dtype=torch.float64)
    second = torch.rand(below.shape, generator=generator, dtype=torch.float64)
    ranks = below + (first * (equal + 1)).floor().long()
    return ranks, (ranks + second) / (draws.shape[1] + 1)


def check_draws(draws: Tensor, theta: Tensor) -> None:
    """Check that draws and true parameters belong together.

    Raises:
        ShapeError: If they do not.
    """
    if draws.dim() != 3 or theta.dim() != 2 or (draws.shape[0], draws.shape[2]) != tuple(theta.shape):
        raise ShapeError(
            "draws must have shape (rows, count, parameters) and theta (rows, parameters), got "
            f"{tuple(draws.shape)} and {tuple(theta.shape)}. Posterior.sample_each gives such draws."
        )

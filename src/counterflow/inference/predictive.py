"""Posterior predictive checks: does what the posterior simulates look like what was observed?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.inference.typicality import check_typicality

__all__ = ["PredictiveCheck", "posterior_predictive_check"]


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Where an observation stands among simulations from its own posterior.

    Args:
        names: Of the statistics.
        simulated: ``(count, statistics)``, one simulation for each draw of the posterior.
        observed: ``(statistics,)``.
        tails: ``(statistics,)``: twice the share of simulations beyond the observation on its side, at most 1.
        pvalue: The chance that a simulation is as far from their mean, in units of their covariance.
    """

    names: tuple[str, ...]
    simulated: Float[Tensor, "count statistics"]
    observed: Float[Tensor, " statistics"]
    tails: Float[Tensor, " statistics"]
    pvalue: float

    @property
    def says(self) -> str:
        """Which statistics do not fit, if any, and how little it means if all do."""
        worst = [k for k in self.tails.argsort().tolist() if self.tails[k] * len(self.names) <= 0.05]
        if not worst and self.pvalue > 0.05:
            return (
                "The observation is as the posterior's simulations are. A posterior much too wide would show the same."
            )
        found = "; ".join(f"{self.names[k]} ({self.tails[k]:.2g})" for k in worst) or "none alone"
        return (
            f"The observation is not as the posterior's simulations are (p = {self.pvalue:.2g} for all together). "
            f"Statistics that do not fit: {found}."
        )


def posterior_predictive_check(
    simulated: Float[Tensor, "count statistics"],
    observed: Float[Tensor, " _"],
    *,
    names: Sequence[str] | None = None,
) -> PredictiveCheck:
    r"""Compare statistics of an observation with those of simulations from draws of its posterior.

    .. math:: \theta_l \sim q(\theta \mid x_o), \quad x_l \sim p(x \mid \theta_l), \quad
        t = \min\left(1, \tfrac{2}{L + 1} \min\left( 1 + \#\{x_l \le x_o\}, \; 1 + \#\{x_l \ge x_o\} \right) \right)

    **What it cannot see.** The posterior has seen the observation, so that the tails are not uniform even if everything
    is right: they are small less often than they say. A posterior too narrow, or one that ignores correlations, often
    passes. It finds posteriors that are in the wrong place, and simulators that cannot make the observation.

    Args:
        simulated: Statistics (or the data themselves) of one simulation for each draw of the posterior.
        observed: The same statistics of the observation.
        names: Of the statistics; ``x_1`` and so on if not given.

    Returns:
        The tails, and a p-value for all statistics together (:func:`check_typicality` by Mahalanobis' distance).

    Raises:
        ShapeError: If the number of statistics or names differs.
        DataError: If a number is NaN or infinite, or there are fewer than 4 simulations.

    Reference:
        Gelman, Meng, Stern, "Posterior predictive assessment of model fitness via realized discrepancies", 1996.

    Example:
        >>> simulated = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> found = posterior_predictive_check(simulated, torch.tensor([0.3, 4.5]), names=["mean", "spread"])
        >>> found.says.split(". ")[1]
        'Statistics that do not fit: spread (0.004).'
    """
    if simulated.shape[1] != len(observed):
        raise ShapeError(f"observed must have {simulated.shape[1]} statistics, as simulated has, got {len(observed)}.")
    names = tuple(names or (f"x_{k + 1}" for k in range(len(observed))))
    if len(names) != len(observed):
        raise ShapeError(f"names must be {len(observed)}, one for each statistic, got {len(names)}.")
    together = check_typicality(simulated, observed.unsqueeze(0), score="mahalanobis")
    below, above = (simulated <= observed).sum(0), (simulated >= observed).sum(0)
    tails = (2 * (1 + torch.minimum(below, above)) / (len(simulated) + 1)).clamp(max=1.0)
    return PredictiveCheck(names, simulated, observed, tails, float(together.pvalues))

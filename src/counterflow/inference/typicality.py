"""Is an observation typical of what the simulator makes? If not, a posterior learned from simulations says nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics import conformal_pvalue

__all__ = ["Strangeness", "Typicality", "check_typicality"]

Strangeness: TypeAlias = Literal["neighbors", "mahalanobis", "kernel"]
_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Typicality:
    """How strange observations are among simulations.

    Args:
        pvalues: ``(m,)``, the chance that a simulation is as strange as each observation.
        score: By which measure.
        count: How many simulations they were ranked among.
    """

    pvalues: Float[Tensor, " m"]
    score: Strangeness
    count: int

    def warning(self, level: float = 0.05) -> str:
        """A sentence if observations are too strange to be of the simulator, else nothing.

        Args:
            level: The p-value, per observation and before a division by how many there are, at which to warn.
        """
        strange = int((self.pvalues <= level / len(self.pvalues)).sum())
        if not strange:
            return ""
        return (
            f"{strange} of {len(self.pvalues)} observations are stranger than simulations are (by {self.score}, least "
            f"p-value {float(self.pvalues.min()):.2g} among {self.count}): the simulator or its prior does not make "
            "such data, and a posterior learned from simulations says nothing about them. Look at what differs first."
        )


def check_typicality(
    simulated: Float[Tensor, "n features"],
    observed: Float[Tensor, "m _"],
    *,
    score: Strangeness = "neighbors",
    neighbors: int = 10,
) -> Typicality:
    r"""Rank the strangeness of observations among that of simulations, one p-value for each, exact at any size.

    .. math:: p = \frac{1 + \#\{ i \in C : s(x_i) \ge s(x_o) \}}{|C| + 1}

    with the score learned from one half of the simulations and the other half C to rank among: if the observation is a
    draw of the prior predictive, p is at most ``a`` with a chance of at most ``a``. A large p is no proof: an
    observation may be typical as a whole and come from elsewhere all the same. Look in the raw space of small data, or
    in the space of the embedding that the posterior sees.

    Args:
        simulated: Independent draws of the prior predictive, raw or embedded. Each feature is put on unit scale.
        observed: The observations, in the same space.
        score: ``"neighbors"``: the mean distance to the nearest simulations; ``"mahalanobis"``: the distance to their
            mean in units of their covariance; ``"kernel"``: the squared maximum mean discrepancy between the one
            observation and the simulations, with a Gaussian kernel of median width.
        neighbors: How many of the nearest.

    Returns:
        The p-values, and the warning they give reason to.

    Raises:
        ShapeError: If the features differ.
        DataError: If a number is NaN or infinite, or there are fewer than 4 simulations.

    Reference:
        Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005, section 2.2; Schmitt et al.,
        "Detecting Model Misspecification in Amortized Bayesian Inference with Neural Networks", 2023, section 3.

    Example:
        >>> simulated = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
        >>> found = check_typicality(simulated, torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 9.0]]))
        >>> (found.pvalues > 0.05).tolist()
        [True, False]
    """
    if simulated.shape[1] != observed.shape[1]:
        raise ShapeError(f"observed must have {simulated.shape[1]} features, got {observed.shape[1]}.")
    if len(simulated) < 4 or not (simulated.isfinite().all() and observed.isfinite().all()):
        raise DataError("check_typicality needs 4 simulations or more, all finite, and finite observations.")
    learned, ranked = simulated[0::2].double(), simulated[1::2].double()
    scale = learned.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    strange = _score(learned / scale, score, min(neighbors, len(learned)))
    scores, observed_scores = strange(ranked / scale), strange(observed.double() / scale)
    pvalues = conformal_pvalue(-scores.numpy(), -observed_scores.numpy())
    return Typicality(torch.as_tensor(pvalues), score, len(ranked))


def _score(learned: Tensor, score: Strangeness, neighbors: int) -> Callable[[Tensor], Tensor]:
    """How strange points are, seen from the learned ones."""
    if score == "mahalanobis":
        away = learned - learned.mean(0)
        precision = torch.linalg.pinv(away.T @ away / len(away), hermitian=True, rtol=1e-10)
        return lambda points: ((points - learned.mean(0)) @ precision * (points - learned.mean(0))).sum(1)
    if score == "neighbors":
        return lambda points: _by_distance(
            points, learned, lambda d: d.topk(neighbors, 1, largest=False).values.mean(1)
        )
    if score == "kernel":
        width = torch.pdist(learned[:1000]).median()  # minus twice the mean kernel is what of the MMD depends on points
        return lambda points: _by_distance(points, learned, lambda d: -2 * (-(d / width).square() / 2).exp().mean(1))
    raise ArgumentError(f"score must be 'neighbors', 'mahalanobis' or 'kernel', got {score!r}.")


def _by_distance(points: Tensor, learned: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    parts = points.split(max(1, _AT_ONCE // len(learned)))
    return torch.cat([reduce(torch.cdist(part, learned)) for part in parts])

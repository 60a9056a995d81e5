r"""The terms of a counterfactual objective, one pure function each.

PPCEF (Wielopolski, Furman, Stefanowski, Zieba: "Probabilistically Plausible Counterfactual Explanations with
Normalizing Flows", ECAI 2024, arXiv 2405.17640) minimizes, for every row on its own,

.. math:: d(x, x_0) + \lambda \left[ \ell_{\mathrm{valid}}(x, y') + \max(\delta - \log p(x \mid y'), 0) \right]

Here a term that must not be positive is a *gap*: signed, at most zero where the row is good enough. The objective
takes the positive part of each, its hinge. Every function takes a batch of rows and returns one number per row.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Terms", "density_gap", "lp_distance", "probability_gap", "range_gap", "score_gap"]


class Terms(NamedTuple):
    """The terms of the objective for a batch of rows.

    ``distance`` is zero or above; ``validity`` is the gap to the wished prediction, ``shortfall`` has a row for the gap
    to the density threshold under each flow of an ensemble, and ``links`` is the gap to rules between columns, if any.
    """

    distance: Float[Tensor, " rows"]
    validity: Float[Tensor, " rows"]
    shortfall: Float[Tensor, "members rows"]
    links: Float[Tensor, " rows"] | None = None

    @property
    def gaps(self) -> Float[Tensor, "gaps rows"]:
        """All gaps, validity first."""
        links = () if self.links is None else (self.links[None],)
        return torch.cat((self.validity[None], self.shortfall, *links))

    @property
    def violation(self) -> Float[Tensor, " rows"]:
        """The sum of the hinges: that of validity, the mean one of the flows, and that of rules between columns."""
        hinges = torch.relu(self.validity) + torch.relu(self.shortfall).mean(0)
        return hinges if self.links is None else hinges + torch.relu(self.links)

    @property
    def feasible(self) -> Tensor:
        """Where no gap is positive."""
        return (self.gaps <= 0).all(0)

    def total(self, weight: float) -> Float[Tensor, " rows"]:
        """The objective: distance plus ``weight`` times the hinges."""
        return self.distance + weight * self.violation


def lp_distance(
    delta: Float[Tensor, "rows columns"], cost: Float[Tensor, " columns"], *, norm: float
) -> Float[Tensor, " rows"]:
    r"""Cost-weighted length of a change: :math:`(\sum_j |c_j \Delta_j|^p)^{1/p}`.

    Args:
        delta: The change in standardized units; 1 stands for a switched category.
        cost: What a unit of change costs in each column, above zero.
        norm: The exponent p, above zero; below one the result is no metric, but rewards few changed columns.

    Returns:
        One length per row; its gradient is zero, not undefined, where nothing changes.

    Example:
        >>> lp_distance(torch.tensor([[3.0, 4.0]]), torch.ones(2), norm=2.0)
        tensor([5.])
    """
    size = (delta * cost).abs()
    if norm == 1.0:
        return size.sum(-1)
    tiny = torch.finfo(delta.dtype).eps
    changed = size > 0
    powers = torch.where(changed, size.clamp(min=tiny), torch.ones_like(size)).pow(norm) * changed
    total = powers.sum(-1)
    moved = total > 0
    return torch.where(moved, torch.where(moved, total, torch.ones_like(total)).pow(1 / norm), total)


def score_gap(
    logits: Float[Tensor, "rows classes"], target: Int[Tensor, " rows"], *, margin: float
) -> Float[Tensor, " rows"]:
    r"""By how much the target's log-odds miss a lead: :math:`\max_{k \ne t} l_k + m - l_t`.

    For two classes it is positive where :func:`probability_gap` is (with the margin translated); unlike that one it
    keeps its slope where the model is very sure of the wrong class.

    Args:
        logits: Unnormalized log-probabilities.
        target: Index of the desired class.
        margin: The lead to reach, in log-odds, zero or above.

    Example:
        >>> score_gap(torch.tensor([[2.0, 0.5]]), torch.tensor([1]), margin=0.25)
        tensor([1.7500])
    """
    wanted, rival = _split_target(logits, target)
    return rival + margin - wanted


def probability_gap(
    probabilities: Float[Tensor, "rows classes"], target: Int[Tensor, " rows"], *, margin: float
) -> Float[Tensor, " rows"]:
    r"""The paper's validity term before its hinge: :math:`\max_{k \ne t} p_k + m - p_t`.

    Args:
        probabilities: Class probabilities.
        target: Index of the desired class.
        margin: The lead to reach, a difference of probabilities in [0, 1).

    Reference:
        arXiv 2405.17640, the validity loss for several classes; for two classes the paper's form
        ``max(0.5 + eps - p_t, 0)`` vanishes at the same rows with ``m = 2 eps``.

    Example:
        >>> probability_gap(torch.tensor([[0.75, 0.25]]), torch.tensor([1]), margin=0.0)
        tensor([0.5000])
    """
    wanted, rival = _split_target(probabilities, target)
    return rival + margin - wanted


def range_gap(
    value: Float[Tensor, " rows"], low: Float[Tensor, " rows"], high: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """By how much a number (a probability, a prediction) misses an interval; open ends are infinite.

    Example:
        >>> range_gap(torch.tensor([0.5, 0.75]), torch.tensor([0.7, 0.5]), torch.tensor([1.0, 1.0]))
        tensor([ 0.2000, -0.2500])
    """
    return torch.maximum(low - value, value - high)


def density_gap(
    log_density: Float[Tensor, "members rows"], threshold: Float[Tensor, " rows"]
) -> Float[Tensor, "members rows"]:
    r"""How many nats each flow misses to the threshold: :math:`\delta - \log p_k(x \mid y')`.

    Args:
        log_density: Natural log-densities under the desired class, one row per flow of an ensemble.
        threshold: The log-density to reach.

    Reference:
        arXiv 2405.17640, the plausibility loss before its hinge.

    Example:
        >>> density_gap(torch.tensor([[-3.0], [-1.0]]), torch.tensor([-2.0]))
        tensor([[ 1.],
                [-1.]])
    """
    return threshold - log_density


def _split_target(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The score of each row's target class, and the best of its other classes."""
    index = target[:, None]
    return scores.gather(1, index)[:, 0], scores.scatter(1, index, -torch.inf).amax(1)

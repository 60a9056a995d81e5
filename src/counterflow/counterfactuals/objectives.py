r"""The terms of a counterfactual objective, one pure function each.

PPCEF (Wielopolski, Furman, Stefanowski, Zieba: "Probabilistically Plausible Counterfactual Explanations with
Normalizing Flows", ECAI 2024, arXiv 2405.17640) minimizes, for every row on its own,

.. math:: d(x, x_0) + \lambda \left[ \ell_{\mathrm{valid}}(x, y') + \max(\delta - \log p(x \mid y'), 0) \right]

Every function takes a batch of rows and returns one number per row, zero or above; both hinges are exactly zero
where the row is good enough.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Terms", "density_shortfall", "lp_distance", "probability_hinge", "range_hinge", "score_hinge"]


class Terms(NamedTuple):
    """The three terms of the objective for a batch of rows, each of shape ``(rows,)``."""

    distance: Float[Tensor, " rows"]
    validity: Float[Tensor, " rows"]
    shortfall: Float[Tensor, " rows"]

    def total(self, weight: float) -> Float[Tensor, " rows"]:
        """Distance plus ``weight`` times both hinges."""
        return self.distance + weight * (self.validity + self.shortfall)


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


def score_hinge(
    logits: Float[Tensor, "rows classes"], target: Int[Tensor, " rows"], *, margin: float
) -> Float[Tensor, " rows"]:
    r"""How far the target's log-odds are from leading by a margin: :math:`\max(\max_{k \ne t} l_k + m - l_t, 0)`.

    For two classes it vanishes where :func:`probability_hinge` does (with the margin translated); unlike that one it
    keeps its slope where the model is very sure of the wrong class.

    Args:
        logits: Unnormalized log-probabilities.
        target: Index of the desired class.
        margin: The lead to reach, in log-odds, zero or above.

    Example:
        >>> score_hinge(torch.tensor([[2.0, 0.5]]), torch.tensor([1]), margin=0.25)
        tensor([1.7500])
    """
    wanted, rival = _split_target(logits, target)
    return torch.relu(rival + margin - wanted)


def probability_hinge(
    probabilities: Float[Tensor, "rows classes"], target: Int[Tensor, " rows"], *, margin: float
) -> Float[Tensor, " rows"]:
    r"""The paper's validity hinge: :math:`\max(\max_{k \ne t} p_k + m - p_t, 0)`.

    Args:
        probabilities: Class probabilities.
        target: Index of the desired class.
        margin: The lead to reach, a difference of probabilities in [0, 1).

    Reference:
        arXiv 2405.17640, the validity loss for several classes; for two classes the paper's form
        ``max(0.5 + eps - p_t, 0)`` vanishes at the same rows with ``m = 2 eps``.

    Example:
        >>> probability_hinge(torch.tensor([[0.75, 0.25]]), torch.tensor([1]), margin=0.0)
        tensor([0.5000])
    """
    wanted, rival = _split_target(probabilities, target)
    return torch.relu(rival + margin - wanted)


def range_hinge(
    value: Float[Tensor, " rows"], low: Float[Tensor, " rows"], high: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    """Distance of a number (a probability, a prediction) from an interval; open ends are infinite.

    Example:
        >>> range_hinge(torch.tensor([0.5, 0.9]), torch.tensor([0.7, 0.7]), torch.tensor([1.0, 0.8]))
        tensor([0.2000, 0.1000])
    """
    return torch.relu(low - value) + torch.relu(value - high)


def density_shortfall(
    log_density: Float[Tensor, "*members rows"], threshold: Float[Tensor, " rows"]
) -> Float[Tensor, " rows"]:
    r"""How many nats are missing to the threshold: :math:`\max(\delta - \log p(x \mid y'), 0)`.

    With several members the shortfalls are averaged: it is zero exactly where the lowest density reaches the threshold.

    Args:
        log_density: Natural log-densities under the desired class, one row per member of an ensemble.
        threshold: The log-density to reach.

    Reference:
        arXiv 2405.17640, the plausibility loss.

    Example:
        >>> density_shortfall(torch.tensor([[-3.0], [-1.0]]), torch.tensor([-2.0]))
        tensor([0.5000])
    """
    missing = torch.relu(threshold - log_density)
    return missing if missing.dim() == 1 else missing.mean(0)


def _split_target(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The score of each row's target class, and the best of its other classes."""
    index = target[:, None]
    return scores.gather(1, index)[:, 0], scores.scatter(1, index, -torch.inf).amax(1)

r"""Hidden states behind the counts of pairs of cells: a start of great generality that does not grow with the series.

Consecutive observations fall into cells m and n with the chances :math:`Q = P S P^\top`, where :math:`P_{mi}` is what
state i emits into cell m and :math:`S_{ij}` how often state j comes after state i. Nothing is assumed of the shape of
emissions, and many random starts are improved side by side.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.numerics import safe_log

__all__ = ["Pairs", "fit_pairs", "pick"]


class Pairs(NamedTuple):
    """The law of pairs of cells, from several starts.

    Args:
        emission: The chance of each cell under each state.
        joint: The chance of each pair of states.
        log_likelihood: Of the counts, per pair.
    """

    emission: Float[Tensor, "starts cells states"]
    joint: Float[Tensor, "starts states states"]
    log_likelihood: Float[Tensor, " starts"]


def fit_pairs(
    counts: Float[Tensor, "cells cells"],
    shares: Float[Tensor, "starts cells states"],
    *,
    steps: int = 150,
) -> Pairs:
    r"""Fit :math:`Q = P S P^\top` to counts of pairs by expectation and maximization, from several starts.

    .. math:: S \leftarrow S \circ P^\top W P, \quad P \leftarrow P \circ (W P S^\top + W^\top P S), \quad W = N / Q

    each then normalized; the likelihood :math:`\sum N \log Q` never falls.

    Args:
        counts: N, how often a cell is followed by another.
        shares: For each start how much of a cell belongs to each state, above zero.
        steps: How often each start is improved.

    Returns:
        What each start came to.

    Reference:
        Lakshminarayanan, Raich, "Non-negative matrix factorization for parameter estimation in hidden Markov models",
        2010, for the form. Ding, Li, Peng, "On the equivalence between non-negative matrix factorization and
        probabilistic latent semantic indexing", 2008, for the steps.

    Example:
        >>> counts = torch.tensor([[0.0, 9.0], [9.0, 0.0]])
        >>> found = fit_pairs(counts, torch.tensor([[[0.6, 0.4], [0.4, 0.6]]]))
        >>> found.joint[0].mul(100).round().tolist()
        [[0.0, 50.0], [50.0, 0.0]]
    """
    target = (counts / counts.sum()).double()
    emission = _columns((target.sum(0) + target.sum(1)).view(1, -1, 1) * shares)
    weight = emission.sum(1, keepdim=True)
    joint = weight.mT @ weight / weight.square().sum((1, 2), keepdim=True) / shares.shape[2]
    for _ in range(steps):
        emission, joint = _improved(target, emission, joint)
    return Pairs(emission, joint, (target * safe_log(emission @ joint @ emission.mT)).sum((1, 2)))


def pick(found: Pairs, *, pairs: int) -> list[int]:
    r"""Order what was found: likely ones first, and of equally likely ones that whose states differ most.

    Where rows of the transition matrix depend on each other, as they do when two states are followed by the same, many
    emissions are equally likely. Then that is taken whose cells tell most of the state, by the entropy of states in
    cells. Two starts count as equally likely if what sets them apart is within the noise, half a parameter's worth for
    each parameter.

    Args:
        found: From several starts.
        pairs: How many pairs were counted.

    Returns:
        Positions of the starts.

    Reference:
        Biernacki, Celeux, Govaert, "Assessing a mixture model for clustering with the integrated completed
        likelihood", 2000, for the entropy.
    """
    _, cells, states = found.emission.shape
    noise = states * (cells + states) / 2 / pairs
    equal = found.log_likelihood >= found.log_likelihood.max() - noise
    joint = found.emission * found.joint.sum(2).unsqueeze(1)
    entropy = -(joint * safe_log(joint / joint.sum(2, keepdim=True).clamp(min=1e-300))).sum((1, 2))
    return torch.where(equal, -entropy, found.log_likelihood - 1e6).argsort(descending=True).tolist()


def _improved(target: Tensor, emission: Tensor, joint: Tensor) -> tuple[Tensor, Tensor]:
    ratio = target / (emission @ joint @ emission.mT).clamp(min=torch.finfo(target.dtype).tiny)
    after, before = ratio @ emission, ratio.mT @ emission
    new_joint = joint * (emission.mT @ after)
    new_emission = emission * (after @ joint.mT + before @ joint)
    return _columns(new_emission), new_joint / new_joint.sum((1, 2), keepdim=True)


def _columns(emission: Tensor) -> Tensor:
    return emission / emission.sum(1, keepdim=True).clamp(min=torch.finfo(emission.dtype).tiny)

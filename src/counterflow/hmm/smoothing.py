"""The backward algorithm, and what both together expect: the E-step of every hidden Markov model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.hmm import log_space, scaled
from counterflow.hmm.blocks import Law, checked_lengths, cut, finite, first_rows, join, leveled

__all__ = ["Smoothed", "smooth"]


class Smoothed(NamedTuple):
    r"""What all observations say.

    Args:
        log_posterior: :math:`\log p(s_t \mid x_1, \dots, x_T)`.
        log_predictive: :math:`\log p(x_t \mid x_1, \dots, x_{t-1})`.
        starts: How often each state is expected at the beginning of a sequence.
        transitions: How often each is expected to follow each other.
    """

    log_posterior: Float[Tensor, "rows states"]
    log_predictive: Float[Tensor, " rows"]
    starts: Float[Tensor, " states"]
    transitions: Float[Tensor, "states states"]


def smooth(
    log_density: Float[Tensor, "rows states"],
    *,
    log_start: Float[Tensor, " states"],
    log_transition: Float[Tensor, "states states"],
    lengths: Sequence[int] | None = None,
) -> Smoothed:
    r"""Smooth: the forward and the backward algorithm.

    .. math:: \beta_t(i) = \sum_j A_{ij}\, b_j(x_{t+1})\, \beta_{t+1}(j), \qquad
        p(s_t = i \mid x) \propto \alpha_t(i)\, \beta_t(i)

    Args:
        log_density: As in :func:`~counterflow.hmm.forward_filter`.
        log_start: Likewise.
        log_transition: Likewise.
        lengths: Likewise.

    Returns:
        Posteriors, predictive log-densities and expected counts.

    Raises:
        DataError: The lengths do not add up to the rows.

    Reference:
        Rabiner, 1989, sections III.A and III.C (equations 24, 25, 37 to 39).

    Example:
        >>> even = torch.full((2, 2), 0.5).log()
        >>> density = torch.tensor([[0.2, 0.4], [0.5, 0.1], [0.3, 0.3]]).log()
        >>> found = smooth(density, log_start=even[0], log_transition=even, lengths=[2, 1])
        >>> round(found.starts.sum().item(), 4), round(found.transitions.sum().item(), 4)
        (2.0, 1.0)
    """
    relative, level = leveled(log_density)
    blocks, law = cut(relative, lengths), Law(log_start, log_transition)
    algebra: Any = scaled if scaled.suits(blocks, law) else log_space
    products = algebra.products(blocks, law)
    filtered, predictive = algebra.forward(blocks, law, algebra.entries(products))
    future = algebra.backward(blocks, law, algebra.exits(products))
    joint = filtered + future
    posterior = join(joint - finite(joint.logsumexp(1, keepdim=True)), blocks.rows)
    before = torch.cat((_entries(filtered), filtered[:-1]))
    transitions = algebra.count(blocks, law, before, blocks.log_density + future)
    first = first_rows(checked_lengths(lengths, blocks.rows)).to(posterior.device)
    predictive = join(predictive, blocks.rows) + level
    return Smoothed(posterior, predictive, posterior[first].exp().sum(0), transitions)


def _entries(filtered: Tensor) -> Float[Tensor, "one states blocks"]:
    """What was known at the end of the block before; the first begins with a reset, so that nothing is asked of it."""
    return filtered[-1:].roll(1, -1)

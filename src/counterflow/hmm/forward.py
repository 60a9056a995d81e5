"""The forward algorithm: what the past says of each state, and how likely each observation was after it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from counterflow.hmm import log_space, scaled
from counterflow.hmm.blocks import Law, cut, join, leveled

__all__ = ["Filtered", "forward_filter"]


class Filtered(NamedTuple):
    r"""What the forward algorithm knows.

    Args:
        log_posterior: :math:`\log p(s_t \mid x_1, \dots, x_t)`.
        log_predictive: :math:`\log p(x_t \mid x_1, \dots, x_{t-1})`, which adds up to the log-likelihood.
    """

    log_posterior: Float[Tensor, "rows states"]
    log_predictive: Float[Tensor, " rows"]


def forward_filter(
    log_density: Float[Tensor, "rows states"],
    *,
    log_start: Float[Tensor, " states"],
    log_transition: Float[Tensor, "states states"],
    lengths: Sequence[int] | None = None,
) -> Filtered:
    r"""Filter all sequences at once.

    .. math:: \alpha_t(j) = b_j(x_t) \sum_i \alpha_{t-1}(i)\, A_{ij}, \qquad \alpha_1(j) = \pi_j\, b_j(x_1)

    An observation that is missing has log-density 0 under every state. An impossible one has the log-density minus
    infinity, and so has all that follows it in its sequence.

    Args:
        log_density: :math:`\log b_j(x_t)`, the sequences one below the other.
        log_start: :math:`\log \pi`.
        log_transition: :math:`\log A`, from the row's state to the column's.
        lengths: Rows of each sequence; ``None`` is one sequence.

    Returns:
        Posteriors and predictive log-densities.

    Raises:
        DataError: The lengths do not add up to the rows.

    Reference:
        Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", 1989, section
        III.A (equations 19 to 21).

    Example:
        >>> import torch
        >>> even = torch.full((2, 2), 0.5).log()
        >>> density = torch.tensor([[0.2, 0.4], [0.5, 0.1]]).log()
        >>> found = forward_filter(density, log_start=even[0], log_transition=even)
        >>> [round(chance, 4) for chance in found.log_predictive.exp().tolist()]
        [0.3, 0.3]
    """
    relative, level = leveled(log_density)
    blocks, law = cut(relative, lengths), Law(log_start, log_transition)
    algebra: Any = scaled if scaled.suits(blocks, law) else log_space
    found = algebra.forward(blocks, law, algebra.entries(algebra.products(blocks, law)))
    posterior, predictive = (join(values, blocks.rows) for values in found)
    return Filtered(posterior, predictive + level)

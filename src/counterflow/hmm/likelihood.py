"""The log-likelihood with exact gradients: one backward algorithm instead of a tape of every step."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterflow.hmm.blocks import checked_lengths
from counterflow.hmm.smoothing import smooth

__all__ = ["log_likelihood"]


def log_likelihood(
    log_density: Float[Tensor, "rows states"],
    *,
    log_start: Float[Tensor, " states"],
    log_transition: Float[Tensor, "states states"],
    lengths: Sequence[int] | None = None,
) -> Float[Tensor, ""]:
    r"""Sum the log-likelihoods of all sequences, with gradients to all three tensors.

    .. math:: \frac{\partial \log p(x)}{\partial \log b_j(x_t)} = p(s_t = j \mid x), \qquad
        \frac{\partial \log p(x)}{\partial \log A_{ij}} = \sum_t p(s_{t-1} = i, s_t = j \mid x)

    (Fisher's identity), so memory does not grow beyond that of the densities themselves. ``log_start`` and
    ``log_transition`` need not be normalized.

    Args:
        log_density: As in :func:`~counterflow.hmm.forward_filter`.
        log_start: Likewise.
        log_transition: Likewise.
        lengths: Likewise.

    Returns:
        A scalar, in nats.

    Raises:
        DataError: The lengths do not add up to the rows.

    Reference:
        Cappe, Moulines, Ryden, "Inference in Hidden Markov Models", 2005, proposition 10.1.6 (Fisher's identity).

    Example:
        >>> density = torch.zeros(4, 2, requires_grad=True)
        >>> even = torch.full((2, 2), 0.5).log()
        >>> log_likelihood(density, log_start=even[0], log_transition=even).backward()
        >>> density.grad[0].tolist()
        [0.5, 0.5]
    """
    lengths = checked_lengths(lengths, len(log_density))
    return _LogLikelihood.apply(log_density, log_start, log_transition, lengths)  # pyright: ignore[reportReturnType]


class _LogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_density: Tensor, log_start: Tensor, log_transition: Tensor, lengths: list[int]) -> Tensor:
        found = smooth(log_density, log_start=log_start, log_transition=log_transition, lengths=lengths)
        ctx.save_for_backward(found.log_posterior.exp(), found.starts, found.transitions)
        return found.log_predictive.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (*(gradients[0] * saved for saved in ctx.saved_tensors), None)

"""Minus the log-density of rows: what a flow is trained on, and what judges it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from counterflow.core.errors import ShapeError
from counterflow.training.batches import Batch

__all__ = ["held_out_loss", "negative_log_likelihood"]


def negative_log_likelihood(flow: nn.Module, batch: Batch) -> Tensor:
    r"""Minus the mean log-density of some rows: :math:`-\frac1n \sum_i w_i (\log p(x_i \mid c_i) + \ell_i)`.

    Args:
        flow: ``flow(x, context)`` gives one log-density per row.
        batch: The rows, with their weights :math:`w_i` and log-weights :math:`\ell_i` if they have any.

    Returns:
        A scalar, in nats.

    Raises:
        ShapeError: The flow does not give one number per row.
    """
    return _losses(flow, batch).mean()


def held_out_loss(held: Batch, chunk: int) -> Callable[[nn.Module], Tensor]:
    """The mean loss of held-out rows, as a function of the flow.

    Args:
        held: The rows.
        chunk: How many go through the flow at once.

    Returns:
        ``validate(flow)``, a scalar in nats.
    """
    starts = range(0, len(held.x), chunk)
    chunks = [held.each(lambda column, start=start: column[start : start + chunk]) for start in starts]

    total_weight = len(held.x) if held.weights is None else held.weights.sum(dtype=torch.float64)

    def validate(flow: nn.Module) -> Tensor:
        return torch.stack([_losses(flow, part).sum(dtype=torch.float64) for part in chunks]).sum() / total_weight

    return validate


def _losses(flow: nn.Module, batch: Batch) -> Tensor:
    log_density = flow(batch.x, batch.context)
    if log_density.shape != batch.x.shape[:1]:
        raise ShapeError(
            f"The flow must give one log-density per row, shape ({len(batch.x)},), got {tuple(log_density.shape)}. "
            "Its forward(x, context) must sum over all features."
        )
    if batch.log_weight is not None:
        log_density = log_density + batch.log_weight
    return -log_density if batch.weights is None else -log_density * batch.weights

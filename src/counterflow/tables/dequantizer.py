"""Fresh noise for the rows of every batch, wherever a flow is trained."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from counterflow.tables.encoding import FlowEncoding

__all__ = ["dequantizer"]


def dequantizer(encoding: FlowEncoding) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]:
    """:meth:`FlowEncoding.dequantize` as the ``augment`` of :func:`counterflow.training.fit`, on any device.

    The encoding stays where it is; copies of it follow the rows.

    Args:
        encoding: Between rows and points.

    Returns:
        From rows and a generator to points and their log-weights, on the device of the rows.
    """
    copies: dict[torch.device, FlowEncoding] = {}

    def dequantize(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if rows.device not in copies:
            copies[rows.device] = copy.deepcopy(encoding).to(rows.device)
        return copies[rows.device].dequantize(rows, generator)

    return dequantize

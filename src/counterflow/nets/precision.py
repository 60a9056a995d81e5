"""Conditioners in half precision: what they say is rounded, what follows from it is not."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["conditioners_in", "run_conditioner"]


def run_conditioner(
    net: nn.Module, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"] | None
) -> Float[Tensor, "*out outputs"]:
    """Call a conditioner, in half precision where :func:`conditioners_in` says so; the outputs have the dtype of ``x``.

    Args:
        net: The net.
        x: Points.
        context: One vector per point, or fewer that broadcast.

    Returns:
        The outputs of the net.

    Example:
        >>> from counterflow.nets import MLP
        >>> run_conditioner(MLP(2, 3), torch.ones(2), None)
        tensor([0., 0., 0.], grad_fn=...)
    """
    low = getattr(net, "low_precision", None)
    if low is None:
        return net(x, context).to(x.dtype)
    with torch.autocast(x.device.type, dtype=low):
        outputs = net(x, context)
    return outputs.to(x.dtype)


@contextmanager
def conditioners_in(module: nn.Module, dtype: torch.dtype | None) -> Generator[None]:
    """Let the conditioners of a module multiply matrices in a lower precision for a while.

    The parameters of maps, and so their log-determinants, are still computed and added up in the precision of the
    data: a map with rounded parameters is a map, and its log-determinant is exactly that of this map.

    Args:
        module: A flow or a bijection.
        dtype: ``torch.bfloat16``, say; ``None`` changes nothing.

    Example:
        >>> from counterflow import flows
        >>> flow = flows.realnvp(2)
        >>> with conditioners_in(flow, torch.bfloat16):
        ...     flow(torch.zeros(3, 2)).dtype
        torch.float32
    """
    owners = [part.net for part in module.modules() if isinstance(getattr(part, "net", None), nn.Module)]
    for net in owners:
        net.low_precision = dtype  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
    try:
        yield
    finally:
        for net in owners:
            net.low_precision = None  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]

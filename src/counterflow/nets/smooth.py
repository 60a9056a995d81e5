"""Smooth activations together with their slopes."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from counterflow.core.errors import ArgumentError

__all__ = ["SMOOTH_ACTIVATIONS", "SlopedActivation", "get_smooth_activation"]

SlopedActivation = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From a to the value and the slope at a."""


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    value = a.tanh()
    return value, 1 - value.square()


def _softplus(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.softplus(a), a.sigmoid()


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    gate = a.sigmoid()
    value = a * gate
    return value, gate + value * (1 - gate)


def _elu(a: Tensor) -> tuple[Tensor, Tensor]:
    value = functional.elu(a)
    return value, 1 + value.clamp(max=0.0)


def _gelu(a: Tensor) -> tuple[Tensor, Tensor]:
    share = 0.5 * (1 + torch.erf(a * 0.5**0.5))
    return a * share, share + a * torch.exp(-0.5 * a.square()) * 0.3989422804014327


SMOOTH_ACTIVATIONS: dict[str, SlopedActivation] = {
    "elu": _elu,
    "gelu": _gelu,
    "silu": _silu,
    "softplus": _softplus,
    "tanh": _tanh,
}


def get_smooth_activation(name: str) -> SlopedActivation:
    """Look an activation that has a continuous slope up by name.

    Returns:
        A function that gives the value and the slope.

    Raises:
        ArgumentError: If there is none of that name.

    Example:
        >>> value, slope = get_smooth_activation("tanh")(torch.zeros(1))
        >>> value.item(), slope.item()
        (0.0, 1.0)
    """
    if name not in SMOOTH_ACTIVATIONS:
        raise ArgumentError(
            f"activation must be one of {', '.join(SMOOTH_ACTIVATIONS)}, got '{name}'. "
            "A flow in continuous time needs one whose slope is continuous: choose one of these."
        )
    return SMOOTH_ACTIVATIONS[name]

"""Simulators that other processes can import."""

import torch
from torch import Tensor


def noisy(theta: Tensor, generator: torch.Generator) -> Tensor:
    """A Gaussian around the parameters."""
    return theta + 0.5 * torch.randn(theta.shape, generator=generator)


def fragile(theta: Tensor, generator: torch.Generator) -> Tensor:
    """It cannot bear large first parameters."""
    if bool((theta[:, 0] > 1).any()):
        raise ZeroDivisionError("too large")
    return noisy(theta, generator)

"""The circle with noise around it: points, their density, and what is tangent and what is normal."""

import math

import torch
from torch import Tensor, nn

__all__ = [
    "NOISES",
    "PLANE",
    "SPACE",
    "circle",
    "draw",
    "gradient_of",
    "log_density",
    "logit",
    "normal_share",
    "tangent",
]

NOISES = (0.3, 0.1, 0.03, 0.01)
PLANE = torch.eye(2)
"""The circle in the plane: the columns span it."""
SPACE = torch.tensor([[1.0, 0.0], [0.0, 0.8], [0.0, 0.6]], dtype=torch.float64)
"""The circle in space, tilted."""


def circle(angle: Tensor, *, basis: Tensor = PLANE) -> Tensor:
    """The points of the circle at angles."""
    return torch.stack([angle.cos(), angle.sin()], dim=-1) @ basis.to(angle).T


def draw(
    rows: int, generator: torch.Generator, *, noise: float, basis: Tensor = PLANE, reach: float = math.pi
) -> Tensor:
    """Draw points of the arc of angles up to ``reach`` either way, and add noise in all directions."""
    angle = reach * (2 * torch.rand(rows, generator=generator) - 1)
    return circle(angle, basis=basis) + noise * torch.randn(rows, len(basis), generator=generator)


def log_density(x: Tensor, *, noise: float) -> Tensor:
    r"""The log-density of the data in the plane: a circle folded with a normal law.

    .. math:: p(x) = \frac{1}{2 \pi \delta^2}\, e^{-(r^2 + 1) / 2 \delta^2}\, I_0(r / \delta^2)
    """
    radius, variance = x.norm(dim=-1), noise**2
    bessel = torch.special.i0e(radius / variance).log()
    return bessel - (radius - 1).square() / (2 * variance) - math.log(2 * math.pi * variance)


def tangent(x: Tensor, *, basis: Tensor = PLANE) -> Tensor:
    """The unit tangent of the circle at the foot of each point."""
    first, second = (x @ basis.to(x)).unbind(-1)
    return circle(torch.atan2(second, first) + math.pi / 2, basis=basis)


def normal_share(step: Tensor, along: Tensor) -> Tensor:
    """The length of the part of each step that is normal to the circle, over that of the whole step."""
    normal = step - (step * along).sum(-1, keepdim=True) * along
    return normal.norm(dim=-1) / step.norm(dim=-1)


def logit(x: Tensor) -> Tensor:
    """The classifier: right from left, with a fancy of its own off the circle."""
    return 4 * x[:, 0] + torch.sin(3 * x[:, 1]) + 0.5 * x.square().sum(1)


def gradient_of(x: Tensor) -> Tensor:
    """The gradient of the log-probability of class 1."""
    point = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(nn.functional.logsigmoid(logit(point)).sum(), point)
    return found

"""Small numerical helpers that several rooms share: every one is finite where its textbook form is not."""

import math

import torch
from torch import Tensor

__all__ = [
    "LOG_SQRT_2PI",
    "inverse_softplus",
    "log_mean_exp",
    "normal_log_prob",
    "safe_log",
    "soft_bound",
    "soft_floor",
    "sum_event",
]

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def soft_bound(x: Tensor, bound: float) -> Tensor:
    r"""Squash a number smoothly into an open interval: :math:`b \tanh(x / b)`.

    Near zero it is the identity, so a network that starts at zero starts with slope one.

    Args:
        x: Any numbers.
        bound: Half the length of the interval, above zero.

    Returns:
        Numbers within [-bound, bound].

    Example:
        >>> soft_bound(torch.tensor([0.0, 1e9]), 3.0)
        tensor([0., 3.])
    """
    return torch.tanh(x / bound) * bound


def soft_floor(x: Tensor, floor: float) -> Tensor:
    r"""Keep numbers above a negative floor f, smoothly: :math:`\log(e^f + (1 - e^f)\, e^x)`; 0 stays 0.

    Args:
        x: Any numbers.
        floor: f, below zero.

    Returns:
        Numbers above ``floor``, increasing in x.

    Example:
        >>> soft_floor(torch.tensor([-1e9, 0.0]), -1.0)
        tensor([-1.,  0.])
    """
    above = x > 0
    decay = torch.expm1(torch.where(above, -x, x))
    rest = torch.where(above, decay * math.exp(floor), decay * -math.expm1(floor))
    return torch.where(above, x, 0.0) + torch.log1p(rest)


def sum_event(x: Tensor, event_dimensions: int) -> Tensor:
    """Sum over the last ``event_dimensions`` dimensions: one number per point.

    Example:
        >>> sum_event(torch.ones(5, 2, 3), 2)
        tensor([6., 6., 6., 6., 6.])
    """
    return x.sum(tuple(range(-event_dimensions, 0)))


def log_mean_exp(x: Tensor, dim: int = -1) -> Tensor:
    r"""Average in probability space: :math:`\log \frac{1}{n} \sum_i e^{x_i}`, without overflow.

    Example:
        >>> log_mean_exp(torch.tensor([1000.0, 1000.0]))
        tensor(1000.)
    """
    return torch.logsumexp(x, dim) - math.log(x.shape[dim])


def safe_log(x: Tensor) -> Tensor:
    """Take the logarithm of numbers that may be zero: the smallest normal number of the dtype stands in.

    Example:
        >>> bool(torch.isfinite(safe_log(torch.tensor(0.0))))
        True
    """
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()


def inverse_softplus(y: float) -> float:
    r"""Solve :math:`y = \log(1 + e^x)` for x.

    Example:
        >>> round(math.log1p(math.exp(inverse_softplus(0.7))), 12)
        0.7
    """
    return y + math.log(-math.expm1(-y))


def normal_log_prob(x: Tensor) -> Tensor:
    r"""Log-density of the standard normal law, elementwise: :math:`-x^2/2 - \log\sqrt{2\pi}`.

    Example:
        >>> normal_log_prob(torch.tensor(0.0))
        tensor(-0.9189)
    """
    return -0.5 * x.square() - LOG_SQRT_2PI

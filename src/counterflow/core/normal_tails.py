"""The normal distribution function and its inverse, in logarithms: exact in tails that no ordinary number can hold."""

import math

import torch
from torch import Tensor

from counterflow.core.numerics import LOG_SQRT_2PI

__all__ = ["log_normal_cdf", "normal_quantile_of_log"]

_FAR = -20.0


def log_normal_cdf(x: Tensor) -> Tensor:
    r"""Take the logarithm of the normal distribution function, elementwise: :math:`\log \Phi(x)`.

    Below -1 it is :math:`-x^2/2 + \log \tfrac{1}{2}\, \mathrm{erfcx}(-x / \sqrt{2})`; gradients are finite everywhere
    (those of ``torch.special.log_ndtr`` are not).

    Args:
        x: Any real numbers.

    Returns:
        Numbers below zero.

    Example:
        >>> [round(value, 3) for value in log_normal_cdf(torch.tensor([0.0, -40.0])).tolist()]
        [-0.693, -804.608]
    """
    low, high = x.clamp(max=-1.0), x.clamp(min=-1.0)
    far = torch.special.erfcx(-low * math.sqrt(0.5)).log() - math.log(2) - 0.5 * low.square()
    return torch.where(x < -1, far, torch.log1p(-0.5 * torch.erfc(high * math.sqrt(0.5))))


def normal_quantile_of_log(log_p: Tensor) -> Tensor:
    r"""Find the normal quantile of a probability given by its logarithm: :math:`x` with :math:`\log \Phi(x) = \log p`.

    The ordinary quantile, or far out the leading terms of its expansion, is polished by Newton steps:

    .. math:: x \leftarrow x - (\log \Phi(x) - \log p)\, \frac{\Phi(x)}{\varphi(x)}

    Args:
        log_p: At most log(1/2), the left half; the right half is its mirror image.

    Returns:
        Numbers up to zero, with gradients.

    Reference:
        Abramowitz, Stegun, "Handbook of mathematical functions", 1964, 26.2.12 (the expansion).

    Example:
        >>> normal_quantile_of_log(torch.tensor([math.log(0.025), -804.6084]))
        tensor([ -1.9600, -40.0000])
    """
    with torch.no_grad():
        twice = -2 * log_p.clamp(max=_FAR) - 2 * LOG_SQRT_2PI
        near = torch.special.ndtri(log_p.clamp(min=_FAR).exp())
        x = _polish(torch.where(log_p < _FAR, -(twice - twice.log()).sqrt(), near), log_p)
    return _polish(_polish(x, log_p), log_p)


def _polish(x: Tensor, log_p: Tensor) -> Tensor:
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(-x * math.sqrt(0.5))
    return x - (log_normal_cdf(x) - log_p) * mills

r"""How heavy is the tail of importance weights? A generalized Pareto law fitted to the largest of them says so.

.. math:: \Pr(w > u + y \mid w > u) \approx (1 + k y / \sigma)^{-1/k}

A shape k below 1/2 means that the weights have a variance; up to about .7 estimates are still good at usual numbers of
draws; above it they are not, and no number of draws that one could afford helps.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ShapeError

__all__ = ["ParetoTail", "fit_tail", "smooth_weights"]

_FEWEST = 5
"""A tail of fewer draws than these says nothing."""

_ROUNDINGS = 1e3
"""Weights that differ by no more than so many roundings are alike."""

_PRIOR_DRAWS, _PRIOR_SHAPE = 10, 0.5


class ParetoTail(NamedTuple):
    """A generalized Pareto law.

    Args:
        shape: k; ``inf`` where the tail was too short to tell.
        scale: sigma, in the units of what was fitted.
    """

    shape: float
    scale: float


def fit_tail(excess: Float[Tensor, " m"]) -> ParetoTail:
    r"""Fit a generalized Pareto law to what exceeds a threshold, by the posterior mean over a grid of one parameter.

    .. math:: \theta_j = \frac{1}{y_{(m)}} + \frac{1 - \sqrt{J / (j - 1/2)}}{3\, y_{(m/4)}}, \qquad
        k(\theta) = \frac1m \sum_i \log(1 - \theta y_i), \qquad \sigma = -k / \theta

    The shape is drawn a little towards 1/2, as by ten draws more, which steadies it for short tails.

    Args:
        excess: Numbers above zero.

    Returns:
        Shape and scale.

    Reference:
        Zhang, Stephens, "A new and efficient estimation method for the generalized Pareto distribution", 2009; the
        prior is that of Vehtari et al., "Pareto smoothed importance sampling", 2024, appendix C.

    Example:
        >>> y = -torch.log(1 - (torch.arange(2000) + 0.5) / 2000)  # exponential: a Pareto law of shape 0
        >>> abs(fit_tail(y).shape) < 0.02
        True
    """
    y = excess.double().sort().values
    m = len(y)
    if m < _FEWEST or not y[-1] > 0:
        return ParetoTail(math.inf, math.nan)
    count = 30 + math.isqrt(m)
    j = torch.arange(1, count + 1, dtype=y.dtype, device=y.device)
    quarter = y[max(0, int(m / 4 + 0.5) - 1)].clamp(min=torch.finfo(y.dtype).tiny)
    theta = 1 / y[-1] + (1 - (count / (j - 0.5)).sqrt()) / (3 * quarter)
    shapes = torch.log1p(-theta[:, None] * y).mean(1)
    likelihood = m * (torch.log(-theta / shapes) - shapes - 1)
    chosen = (likelihood.softmax(0) * theta).sum()
    shape = torch.log1p(-chosen * y).mean()
    scale = -shape / chosen
    steadied = (m * shape + _PRIOR_DRAWS * _PRIOR_SHAPE) / (m + _PRIOR_DRAWS)
    return ParetoTail(float(steadied), float(scale))


def smooth_weights(log_weights: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], float]:
    r"""Replace the largest importance weights by what a Pareto law fitted to them expects.

    The largest :math:`\min(n / 5, 3 \sqrt n)` weights become the quantiles of the law, in their order, none above the
    largest that was seen.

    Args:
        log_weights: Natural logarithms of weights, up to a common constant; ``-inf`` for none.

    Returns:
        The logarithms of the smoothed weights, and the shape :math:`\hat k`: ``inf`` for fewer than 25 draws.

    Raises:
        ShapeError: If there is no weight.

    Reference:
        Vehtari, Simpson, Gelman, Yao, Gabry, "Pareto smoothed importance sampling", 2024, section 3.

    Example:
        >>> smoothed, shape = smooth_weights(torch.zeros(1000))  # all alike: no tail at all
        >>> shape
        -inf
    """
    if log_weights.dim() != 1 or not len(log_weights):
        raise ShapeError(f"log_weights must have shape (n,), got {tuple(log_weights.shape)}.")
    n, work = len(log_weights), log_weights.double()
    tail = int(min(0.2 * n, 3 * math.sqrt(n)))
    top = float(work.max())
    if not math.isfinite(top) or tail < _FEWEST:
        return log_weights, math.inf
    ordered, order = work.sort()
    threshold = torch.exp(ordered[-tail - 1] - top)
    excess = torch.exp(ordered[-tail:] - top) - threshold
    if not excess[-1] > _ROUNDINGS * torch.finfo(log_weights.dtype).eps:
        return log_weights, -math.inf
    found = fit_tail(excess)
    levels = (torch.arange(tail, dtype=work.dtype, device=work.device) + 0.5) / tail
    quantiles = torch.expm1(-found.shape * torch.log1p(-levels)) * found.scale / found.shape
    smoothed = work.clone()
    smoothed[order[-tail:]] = torch.log((threshold + quantiles).clamp(max=1.0)) + top
    return smoothed.to(log_weights.dtype), found.shape

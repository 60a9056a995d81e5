"""How well Markov chains agree, and how many independent draws they are worth."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ShapeError

__all__ = ["effective_size", "split_rhat"]


def split_rhat(chains: Float[Tensor, "chains steps numbers"]) -> Float[Tensor, " numbers"]:
    r"""Compare halves of chains with each other: near 1 where all have one law.

    .. math:: \hat R = \sqrt{ \frac{(n-1)/n\, W + B/n}{W} }

    with W the mean variance within halves and B/n the variance of their means.

    Args:
        chains: ``(chains, steps, numbers)``, at least 4 steps.

    Returns:
        ``(numbers,)``; 1 for a number that never changes anywhere.

    Raises:
        ShapeError: If there are fewer than 4 steps.

    Reference:
        Gelman et al., "Bayesian Data Analysis", 3rd edition, 2013, section 11.4.

    Example:
        >>> split_rhat(torch.arange(8.0).reshape(1, 8, 1)).item() > 2  # a trend
        True
    """
    halves = _halves(chains)
    n = halves.shape[1]
    within, between = halves.var(1).mean(0), halves.mean(1).var(0)
    found = ((n - 1) / n + between / within).sqrt()
    return torch.where((within == 0) & (between == 0), 1.0, found)


def effective_size(chains: Float[Tensor, "chains steps numbers"]) -> Float[Tensor, " numbers"]:
    r"""Count the independent draws that chains are worth for a mean.

    .. math:: \frac{m n}{1 + 2 \sum_t \rho_t}

    with the sum stopped where two neighboring autocorrelations add up to less than nothing, and never rising before.

    Args:
        chains: ``(chains, steps, numbers)``, at least 4 steps.

    Returns:
        ``(numbers,)``, at most :math:`m n \log_{10} m n`.

    Raises:
        ShapeError: If there are fewer than 4 steps.

    Reference:
        Vehtari et al., "Rank-normalization, folding, and localization: an improved R-hat", 2021, section 3.

    Example:
        >>> x = torch.randn(4, 500, 1, generator=torch.Generator().manual_seed(0))
        >>> 1000 < effective_size(x).item() < 3000
        True
    """
    halves = _halves(chains).double()
    m, n = halves.shape[:2]
    within, between = halves.var(1).mean(0), halves.mean(1).var(0)
    total = (n - 1) / n * within + between
    away = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(away, 2 * n, dim=1).abs().square()
    covariance = torch.fft.irfft(spectrum, 2 * n, dim=1)[:, :n].mean(0) / n
    correlation = 1 - (within * (n - 1) / n - covariance) / total
    correlation[0] = 1.0
    pairs = correlation[: n // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    going = (pairs > 0).cumprod(0).bool()
    monotone = torch.where(going, pairs, 0.0).cummin(0).values
    length = (2 * monotone.sum(0) - 1).clamp(min=1 / torch.log10(torch.tensor(float(m * n))))
    return (m * n / length).to(chains.dtype)


def _halves(chains: Tensor) -> Tensor:
    steps = chains.shape[1]
    if steps < 4:
        raise ShapeError(f"chains must have at least 4 steps, got {steps}.")
    half = steps // 2
    return torch.cat([chains[:, :half], chains[:, -half:]])

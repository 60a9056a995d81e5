"""What normal laws are asked, computed from their factors: densities, conditions and distances."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.distributions.factors import compress, read_rows

__all__ = ["NaturalParameters", "condition_factor", "kl_of_factors", "log_density", "wasserstein_of_factors"]


class NaturalParameters(NamedTuple):
    r"""The natural parameters of a normal law.

    Args:
        shift: :math:`\Sigma^{-1} \mu`.
        precision: :math:`\Sigma^{-1}`.
    """

    shift: Float[Tensor, "*batch d"]
    precision: Float[Tensor, "*batch d d"]


_SLACK = 1e4
"""How many roundings a point may lie off the support of a singular law and still count as on it."""


def log_density(
    away: Float[Tensor, "*points d"], factor: Float[Tensor, "*batch d r"], *, size: Float[Tensor, "*points2"]
) -> Float[Tensor, "*out"]:
    r"""Compute the log-density of the law of a factor around zero, on its support; ``-inf`` beyond.

    .. math:: -\tfrac12 \lVert S^+ a \rVert^2 - \log \operatorname{vol} S - \tfrac{k}{2} \log 2\pi

    Args:
        away: Points minus the mean.
        factor: S.
        size: How large the numbers were from which ``away`` was computed, which bounds its rounding.

    Example:
        >>> log_density(torch.zeros(1), torch.eye(1), size=torch.zeros(()))
        tensor(-0.9189)
    """
    rows = read_rows(factor)
    white = (rows.inverse @ away[..., None])[..., 0]
    found = -white.square().sum(-1) / 2 - rows.log_volume - rows.rank * math.log(2 * math.pi) / 2
    if rows.basis is None:
        return found
    off = (away - (rows.basis @ (rows.basis.mT @ away[..., None]))[..., 0]).norm(dim=-1)
    slack = _SLACK * torch.finfo(away.dtype).eps * (factor.norm(dim=(-2, -1)) + away.norm(dim=-1) + size)
    return torch.where(off <= slack, found, -torch.inf)


def condition_factor(
    factor: Float[Tensor, "*batch d r"],
    seen: Float[Tensor, "*batch2 m r"],
    *,
    noise: Float[Tensor, "*batch3 m q"] | None,
) -> tuple[Float[Tensor, "*out d m"], Float[Tensor, "*out d k"], Float[Tensor, "*out2 m p"]]:
    r"""Condition a law on what is seen of it.

    .. math:: F = [A S, R^{1/2}] = W Q^\top, \quad K = S Q_1 W^+, \quad S' = S\, [I - Q_1 Q_1^\top,\ Q_1 Q_2^\top]

    Args:
        factor: S.
        seen: :math:`A S`.
        noise: A factor of the noise R; ``None`` for none.

    Returns:
        The gain K, the factor S' of the condition, and F, the factor of the law of what is seen.

    Example:
        >>> gain, _, _ = condition_factor(torch.eye(1), torch.eye(1), noise=torch.eye(1))
        >>> gain
        tensor([[0.5000]])
    """
    side = seen
    if noise is not None:
        batch = torch.broadcast_shapes(seen.shape[:-2], noise.shape[:-2])
        side = torch.cat([part.expand(*batch, *part.shape[-2:]) for part in (seen, noise)], dim=-1)
    rows, width = read_rows(side), factor.shape[-1]
    first, second = rows.right[..., :width, :], rows.right[..., width:, :]
    rest = torch.eye(width, dtype=side.dtype, device=side.device) - first @ first.mT
    return factor @ first @ rows.inverse, compress(factor @ rest, factor @ first @ second.mT), side


def kl_of_factors(
    away: Float[Tensor, "*batch d"], factor: Float[Tensor, "*batch2 d r"], *, other: Float[Tensor, "*batch3 d q"]
) -> Float[Tensor, "*out"]:
    r"""Compute the Kullback-Leibler divergence of two laws; infinite where their supports differ.

    .. math:: \tfrac12 \big( \lVert S_q^+ S_p \rVert_F^2 + \lVert S_q^+ (\mu_p - \mu_q) \rVert^2 - k \big)
        + \log \operatorname{vol} S_q - \log \operatorname{vol} S_p

    Args:
        away: The mean of p minus that of q.
        factor: The factor of p.
        other: The factor of q.

    Example:
        >>> kl_of_factors(torch.zeros(1), torch.eye(1), other=2 * torch.eye(1))  # log 2 - 3/8
        tensor(0.3181)
    """
    mine, theirs = read_rows(factor), read_rows(other)
    spread = (theirs.inverse @ factor).square().sum((-2, -1))
    square = (theirs.inverse @ away[..., None])[..., 0].square().sum(-1)
    found = (spread + square - mine.rank) / 2 + theirs.log_volume - mine.log_volume
    inside = mine.rank == theirs.rank
    if theirs.basis is not None:
        gaps = (part - theirs.basis @ (theirs.basis.mT @ part) for part in (factor, away[..., None]))
        off = sum(gap.square().sum((-2, -1)) for gap in gaps)
        size = factor.square().sum((-2, -1)) + other.square().sum((-2, -1)) + away.square().sum(-1)
        inside = inside & (off <= (_SLACK * torch.finfo(away.dtype).eps) ** 2 * size)
    return torch.where(inside, found, torch.inf)


def wasserstein_of_factors(
    away: Float[Tensor, "*batch d"], factor: Float[Tensor, "*batch2 d r"], *, other: Float[Tensor, "*batch3 d q"]
) -> Float[Tensor, "*out"]:
    r"""Compute the 2-Wasserstein distance of two laws.

    .. math:: W_2^2 = \lVert \mu_p - \mu_q \rVert^2 + \lVert S_p \rVert_F^2 + \lVert S_q \rVert_F^2
        - 2\, \lVert S_p^\top S_q \rVert_*

    with the sum of singular values at the end.

    Args:
        away: The difference of the means.
        factor: The factor of one.
        other: The factor of the other.

    Reference:
        Givens, Shortt, "A class of Wasserstein metrics for probability distributions", 1984, proposition 7.

    Example:
        >>> wasserstein_of_factors(torch.zeros(1), torch.eye(1), other=3 * torch.eye(1))
        tensor(2.)
    """
    spread = factor.square().sum((-2, -1)) + other.square().sum((-2, -1))
    shared = torch.linalg.svdvals(factor.mT @ other).sum(-1)
    return (away.square().sum(-1) + spread - 2 * shared).clamp(min=0).sqrt()

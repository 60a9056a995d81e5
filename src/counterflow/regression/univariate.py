r"""Distribution functions and quantiles of one target, exact up to a root: :math:`F(y \mid c) = F_Z(z(y; c))`."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.rootfinding import bisect
from counterflow.distributions import Laplace, StudentT
from counterflow.flows import Flow
from counterflow.flows.ensemble import Ensemble, Member
from counterflow.regression.mixtures import ConditionalMixture

__all__ = ["distribution_function", "quantile_points", "quantiles"]

_NODES = 64


def distribution_function(
    ensemble: Ensemble, y: Float[Tensor, "rows k"], *, context: Float[Tensor, "rows *read"]
) -> Float[Tensor, "rows k"]:
    """Compute P(Y <= y | c) for k values in each row: the mean over the members.

    Args:
        ensemble: Densities of one target.
        y: The values.
        context: What each row is conditioned on, as it was read.

    Returns:
        Probabilities.
    """
    return torch.stack([_cdf(member, y.unsqueeze(-1), context) for member in _members(ensemble)]).mean(0).squeeze(-1)


def quantiles(
    ensemble: Ensemble, levels: Float[Tensor, "rows k"], *, context: Float[Tensor, "rows *read"]
) -> Float[Tensor, "rows k"]:
    r"""Compute :math:`F^{-1}(p \mid c)` for k levels in each row.

    One member's quantile is the image of the latent's quantile. That of a mixture of several lies between theirs, and
    is found there by halving.

    Args:
        ensemble: Densities of one target.
        levels: Probabilities in (0, 1).
        context: What each row is conditioned on, as it was read.

    Returns:
        Values of the target.
    """
    each = torch.stack([_quantile(member, levels, context) for member in _members(ensemble)])
    if len(each) == 1:
        return each[0]
    with torch.no_grad():
        y = bisect(lambda y: distribution_function(ensemble, y, context=context), levels, each.amin(0), each.amax(0))
    if not context.requires_grad:
        return y
    return _with_gradient(
        y, levels, cdf=distribution_function(ensemble, y, context=context), density=_density(ensemble, y, context)
    )


def quantile_points(
    ensemble: Ensemble, count: int, *, context: Float[Tensor, "rows *read"]
) -> Float[Tensor, "rows points"]:
    r"""Give points that stand for the law of each row with equal weights, in order: quantiles at even levels.

    .. math:: y_{mk} = F_m^{-1}\!\left( \frac{k - 1/2}{K} \right), \qquad k = 1 \dots K, \; m = 1 \dots M

    They are a sample without noise: means of functions over them are those of the law, up to what happens between two
    neighbors.

    Args:
        ensemble: Densities of one target.
        count: K, for each of the M members.
        context: What each row is conditioned on, as it was read.
    """
    levels = (torch.arange(count, dtype=context.dtype) + 0.5) / count
    levels = levels.expand(len(context), count)
    points = torch.cat([_quantile(member, levels, context) for member in _members(ensemble)], 1)
    return points.sort(1).values


def _members(ensemble: Ensemble) -> list[Member]:
    return cast("list[Member]", list(ensemble.members))


def _cdf(member: Member, y: Tensor, context: Tensor) -> Tensor:
    e = member.embedding(context).unsqueeze(1)
    if isinstance(member.flow, ConditionalMixture):
        return member.flow.cdf(y, e)
    flow = cast("Flow", member.flow)
    return _base_cdf(flow, flow.to_latent(y, e)[0])


def _quantile(member: Member, levels: Tensor, context: Tensor) -> Tensor:
    e, levels = member.embedding(context).unsqueeze(1), levels.unsqueeze(-1)
    if isinstance(member.flow, ConditionalMixture):
        y = member.flow.quantile(levels, e).detach()
        if context.requires_grad:
            y = _with_gradient(y, levels, cdf=member.flow.cdf(y, e), density=member.flow(y, e).exp().unsqueeze(-1))
        return y.squeeze(-1)
    flow = cast("Flow", member.flow)
    return flow.to_data(_base_quantile(flow, levels), e)[0].squeeze(-1)


def _with_gradient(y: Tensor, levels: Tensor, *, cdf: Tensor, density: Tensor) -> Tensor:
    r"""A root of :math:`F(y; c) = p` with its gradient :math:`-\partial_c F / f`: the implicit function theorem."""
    return y - (cdf - levels) / density.detach()


def _density(ensemble: Ensemble, y: Tensor, context: Tensor) -> Tensor:
    many = context.unsqueeze(1).expand(-1, y.shape[1], *context.shape[1:]).flatten(0, 1)
    return ensemble(y.reshape(-1, 1), many).exp().view(y.shape)


def _base_cdf(flow: Flow, z: Tensor) -> Tensor:
    base = flow.base
    if isinstance(base, Laplace):
        t = (z - base.location) * torch.exp(-base.log_scale)
        return torch.where(t < 0, 0.5 * t.clamp(max=0).exp(), 1 - 0.5 * (-t.clamp(min=0)).exp())
    return _student_cdf(z, base.degrees) if isinstance(base, StudentT) else torch.special.ndtr(z)


def _base_quantile(flow: Flow, levels: Tensor) -> Tensor:
    base = flow.base
    if isinstance(base, Laplace):
        side = levels - 0.5
        return base.location - base.log_scale.exp() * side.sign() * torch.log1p(-2 * side.abs())
    if isinstance(base, StudentT):
        return _student_quantile(levels, base.degrees)
    return torch.special.ndtri(levels)


def _student_cdf(t: Tensor, degrees: Tensor) -> Tensor:
    r"""Student's distribution function, by quadrature in :math:`t = \sqrt\nu \tan\theta`, where it is smooth."""
    angle = torch.atan(t / degrees.sqrt())
    nodes, weights = _legendre(t)
    theta = angle.unsqueeze(-1) * (nodes + 1) / 2
    inner = (weights * theta.cos() ** (degrees - 1)).sum(-1) * angle / 2
    log_scale = torch.lgamma((degrees + 1) / 2) - torch.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    return 0.5 + log_scale.exp() * inner


def _student_quantile(levels: Tensor, degrees: Tensor) -> Tensor:
    """Its inverse, by halving in the angle."""
    limit = torch.full_like(levels, math.pi / 2 * (1 - 1e-12))
    angle = bisect(lambda a: _student_cdf(degrees.sqrt() * a.tan(), degrees), levels, -limit, limit)
    return degrees.sqrt() * angle.tan()


def _legendre(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss and Legendre on [-1, 1], from the eigenvectors of the Jacobi matrix."""
    k = torch.arange(1, _NODES, dtype=torch.float64)
    off = k / (4 * k.square() - 1).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(off, 1) + torch.diag(off, -1))
    return nodes.to(like), (2 * vectors[0].square()).to(like)

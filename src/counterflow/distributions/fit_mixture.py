"""Mixtures of normal laws fitted by expectation and maximization: starts for what is then trained.

One made-up row for each component, as wide as the data would be if the components shared them out, keeps every
component from shrinking to a point or dying out. At most 5000 rows, evenly taken, are looked at.

Reference:
    Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977, section 4.3.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.numerics import normal_log_prob

__all__ = ["Mixtures", "fit_marginals", "fit_normals"]

_STEPS = 40
_ROWS = 5000
_PRIOR = 1.0


class Mixtures(NamedTuple):
    """Means, the square roots of the covariances (numbers, or lower triangles), and weights."""

    means: Tensor
    deviations: Tensor
    weights: Tensor


def fit_marginals(x: Float[Tensor, "rows features"], *, components: int) -> Mixtures:
    r"""Fit a mixture of normal laws to each feature, all features at once, from evenly spaced quantiles.

    Args:
        x: Data; a constant feature gets deviations below one.
        components: Normal laws per feature.

    Returns:
        Means, deviations and weights of shape ``(features, components)``, in the dtype of the data.

    Example:
        >>> x = torch.tensor([[-2.1], [-1.9], [1.9], [2.1]])
        >>> fit_marginals(x, components=2).means.mul(10).round().div(10).tolist()
        [[-2.0, 2.0]]
    """
    standard, center, scale = _standardized(x)
    levels = (torch.arange(components, dtype=standard.dtype, device=x.device) + 0.5) / components
    means = torch.quantile(standard, levels, dim=0).T
    now = Mixtures(means, torch.full_like(means, 1 / components), torch.full_like(means, 1 / components))
    for _ in range(_STEPS):
        now = _improved_marginals(standard.unsqueeze(-1), now)
    scale = scale.unsqueeze(-1)
    fitted = (center.unsqueeze(-1) + scale * now.means, scale * now.deviations, now.weights)
    return Mixtures(*(part.to(x.dtype) for part in fitted))


def fit_normals(
    x: Float[Tensor, "rows features"], *, components: int, generator: torch.Generator | None = None
) -> Mixtures:
    r"""Fit one mixture of normal laws with full covariances to the rows, from far-apart rows as first means.

    Args:
        x: Data.
        components: Number of normal laws.
        generator: Where the first means are drawn from.

    Returns:
        Means ``(components, features)``, lower triangular roots of the covariances ``(components, features,
        features)`` and weights ``(components,)``, in the dtype of the data.

    Reference:
        Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", 2007, section 2.2 (the first means).

    Example:
        >>> x = torch.tensor([[-2.1], [-1.9], [1.9], [2.1]])
        >>> fitted = fit_normals(x, components=2, generator=torch.Generator().manual_seed(0))
        >>> sorted(fitted.means.mul(10).round().div(10).flatten().tolist())
        [-2.0, 2.0]
    """
    standard, center, scale = _standardized(x)
    means = _far_apart(standard, components, generator=generator)
    identity = torch.eye(x.shape[1], dtype=standard.dtype, device=x.device).expand(components, -1, -1)
    weights = torch.full((components,), 1 / components, dtype=standard.dtype, device=x.device)
    now = Mixtures(means, identity / components, weights)
    for _ in range(_STEPS):
        now = _improved_normals(standard, now)
    fitted = (center + scale * now.means, scale.unsqueeze(-1) * now.deviations, now.weights)
    return Mixtures(*(part.to(x.dtype) for part in fitted))


def _standardized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows in double precision with mean 0 and deviation 1, and the means and deviations they had."""
    rows = x[:: -(-len(x) // _ROWS)].double()
    center, deviation = rows.mean(0), rows.std(0, correction=0)
    scale = torch.where(deviation > 0, deviation, 1.0)
    return (rows - center) / scale, center, scale


def _improved_marginals(x: Tensor, now: Mixtures) -> Mixtures:
    """One step of expectation and maximization on standardized features, shape ``(rows, features, 1)``."""
    components = now.means.shape[-1]
    log_shares = now.weights.log() - now.deviations.log() + normal_log_prob((x - now.means) / now.deviations)
    shares = log_shares.softmax(-1)
    mass = shares.sum(0) + _PRIOR
    means = ((shares * x).sum(0) + _PRIOR * now.means) / mass
    variances = ((shares * (x - means).square()).sum(0) + _PRIOR / components**2) / mass
    return Mixtures(means, variances.sqrt(), mass / (len(x) + _PRIOR * components))


def _improved_normals(x: Tensor, now: Mixtures) -> Mixtures:
    """One step of expectation and maximization on standardized rows."""
    components, features = now.means.shape
    white = torch.linalg.solve_triangular(now.deviations, (x.unsqueeze(1) - now.means).unsqueeze(-1), upper=False)
    volume = now.deviations.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    shares = (now.weights.log() - volume + normal_log_prob(white).sum((-2, -1))).softmax(-1)
    mass = shares.sum(0) + _PRIOR
    means = (shares.T @ x + _PRIOR * now.means) / mass.unsqueeze(-1)
    rest = x.unsqueeze(1) - means
    prior = torch.eye(features, dtype=x.dtype, device=x.device) * (_PRIOR * components ** (-2 / features))
    covariances = (torch.einsum("nk,nki,nkj->kij", shares, rest, rest) + prior) / mass.reshape(-1, 1, 1)
    return Mixtures(means, torch.linalg.cholesky(covariances), mass / (len(x) + _PRIOR * components))


def _far_apart(x: Tensor, count: int, *, generator: torch.Generator | None) -> Tensor:
    """Rows drawn one after the other, each with a chance that grows with its squared distance from those before."""
    chosen = x[torch.randint(len(x), (1,), generator=generator)]
    for _ in range(count - 1):
        distances = torch.cdist(x, chosen).amin(1).square() + torch.finfo(x.dtype).tiny
        chosen = torch.cat((chosen, x[torch.multinomial(distances, 1, generator=generator)]))
    return chosen

r"""The dimension of data near a point, from the distances to its nearest neighbors: a witness that knows no flow.

In a ball so small that the density does not change in it, the number of data within a distance T grows as
:math:`T^m`. The ratios of the distances to the neighbors tell m.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError, ShapeError

__all__ = ["neighbor_dimension", "pooled_dimension"]

_PAIRS_AT_ONCE = 2**22


def neighbor_dimension(
    points: Float[Tensor, "rows *event"],
    data: Float[Tensor, "n *shape"],
    *,
    neighbors: int = 20,
    pairs_at_once: int = _PAIRS_AT_ONCE,
) -> Float[Tensor, " rows"]:
    r"""Estimate the dimension of data near points by maximum likelihood.

    .. math:: \hat m_k(x) = \Big[ \frac{1}{k - 1} \sum_{j=1}^{k-1} \log \frac{T_k(x)}{T_j(x)} \Big]^{-1}

    with the Euclidean distances :math:`T_1 \le \dots \le T_k` to the k nearest data. Data equal to a point are left
    out, so that points may be rows of the data. One estimate alone is rough, with a relative error of about
    :math:`1 / \sqrt{k}`: :func:`pooled_dimension` makes one of many. Few neighbors see the noise around a manifold,
    many its curvature and its edges; where dimensions are many no number of data is enough, and estimates are too low.

    Args:
        points: Where.
        data: The data; numbers in units that may be compared.
        neighbors: The number k of neighbors, at least 2.
        pairs_at_once: How many distances are held at a time, which bounds the memory.

    Returns:
        One number above 0 for each point; infinite where all k neighbors are equally far, as on a grid.

    Raises:
        ShapeError: Points and data differ in shape.
        DataError: There are fewer than k data that differ from a point, or a number is not finite.

    Reference:
        Levina, Bickel, "Maximum Likelihood Estimation of Intrinsic Dimension", 2004, equation 8.

    Example:
        >>> data = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
        >>> round(neighbor_dimension(data[:1], data, neighbors=3).item(), 4)  # 2 / (log 4 + log 2)
        0.9618
    """
    check_count(neighbors, "neighbors", minimum=2)
    check_count(pairs_at_once, "pairs_at_once")
    if points.shape[1:] != data.shape[1:]:
        raise ShapeError(
            f"points must have the shape {tuple(data.shape[1:])} of data, got {tuple(points.shape[1:])}. "
            "Pass points like the data, one for each row."
        )
    if len(data) < neighbors:
        raise DataError(f"there must be at least {neighbors} data, got {len(data)}. Ask for fewer neighbors.")
    many = max(1, pairs_at_once // len(data))
    parts = points.flatten(1).split(many)
    return torch.cat([_estimate(_nearest(part, data.flatten(1), neighbors)) for part in parts])


def pooled_dimension(local: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
    r"""Make one estimate of those at many points: their harmonic mean, which has the least bias.

    .. math:: \hat m = \Big[ \frac1n \sum_i \hat m_k(x_i)^{-1} \Big]^{-1}

    The reciprocals are means of exponential variables, so that their mean has no bias and the mean of the estimates
    themselves is too high. With two neighbors this is TwoNN of Facco et al. (2017), by maximum likelihood.

    Args:
        local: Estimates of :func:`neighbor_dimension`.

    Returns:
        One number.

    Raises:
        DataError: There are none.

    Reference:
        MacKay, Ghahramani, "Comments on 'Maximum Likelihood Estimation of Intrinsic Dimension'", 2005.

    Example:
        >>> pooled_dimension(torch.tensor([1.0, 3.0]))
        tensor(1.5000)
    """
    if not len(local):
        raise DataError("there must be at least one estimate, got none. Pass those of neighbor_dimension.")
    return local.reciprocal().mean().reciprocal()


def _nearest(points: Tensor, data: Tensor, neighbors: int) -> Tensor:
    """The distances to the nearest data that differ from each point, the least first: ``(rows, neighbors)``."""
    exact = "donot_use_mm_for_euclid_dist"  # a product of matrices would not give zero for a point itself
    distances = torch.cdist(points, data, compute_mode=exact)
    nearest = distances.where(distances != 0, torch.inf).topk(neighbors, largest=False).values
    if not nearest.isfinite().all():
        raise DataError(
            f"each point must have {neighbors} finite data that differ from it, and one has fewer. "
            "Ask for fewer neighbors, and leave out what is not finite."
        )
    return nearest


def _estimate(nearest: Tensor) -> Tensor:
    return (nearest[:, -1:] / nearest[:, :-1]).log().mean(1).reciprocal()

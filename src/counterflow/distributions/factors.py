r"""Square roots of covariances: how a factor S with :math:`\Sigma = S S^\top` is made, shortened and read.

Nothing here inverts a covariance or squares a factor: a covariance of condition :math:`10^{12}` has a factor of
condition :math:`10^6`. Full rank goes through triangular matrices, whose derivatives always exist; only singular
covariances go through singular values.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError

__all__ = ["Rows", "compress", "covariance_factor", "read_rows"]


class Rows(NamedTuple):
    r"""A factor F, taken apart as :math:`F = W Q^\top` with orthonormal columns in Q.

    Args:
        right: Q, ``(*batch, r, k)``; columns beyond the rank are zero.
        inverse: The pseudo-inverse of W, ``(*batch, k, m)``: :math:`W^+ W = I` on the rank.
        basis: Orthonormal columns that span the image of F, ``(*batch, m, k)``; ``None`` where it is everything.
        log_volume: The logarithm of the product of the singular values of F that are not zero, ``(*batch)``.
        rank: How many they are, ``(*batch)``.
    """

    right: Float[Tensor, "*batch r k"]
    inverse: Float[Tensor, "*batch k m"]
    basis: Float[Tensor, "*batch m k"] | None
    log_volume: Float[Tensor, "*batch"]
    rank: Float[Tensor, "*batch"]


def covariance_factor(covariance: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch d d"]:
    """Find a factor of a covariance: Cholesky's where all of a batch are positive definite, else from eigenvalues.

    Args:
        covariance: Symmetric, positive semi-definite.

    Returns:
        S with ``S @ S.mT`` equal to the covariance.

    Raises:
        ArgumentError: If a matrix is not symmetric, or has an eigenvalue that is negative beyond rounding.

    Example:
        >>> covariance_factor(torch.tensor([[4.0, 0.0], [0.0, 0.0]])).abs().sum(-1)
        tensor([2., 0.])
    """
    size = covariance.diagonal(dim1=-2, dim2=-1).abs().amax(-1)[..., None, None]
    slack = 1e3 * torch.finfo(covariance.dtype).eps * size
    if covariance.shape[-1] != covariance.shape[-2] or ((covariance - covariance.mT).abs() > slack).any():
        raise ArgumentError("covariance must be symmetric, and is not. Pass (C + C.T) / 2, or the factor instead.")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed.any():
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    if (values < -slack[..., 0]).any():
        raise ArgumentError(
            f"covariance must be positive semi-definite, got an eigenvalue of {float(values.min()):.3g}. "
            "Check its signs, or add to its diagonal."
        )
    return vectors * values.clamp(min=0).sqrt()[..., None, :]


def compress(*factors: Float[Tensor, "... d _"]) -> Float[Tensor, "... d k"]:
    r"""Find a factor of the sum :math:`\sum_i S_i S_i^\top`, with no more columns than rows.

    Args:
        *factors: The factors; batch dimensions broadcast.

    Returns:
        One factor.

    Example:
        >>> S = compress(torch.eye(2), 2 * torch.eye(2))
        >>> S @ S.mT
        tensor([[5., 0.],
                [0., 5.]])
    """
    batch = torch.broadcast_shapes(*(factor.shape[:-2] for factor in factors))
    side = torch.cat([factor.expand(*batch, *factor.shape[-2:]) for factor in factors], dim=-1)
    return torch.linalg.qr(side.mT, mode="r").R.mT if side.shape[-1] > side.shape[-2] else side


def read_rows(factor: Float[Tensor, "*batch m r"]) -> Rows:
    """Take a factor apart: triangular where it has full row rank, by singular values where it has not.

    Args:
        factor: Any matrix; of a batch all go the same way.

    Example:
        >>> round(read_rows(torch.tensor([[3.0, 4.0]])).log_volume.exp().item(), 4)
        5.0
    """
    m, r = factor.shape[-2:]
    cut = 10 * max(m, r, 1) * torch.finfo(factor.dtype).eps
    if m and m <= r:
        right, upper = torch.linalg.qr(factor.mT)
        size = upper.diagonal(dim1=-2, dim2=-1).abs()
        if (size > cut * size.amax(-1, keepdim=True)).all():
            eye = torch.eye(m, dtype=factor.dtype, device=factor.device).expand_as(upper)
            inverse = torch.linalg.solve_triangular(upper.mT, eye, upper=False)
            return Rows(right, inverse, None, size.log().sum(-1), torch.full_like(size[..., 0], m))
    left, values, rights = torch.linalg.svd(factor, full_matrices=False)
    kept = values > cut * values.amax(-1, keepdim=True) if values.shape[-1] else values > 0
    safe = torch.where(kept, values, 1.0)
    return Rows(
        rights.mT * kept[..., None, :],
        torch.where(kept, 1 / safe, 0.0)[..., None] * left.mT,
        left * kept[..., None, :],
        safe.log().sum(-1),
        kept.sum(-1).to(factor.dtype),
    )

"""A lower-triangular linear map: with it, a normal base has any covariance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractDataDependent
from counterflow.bijections.linear import AbstractLinear

__all__ = ["LowerTriangular"]


class LowerTriangular(AbstractLinear, AbstractDataDependent):
    r"""A linear map with a lower-triangular matrix of positive diagonal: :math:`z = L x + b`.

    After :meth:`initialize` it whitens the data given: L is the inverse Cholesky factor of the covariance, and the
    standard normal base gives the maximum-likelihood normal density. Until then it is the identity.

    Args:
        features: Number of features.

    Example:
        >>> layer = LowerTriangular(2)
        >>> x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 4.0]])
        >>> layer.initialize(x)
        >>> torch.cov(layer.to_latent(x)[0].detach().T, correction=0).round(decimals=4).abs()
        tensor([[1., 0.],
                [0., 1.]])
    """

    initialized: Tensor

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.register_buffer("initialized", torch.tensor(False))

    def weight(self) -> Float[Tensor, "features features"]:
        """Give L: what lies below the diagonal, and the exponential of the log-diagonal."""
        return self.lower.tril(-1) + torch.diag_embed(self.log_diagonal.exp())

    def inverse(self) -> Float[Tensor, "features features"]:
        """Give the inverse of L by forward substitution."""
        weight = self.weight()
        identity = torch.eye(self.features, dtype=weight.dtype, device=weight.device)
        return torch.linalg.solve_triangular(weight, identity, upper=False)

    def log_abs_det(self) -> Float[Tensor, ""]:
        """Give the sum of the log-diagonal."""
        return self.log_diagonal.sum()

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Whiten the data, unless that was done before."""
        if self.initialized:
            return
        rows = x.reshape(-1, self.features)
        mean = rows.mean(0)
        factor = _cholesky((rows - mean).T @ (rows - mean) / len(rows))
        self.lower.copy_(torch.linalg.inv(factor).tril(-1))
        self.log_diagonal.copy_(-factor.diagonal().log())
        self.bias.copy_(-self.weight() @ mean)
        self.initialized.fill_(True)


def _cholesky(covariance: Tensor) -> Tensor:
    """Factor a covariance; where features are constant or depend on each other, the least is added that allows it."""
    variances = covariance.diagonal()
    unit = torch.where(variances > 0, variances, 1.0)
    jitter = 0.0
    while True:
        factor, failed = torch.linalg.cholesky_ex(
            covariance + torch.diag(torch.where(variances > 0, jitter * unit, 1.0))
        )
        if not failed and bool((factor.diagonal() > 0).all()):
            return factor
        jitter = max(10 * jitter, torch.finfo(covariance.dtype).eps)

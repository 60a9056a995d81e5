"""The Gaussian part of a flow, learned from the first data it sees."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractDataDependent

__all__ = ["Whitening"]

_SHRINKAGE = 0.05
_RIDGE = 1e-3


class Whitening(AbstractDataDependent):
    r"""A triangular linear map of the residuals from a linear mean of the context.

    .. math:: z = L\,(x - \mu - M c), \qquad \log|\det| = \sum_i \log L_{ii}

    After :meth:`initialize` the latent is white on the data given: :math:`\mu` and :math:`M` come from least squares
    and :math:`L` from the Cholesky factor of the residuals' covariance, shrunk by five percent toward its diagonal. A
    flow that begins with it starts from the Gaussian model instead of from noise, which is most of what a few hundred
    rows can teach. Until then it is the identity. That it was initialized is part of the state dict.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for none.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, section 3.1, for the
        initialization from data.

    Example:
        >>> layer = Whitening(2)
        >>> noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> x = noise @ torch.tensor([[2.0, 0.0], [1.0, 0.5]])
        >>> layer.initialize(x)
        >>> z, _ = layer.to_latent(x)
        >>> bool((torch.cov(z.T) - torch.eye(2)).abs().max() < 0.1)
        True
    """

    initialized: Tensor

    def __init__(self, features: int, *, context_features: int = 0) -> None:
        super().__init__((features,), context_features)
        self.mean = nn.Parameter(torch.zeros(features))
        self.slope = nn.Parameter(torch.zeros(features, context_features)) if context_features else None
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.register_buffer("initialized", torch.tensor(False))

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Center and whiten."""
        z = (x - self._center(context)) @ self._triangle().T
        return z, self.log_diagonal.sum().expand(z.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Color and shift back."""
        identity = torch.eye(self.features, dtype=z.dtype, device=z.device)
        x = z @ torch.linalg.solve_triangular(self._triangle(), identity, upper=False).T + self._center(context)
        return x, -self.log_diagonal.sum().expand(x.shape[:-1])

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Take mean, slope and covariance from data, unless that was done before."""
        if self.initialized:
            return
        rows = x.reshape(-1, self.features).double()
        mean = rows.mean(0)
        if self.slope is not None and context is not None:
            vectors = context.double().expand(*x.shape[:-1], -1).reshape(len(rows), -1)
            center = vectors.mean(0)
            slope = torch.linalg.pinv(vectors - center) @ (rows - mean)
            mean = mean - center @ slope
            self.slope.copy_(slope.T)
            rows = rows - vectors @ slope
        covariance = _shrunk_covariance(rows)
        triangle = torch.linalg.inv(torch.linalg.cholesky(covariance))
        self.mean.copy_(mean)
        self.lower.copy_(triangle.tril(-1))
        self.log_diagonal.copy_(triangle.diagonal().log())
        self.initialized.fill_(True)

    def extra_repr(self) -> str:
        """Name the number of features."""
        return f"{self.features}"

    def _triangle(self) -> Tensor:
        return self.lower.tril(-1) + torch.diag(self.log_diagonal.exp())

    def _center(self, context: Tensor | None) -> Tensor:
        if self.slope is None or context is None:
            return self.mean
        return self.mean + context @ self.slope.T


def _shrunk_covariance(rows: Tensor) -> Tensor:
    """The covariance with smaller off-diagonal entries, and a ridge so that constant features keep a scale."""
    covariance = torch.cov(rows.T, correction=0).reshape(rows.shape[1], rows.shape[1])
    variances = covariance.diagonal()
    ridge = _RIDGE * torch.where(variances > 0, variances, 1.0)
    return (1 - _SHRINKAGE) * covariance + torch.diag(_SHRINKAGE * variances + ridge)

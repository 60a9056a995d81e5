"""A general linear map that stays invertible and cheap: a product of two triangular matrices."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.linear import AbstractLinear

__all__ = ["LULinear"]


class LULinear(AbstractLinear):
    r"""A linear map by its LU factors: :math:`z = L U x + b`, L with unit diagonal, U with positive diagonal.

    .. math:: \log |\det L U| = \sum_i \log u_{ii}

    It starts as the identity. After a random permutation it can mix features in any way; between couplings it learns
    which features should meet.

    Args:
        features: Number of features.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, equation 10.

    Example:
        >>> LULinear(3).weight().tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.factors = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))

    def weight(self) -> Float[Tensor, "features features"]:
        """Give the product of the factors."""
        lower, upper = self._factors()
        return lower @ upper

    def inverse(self) -> Float[Tensor, "features features"]:
        """Give the inverse by forward and back substitution."""
        lower, upper = self._factors()
        identity = torch.eye(self.features, dtype=lower.dtype, device=lower.device)
        half = torch.linalg.solve_triangular(lower, identity, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, half, upper=True)

    def log_abs_det(self) -> Float[Tensor, ""]:
        """Give the sum of the log-diagonal of U."""
        return self.log_diagonal.sum()

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(self.features, dtype=self.factors.dtype, device=self.factors.device)
        return self.factors.tril(-1) + identity, self.factors.triu(1) + torch.diag_embed(self.log_diagonal.exp())

"""Linear maps of all features together: what every such map shares, and the one given by a matrix."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import NotInvertibleError, ShapeError

__all__ = ["AbstractLinear", "Linear"]


class AbstractLinear(AbstractBijection):
    r"""A linear map, :math:`z = W x + b`, whose subclass gives W, its inverse and its log-determinant.

    Args:
        features: Number of features.
    """

    def __init__(self, features: int) -> None:
        super().__init__((features,))
        self.bias = nn.Parameter(torch.zeros(features))

    @abstractmethod
    def weight(self) -> Float[Tensor, "features features"]:
        """Give the matrix W, from data to latent."""

    @abstractmethod
    def inverse(self) -> Float[Tensor, "features features"]:
        """Give the inverse of W."""

    @abstractmethod
    def log_abs_det(self) -> Float[Tensor, ""]:
        """Give the logarithm of the absolute determinant of W."""

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Multiply by W and add b."""
        return functional.linear(x, self.weight(), self.bias), self.log_abs_det().expand(x.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Take b away and multiply by the inverse of W."""
        return functional.linear(z - self.bias, self.inverse()), (-self.log_abs_det()).expand(z.shape[:-1])

    def extra_repr(self) -> str:
        """Name the number of features."""
        return f"{self.features}"


class Linear(AbstractBijection):
    r"""A given matrix and shift: data is :math:`x = A z + b`.

    .. math:: p_X(x) = p_Z(A^{-1} (x - b)) / \lvert \det A \rvert

    Args:
        matrix: A, square and not singular; it is kept as it is, not trained.
        shift: b; ``None`` for zero.

    Raises:
        ShapeError: If the matrix is not square.
        NotInvertibleError: If the matrix is singular to working precision.

    Example:
        >>> _, log_det = Linear(torch.tensor([[2.0, 0.0], [1.0, 3.0]])).to_data(torch.zeros(2))
        >>> round(log_det.item(), 4)  # log 6
        1.7918
    """

    matrix: Tensor
    inverse: Tensor
    shift: Tensor
    log_abs_det: Tensor

    def __init__(self, matrix: Tensor, shift: Tensor | None = None) -> None:
        if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(
                f"matrix must have shape (features, features), got {tuple(matrix.shape)}. Pass a square one."
            )
        super().__init__((matrix.shape[0],))
        rank = int(torch.linalg.matrix_rank(matrix))
        if rank < self.features:
            raise NotInvertibleError(
                f"matrix must be invertible, got one of rank {rank} for {self.features} features. "
                "Several latent points would have the same data: drop or change the dependent rows."
            )
        self.register_buffer("matrix", matrix.detach().clone())
        self.register_buffer("inverse", torch.linalg.inv(self.matrix))
        self.register_buffer("shift", torch.zeros_like(self.matrix[0]) if shift is None else shift.detach().clone())
        self.register_buffer("log_abs_det", torch.linalg.slogdet(self.matrix).logabsdet)

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Take the shift away and multiply by the inverse."""
        return functional.linear(x - self.shift, self.inverse), (-self.log_abs_det).expand(x.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Multiply by the matrix and add the shift."""
        return functional.linear(z, self.matrix, self.shift), self.log_abs_det.expand(z.shape[:-1])

    def extra_repr(self) -> str:
        """Name the number of features."""
        return f"{self.features}"

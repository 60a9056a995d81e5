"""Rotations and reflections, as a product of Householder reflections."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.linear import AbstractLinear
from counterflow.core.checks import check_count

__all__ = ["Orthogonal"]


class Orthogonal(AbstractLinear):
    r"""An orthogonal map :math:`z = H_1 H_2 \dots H_k x + b` of Householder reflections; volume stays as it is.

    .. math:: H_i = I - 2 v_i v_i^\top / \lVert v_i \rVert^2, \quad
        H_1 \dots H_k = I - V T V^\top, \quad
        T^{-1} = \mathrm{striu}(V^\top V) + \tfrac{1}{2} \mathrm{diag}(V^\top V)

    The second form needs one triangular system instead of k steps one after the other.

    Args:
        features: Number of features.
        reflections: k; ``None`` for as many as features, which reach every orthogonal matrix of one orientation.
        generator: Where the vectors are drawn from.

    Reference:
        Tomczak, Welling, "Improving Variational Auto-Encoders using Householder Flow", 2016, equation 4;
        Joffrain et al., "Accumulating Householder transformations, revisited", 2006, theorem 2 (the second form).

    Example:
        >>> q = Orthogonal(3, generator=torch.Generator().manual_seed(0)).weight()
        >>> bool(torch.allclose(q @ q.T, torch.eye(3), atol=1e-5))
        True
    """

    def __init__(
        self, features: int, *, reflections: int | None = None, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(features)
        count = features if reflections is None else reflections
        check_count(count, "reflections")
        self.vectors = nn.Parameter(torch.randn(features, count, generator=generator))

    def weight(self) -> Float[Tensor, "features features"]:
        """Give the product of the reflections."""
        vectors = self.vectors / torch.linalg.vector_norm(self.vectors, dim=0)
        products = vectors.T @ vectors
        system = products.triu(1) + torch.diag_embed(0.5 * products.diagonal())
        identity = torch.eye(self.features, dtype=vectors.dtype, device=vectors.device)
        return identity - vectors @ torch.linalg.solve_triangular(system, vectors.T, upper=True)

    def inverse(self) -> Float[Tensor, "features features"]:
        """Give the transpose."""
        return self.weight().T

    def log_abs_det(self) -> Float[Tensor, ""]:
        """Give zero."""
        return self.bias.new_zeros(())

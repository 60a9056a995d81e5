"""Conditional normal laws: a linear map with noise, from which filters and smoothers are made."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.distributions.factors import compress, covariance_factor
from counterflow.distributions.gaussian import Gaussian
from counterflow.distributions.normal_factors import condition_factor

__all__ = ["GaussianKernel"]


class GaussianKernel:
    r"""A conditional normal law :math:`p(y \mid x) = \mathcal{N}(y;\ A x + b,\ R)`; R may be singular.

    ``kernel @ p`` is the law of y where p is that of x, ``second @ first`` one kernel after another, ``kernel(x)`` the
    law of y for one x.

    Args:
        matrix: A, ``(*batch, m, d)``.
        shift: b, ``(*batch, m)``; ``None`` for zero.
        noise: R, ``(*batch, m, m)``; ``None`` for none.
        noise_factor: A factor of R in its place, ``(*batch, m, q)``.

    Raises:
        ShapeError: If the shapes do not fit.
        ArgumentError: If R is no covariance.

    Reference:
        Sarkka, Svensson, "Bayesian Filtering and Smoothing", 2nd edition, 2023, lemmas A.2 and A.3.

    Example:
        >>> walk = GaussianKernel(torch.eye(1), noise=torch.eye(1))
        >>> start = Gaussian(torch.zeros(1), torch.eye(1))
        >>> round((walk @ walk @ start).covariance.item(), 4)
        3.0
    """

    def __init__(
        self,
        matrix: Float[Tensor, "*batch m d"],
        shift: Float[Tensor, "*batch2 _"] | None = None,
        *,
        noise: Float[Tensor, "*batch3 _ _"] | None = None,
        noise_factor: Float[Tensor, "*batch3 _ q"] | None = None,
    ) -> None:
        rows = matrix.shape[-2]
        self.matrix = matrix
        self.shift = matrix.new_zeros(rows) if shift is None else shift
        if noise is not None:
            noise_factor = covariance_factor(noise)
        self.noise_factor = matrix.new_zeros(rows, 0) if noise_factor is None else noise_factor
        if self.shift.shape[-1] != rows or self.noise_factor.shape[-2] != rows:
            raise ShapeError(
                f"shift and noise must have {rows} rows, as the matrix has, got {tuple(self.shift.shape)} and "
                f"{tuple(self.noise_factor.shape)}."
            )

    def __repr__(self) -> str:
        return f"GaussianKernel({self.matrix.shape[-1]} -> {self.matrix.shape[-2]})"

    def __call__(self, x: Float[Tensor, "*points d"]) -> Gaussian:
        """The law of y at x."""
        return Gaussian((self.matrix @ x[..., None])[..., 0] + self.shift, factor=self.noise_factor)

    def __matmul__(self, other: "Gaussian | GaussianKernel") -> "Gaussian | GaussianKernel":
        if isinstance(other, GaussianKernel):
            matrix, factor = self.matrix @ other.matrix, compress(self.noise_factor, self.matrix @ other.noise_factor)
            return GaussianKernel(matrix, self(other.shift).mean, noise_factor=factor)
        return self.marginalize(other)

    def marginalize(self, p: Gaussian) -> Gaussian:
        """The law of y where p is the law of x."""
        return Gaussian(self(p.mean).mean, factor=compress(self.matrix @ p.factor, self.noise_factor))

    def joint(self, p: Gaussian) -> Gaussian:
        """The law of x and y side by side, ``d + m`` numbers."""
        size, extra = p.features, self.noise_factor.shape[-1]
        eye = torch.eye(size, dtype=p.mean.dtype, device=p.mean.device)
        both = torch.cat([eye.expand(*self.matrix.shape[:-2], size, size), self.matrix], dim=-2)
        mean = torch.cat(_padded(p.mean, self(p.mean).mean), dim=-1)
        noise = torch.cat(
            [self.noise_factor.new_zeros(*self.noise_factor.shape[:-2], size, extra), self.noise_factor], -2
        )
        return Gaussian(mean, factor=compress(both @ p.factor, noise))

    def condition(self, p: Gaussian, y: Float[Tensor, "*points m"]) -> Gaussian:
        """The law of x given y, where p is the law of x before; it holds the ``log_evidence`` of y."""
        return p.condition(self.matrix, y - self.shift, noise_factor=self.noise_factor)

    def reverse(self, p: Gaussian) -> "GaussianKernel":
        r"""Turn :math:`p(y \mid x)` into :math:`p(x \mid y)` where p is the law of x: Bayes' rule for every y at once.

        .. math:: p(x \mid y) = \mathcal{N}\big(\mu + K (y - A \mu - b),\ S' S'^\top\big)
        """
        gain, factor, _ = condition_factor(p.factor, self.matrix @ p.factor, noise=self.noise_factor)
        shift = p.mean - (gain @ self(p.mean).mean[..., None])[..., 0]
        return GaussianKernel(gain, shift, noise_factor=factor)


def _padded(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors whose batches have been broadcast, whatever their lengths."""
    batch = torch.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    return first.expand(*batch, first.shape[-1]), second.expand(*batch, second.shape[-1])

"""Normal laws with their algebra: maps, sums, marginals, conditions and products give normal laws again."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions.base import as_shape
from counterflow.distributions.factors import compress, covariance_factor, read_rows
from counterflow.distributions.normal_factors import (
    NaturalParameters,
    condition_factor,
    kl_of_factors,
    log_density,
    wasserstein_of_factors,
)
from counterflow.distributions.positions import Index, positions

__all__ = ["Gaussian"]


class Gaussian:
    r"""A normal law, or a batch of them, which may be singular: :math:`\mathcal{N}(\mu, S S^\top)`.

    What is kept inside is the factor S, of any number of columns, and every operation works on factors: no covariance
    is inverted. Laws are values; operations give new ones:

    - ``A @ p + b`` is the law of :math:`A x + b`; ``p + q`` and ``p - q`` those of sums of independent points;
    - ``p.marginal([0, 2])`` keeps some numbers of a point;
    - ``p.condition(A, y, noise=R)`` is the law of x given :math:`y = A x + e`, with :math:`\log p(y)` as
      ``log_evidence``;
    - ``p * q`` is the normalized product of densities, with ``log_scale`` the logarithm of what it was divided by.

    Args:
        mean: ``(*batch, d)``.
        covariance: ``(*batch, d, d)``, symmetric and positive semi-definite.
        factor: S itself in its place, ``(*batch, d, r)``; with r < d the law is singular.
        log_scale: What the density is to be multiplied by, as a logarithm; kept by products, used by nobody else.
        log_evidence: The log-density of what was seen to come to this law; 0 where nothing was.

    Raises:
        ShapeError: If the shapes do not fit.
        ArgumentError: If there is neither covariance nor factor, or both, or the covariance is none.

    Reference:
        Bishop, "Pattern Recognition and Machine Learning", 2006, section 2.3.

    Example:
        >>> p = Gaussian(torch.zeros(2), torch.eye(2))
        >>> (torch.tensor([[1.0, 1.0]]) @ p + 3.0).covariance
        tensor([[2.]])
        >>> seen = p.condition(torch.tensor([[1.0, 1.0]]), torch.tensor([2.0]), noise=torch.tensor([[2.0]]))
        >>> seen.mean, round(seen.log_evidence.item(), 3)
        (tensor([0.5000, 0.5000]), -2.112)
    """

    __array_ufunc__ = None  # so that a numpy array on the left lets this class answer

    def __init__(
        self,
        mean: Float[Tensor, "*batch d"],
        covariance: Float[Tensor, "*batch2 _ _"] | None = None,
        *,
        factor: Float[Tensor, "*batch2 _ r"] | None = None,
        log_scale: Float[Tensor, "*batch3"] | float = 0.0,
        log_evidence: Float[Tensor, "*batch4"] | float = 0.0,
    ) -> None:
        if covariance is not None and factor is None:
            factor = covariance_factor(covariance)
        elif covariance is not None or factor is None:
            raise ArgumentError("pass either a covariance or a factor: Gaussian(mean, covariance).")
        self.mean, self.factor = mean, factor
        if mean.dim() < 1 or self.factor.dim() < 2 or self.factor.shape[-2] != mean.shape[-1]:
            raise ShapeError(
                f"mean and covariance must have shapes (*batch, d) and (*batch, d, d), got {tuple(mean.shape)} and "
                f"{tuple(self.factor.shape)}."
            )
        self.log_scale = torch.as_tensor(log_scale, dtype=mean.dtype, device=mean.device)
        self.log_evidence = torch.as_tensor(log_evidence, dtype=mean.dtype, device=mean.device)

    def __repr__(self) -> str:
        return f"Gaussian(features={self.features}, batch_shape={tuple(self.batch_shape)})"

    @property
    def features(self) -> int:
        """How many numbers a point has: d."""
        return self.mean.shape[-1]

    @property
    def batch_shape(self) -> torch.Size:
        """The shape of the batch of laws."""
        return torch.broadcast_shapes(self.mean.shape[:-1], self.factor.shape[:-2])

    @property
    def covariance(self) -> Float[Tensor, "*batch d d"]:
        r""":math:`S S^\top`."""
        return self.factor @ self.factor.mT

    @property
    def variance(self) -> Float[Tensor, "*batch d"]:
        """The diagonal of the covariance."""
        return self.factor.square().sum(-1)

    @property
    def rank(self) -> Float[Tensor, "*batch"]:
        """The dimension of the support; less than ``features`` where the law is singular."""
        return read_rows(self.factor).rank

    def log_prob(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*out"]:
        r"""Compute the natural log-density; where the law is singular, that on its support, and ``-inf`` beyond.

        .. math:: -\tfrac12 \lVert S^+ (x - \mu) \rVert^2 - \log \operatorname{vol} S - \tfrac{k}{2} \log 2\pi

        with k the rank and vol S the product of the singular values that are not zero. ``log_scale`` is not added.

        Args:
            x: Points, ``(*points, d)``, which broadcast against the batch.
        """
        if x.shape[-1] != self.features:
            raise ShapeError(f"x must have shape (*points, {self.features}), got {tuple(x.shape)}.")
        return log_density(x - self.mean, self.factor, size=x.norm(dim=-1))

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*points d"]:
        """Draw points ``(*shape, *batch, d)`` that carry gradients to mean and factor."""
        drawn = torch.randn(
            (*as_shape(shape), *self.batch_shape, self.factor.shape[-1]),
            dtype=self.mean.dtype,
            device=self.mean.device,
            generator=generator,
        )
        return self.mean + (self.factor @ drawn[..., None])[..., 0]

    def sample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*points d"]:
        """Draw points ``(*shape, *batch, d)`` without gradients."""
        with torch.no_grad():
            return self.rsample(shape, generator=generator)

    def sample_and_log_prob(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        """Draw points with their log-densities, as a proposal does."""
        x = self.sample(shape, generator=generator)
        return x, self.log_prob(x)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Compute the entropy in nats, on the support."""
        rows = read_rows(self.factor)
        return rows.log_volume + rows.rank * (1 + math.log(2 * math.pi)) / 2

    def __rmatmul__(self, matrix: Any) -> "Gaussian":
        matrix = torch.as_tensor(matrix, dtype=self.mean.dtype, device=self.mean.device)
        if matrix.shape[-1] != self.features:
            raise ShapeError(f"the matrix must have {self.features} columns, got shape {tuple(matrix.shape)}.")
        return Gaussian((matrix @ self.mean[..., None])[..., 0], factor=matrix @ self.factor)

    def __add__(self, other: "Gaussian | Tensor | float") -> "Gaussian":
        if isinstance(other, Gaussian):
            return Gaussian(self.mean + other.mean, factor=compress(self.factor, other.factor))
        return Gaussian(self.mean + other, factor=self.factor)

    __radd__ = __add__

    def __neg__(self) -> "Gaussian":
        return Gaussian(-self.mean, factor=-self.factor)

    def __sub__(self, other: "Gaussian | Tensor | float") -> "Gaussian":
        return self + -other

    def __mul__(self, other: "Gaussian") -> "Gaussian":
        if not isinstance(other, Gaussian):
            return NotImplemented
        eye = torch.eye(self.features, dtype=self.mean.dtype, device=self.mean.device)
        both = self.condition(eye, other.mean, noise_factor=other.factor)
        scale = self.log_scale + other.log_scale + both.log_evidence
        return Gaussian(both.mean, factor=both.factor, log_scale=scale)

    def marginal(self, index: Index) -> "Gaussian":
        """Keep some numbers of a point, in the order named.

        Args:
            index: One number's position, several, or a slice.
        """
        kept = positions(index, self.features)
        return Gaussian(self.mean[..., kept], factor=self.factor[..., kept, :])

    def condition(
        self,
        matrix: Float[Tensor, "*batch m d"],
        y: Float[Tensor, "*batch2 _"],
        *,
        noise: Float[Tensor, "*batch3 m m"] | None = None,
        noise_factor: Float[Tensor, "*batch3 m q"] | None = None,
    ) -> "Gaussian":
        r"""Condition on :math:`y = A x + e` with :math:`e \sim \mathcal{N}(0, R)`: the law of x given y.

        .. math:: F = [A S, R^{1/2}] = W Q^\top, \quad K = S Q_1 W^+, \quad
            \mu' = \mu + K (y - A \mu), \quad S' = S\, [I - Q_1 Q_1^\top,\ Q_1 Q_2^\top]

        Without noise, and with rows of A that repeat each other, it still holds.

        Args:
            matrix: A.
            y: What was seen.
            noise: R, a covariance; ``None`` for none.
            noise_factor: A factor of R in its place.

        Returns:
            The law, whose ``log_evidence`` is :math:`\log p(y)`: ``-inf`` for what cannot be seen.

        Raises:
            ShapeError: If the shapes do not fit.

        Reference:
            Bishop, "Pattern Recognition and Machine Learning", 2006, equations (2.113) to (2.117), on factors.
        """
        if matrix.shape[-2:] != (y.shape[-1], self.features):
            raise ShapeError(
                f"the matrix must have shape (*batch, m, {self.features}) and y (*batch, m), got "
                f"{tuple(matrix.shape)} and {tuple(y.shape)}."
            )
        seen = matrix @ self
        if noise is not None:
            noise_factor = covariance_factor(noise)
        gain, factor, evidence = condition_factor(self.factor, seen.factor, noise=noise_factor)
        return Gaussian(
            self.mean + (gain @ (y - seen.mean)[..., None])[..., 0],
            factor=factor,
            log_scale=self.log_scale,
            log_evidence=log_density(y - seen.mean, evidence, size=y.norm(dim=-1)),
        )

    def condition_at(self, index: Index, values: Float[Tensor, "*batch k"]) -> "Gaussian":
        """Condition on the values of some numbers of a point; what comes back is the law of the others, in their order.

        Args:
            index: Which numbers.
            values: What they are.
        """
        known = positions(index, self.features)
        others = [place for place in range(self.features) if place not in known]
        eye = torch.eye(self.features, dtype=self.mean.dtype, device=self.mean.device)
        found = self.condition(eye[known], values)
        kept = found.marginal(others)
        return Gaussian(kept.mean, factor=kept.factor, log_scale=self.log_scale, log_evidence=found.log_evidence)

    def natural(self) -> NaturalParameters:
        """Compute the natural parameters.

        Raises:
            ArgumentError: If the law is singular, so that it has none.
        """
        rows = read_rows(self.factor)
        if rows.basis is not None:
            raise ArgumentError("a singular normal law has no precision. Add noise to it first, or take a marginal.")
        precision = rows.inverse.mT @ rows.inverse
        return NaturalParameters((precision @ self.mean[..., None])[..., 0], precision)

    @classmethod
    def from_natural(cls, shift: Float[Tensor, "*batch d"], precision: Float[Tensor, "*batch2 d d"]) -> "Gaussian":
        """Make a law of its natural parameters.

        Args:
            shift: Precision times mean.
            precision: The inverse of the covariance, positive definite.

        Raises:
            ArgumentError: If the precision is not positive definite.
        """
        lower, failed = torch.linalg.cholesky_ex(precision)
        if failed.any():
            raise ArgumentError("precision must be positive definite: along some direction the law would be improper.")
        eye = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device).expand_as(lower)
        factor = torch.linalg.solve_triangular(lower, eye, upper=False).mT
        return cls((factor @ (factor.mT @ shift[..., None]))[..., 0], factor=factor)

    def kl(self, other: "Gaussian") -> Float[Tensor, "*batch"]:
        r"""Compute :math:`\mathrm{KL}(p \,\|\, q)` in nats; infinite where the supports differ.

        Example:
            >>> Gaussian(torch.ones(1), torch.eye(1)).kl(Gaussian(torch.zeros(1), torch.eye(1)))
            tensor(0.5000)
        """
        return kl_of_factors(self.mean - other.mean, self.factor, other=other.factor)

    def wasserstein2(self, other: "Gaussian") -> Float[Tensor, "*batch"]:
        """Compute the 2-Wasserstein distance, in the units of points; singular laws are no exception.

        Example:
            >>> Gaussian(torch.ones(1), torch.eye(1)).wasserstein2(Gaussian(torch.zeros(1), torch.zeros(1, 1)))
            tensor(1.4142)
        """
        return wasserstein_of_factors(self.mean - other.mean, self.factor, other=other.factor)

"""Mixtures of normal laws with the algebra of their parts."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions.base import as_shape
from counterflow.distributions.gaussian import Gaussian
from counterflow.distributions.positions import Index

__all__ = ["GaussianMixture"]


class GaussianMixture:
    r"""A mixture of normal laws, :math:`\sum_k w_k\, \mathcal{N}(\mu_k, S_k S_k^\top)`, closed under their operations.

    ``A @ p + b``, ``p + q`` (with a normal law or a mixture, independent), ``p * q``, ``marginal`` and ``condition``
    are those of :class:`Gaussian` for every part; a condition weighs the parts anew by their evidence.

    Args:
        weights: ``(k,)``, at least 0; they are divided by their sum.
        parts: A batch of k normal laws.
        log_scale: As in :class:`Gaussian`.
        log_evidence: As in :class:`Gaussian`.

    Raises:
        ShapeError: If there is not one weight for each law.
        ArgumentError: If a weight is negative, or all are zero.

    Reference:
        Bishop, "Pattern Recognition and Machine Learning", 2006, section 2.3.9.

    Example:
        >>> p = GaussianMixture(torch.ones(2), Gaussian(torch.tensor([[-1.0], [1.0]]), torch.eye(1)))
        >>> p.mean, p.covariance
        (tensor([0.]), tensor([[2.]]))
    """

    __array_ufunc__ = None

    def __init__(
        self,
        weights: Float[Tensor, " k"],
        parts: Gaussian,
        *,
        log_scale: Float[Tensor, ""] | float = 0.0,
        log_evidence: Float[Tensor, ""] | float = 0.0,
    ) -> None:
        if weights.dim() != 1 or parts.batch_shape != weights.shape:
            raise ShapeError(
                f"weights must have shape (k,) and parts be a batch of k normal laws, got {tuple(weights.shape)} and "
                f"{tuple(parts.batch_shape)}."
            )
        if not (weights >= 0).all() or not weights.sum() > 0:
            raise ArgumentError("weights must be at least 0 and not all 0.")
        self.weights = weights / weights.sum()
        self.parts = parts
        self.log_scale = torch.as_tensor(log_scale, dtype=weights.dtype, device=weights.device)
        self.log_evidence = torch.as_tensor(log_evidence, dtype=weights.dtype, device=weights.device)

    def __repr__(self) -> str:
        return f"GaussianMixture(parts={len(self.weights)}, features={self.parts.features})"

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """The mean."""
        return self.weights @ self.parts.mean

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """The covariance: that within the parts and that of their means."""
        away = self.parts.mean - self.mean
        each = self.parts.covariance + away[:, :, None] * away[:, None, :]
        return (self.weights[:, None, None] * each).sum(0)

    def log_prob(self, x: Float[Tensor, "*points d"]) -> Float[Tensor, "*points"]:
        """Compute the natural log-density; parts that are singular have none in common with others, and are refused.

        Raises:
            ArgumentError: If some parts are singular and others of another rank.
        """
        if len(self.parts.rank.unique()) > 1:
            raise ArgumentError(
                "the parts must have one rank for a mixture to have a density. Add noise to all of them."
            )
        return (self.weights.log() + self.parts.log_prob(x[..., None, :])).logsumexp(-1)

    def sample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*points d"]:
        """Draw points ``(*shape, d)``."""
        shape = as_shape(shape)
        count = torch.Size(shape).numel()
        drawn = self.parts.sample(count, generator=generator)
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return drawn[torch.arange(count, device=drawn.device), chosen].reshape(*shape, self.parts.features)

    def __rmatmul__(self, matrix: Any) -> "GaussianMixture":
        return GaussianMixture(self.weights, matrix @ self.parts)

    def __add__(self, other: "GaussianMixture | Gaussian | Tensor | float") -> "GaussianMixture":
        if not isinstance(other, GaussianMixture):
            return GaussianMixture(self.weights, self.parts + other)
        mine, theirs, weights = self._pairs(other)
        return GaussianMixture(weights, _flat(mine + theirs))

    __radd__ = __add__

    def __mul__(self, other: "GaussianMixture | Gaussian") -> "GaussianMixture":
        if not isinstance(other, GaussianMixture):
            product = self.parts * other
            return _reweighed(self.weights, product, product.log_scale, before=self, scale=True)
        mine, theirs, weights = self._pairs(other)
        product = _flat(mine * theirs)
        found = _reweighed(weights, product, product.log_scale, before=self, scale=True)
        return GaussianMixture(found.weights, found.parts, log_scale=found.log_scale + other.log_scale)

    def marginal(self, index: Index) -> "GaussianMixture":
        """Keep some numbers of a point, in the order named."""
        return GaussianMixture(self.weights, self.parts.marginal(index))

    def condition(
        self,
        matrix: Float[Tensor, "m d"],
        y: Float[Tensor, " m"],
        *,
        noise: Float[Tensor, "m m"] | None = None,
    ) -> "GaussianMixture":
        """Condition on :math:`y = A x + e`; see :meth:`Gaussian.condition`."""
        found = self.parts.condition(matrix, y, noise=noise)
        return _reweighed(self.weights, found, found.log_evidence, before=self, scale=False)

    def _pairs(self, other: "GaussianMixture") -> tuple[Gaussian, Gaussian, Tensor]:
        """Every part beside every part of another mixture, with the products of their weights."""
        mine = Gaussian(self.parts.mean[:, None], factor=self.parts.factor.expand(len(self.weights), -1, -1)[:, None])
        weights = (self.weights[:, None] * other.weights).flatten()
        return mine, Gaussian(other.parts.mean[None], factor=other.parts.factor), weights


def _flat(pairs: Gaussian) -> Gaussian:
    """A table of laws as a row of them."""
    count = pairs.batch_shape.numel()
    mean = pairs.mean.expand(*pairs.batch_shape, -1)
    factor = pairs.factor.expand(*pairs.batch_shape, -1, -1)
    return Gaussian(
        mean.reshape(count, -1), factor=factor.reshape(count, *factor.shape[-2:]), log_scale=pairs.log_scale.flatten()
    )


def _reweighed(
    weights: Tensor, parts: Gaussian, gains: Tensor, *, before: GaussianMixture, scale: bool
) -> GaussianMixture:
    """Weigh parts anew by the logarithms of what each gained, and keep the logarithm of what all gained together."""
    logs = weights.log() + gains
    total = logs.logsumexp(0)
    found = Gaussian(parts.mean, factor=parts.factor)
    if not total.isfinite():
        raise ArgumentError("no part of the mixture can have given what was seen: its evidence is zero. Add noise.")
    if scale:
        return GaussianMixture((logs - total).exp(), found, log_scale=before.log_scale + total)
    return GaussianMixture((logs - total).exp(), found, log_scale=before.log_scale, log_evidence=total)

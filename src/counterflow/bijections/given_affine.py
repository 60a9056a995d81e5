"""A scale and a shift that the context itself gives."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection
from counterflow.core.checks import check_count
from counterflow.core.errors import ShapeError

__all__ = ["GivenAffine"]


class GivenAffine(AbstractBijection):
    r"""Residuals from what another model predicts: location and log-scale stand first in the context.

    .. math:: z_i = (x_i - m_i)\, e^{-s_i}, \qquad c = [m, s, \ldots]

    It has nothing to learn. A flow behind it learns what the other model has left over, and starts from that model.

    Args:
        features: Number of features d.
        context_features: Length of the context, at least 2 d; what follows the first 2 d numbers is ignored.

    Raises:
        ShapeError: If the context is too short for a location and a log-scale of each feature.

    Example:
        >>> layer = GivenAffine(1, context_features=2)
        >>> z, log_det = layer.to_latent(torch.tensor([5.0]), torch.tensor([1.0, 0.6931472]))
        >>> round(z.item(), 4), round(log_det.item(), 4)
        (2.0, -0.6931)
    """

    def __init__(self, features: int, *, context_features: int) -> None:
        check_count(features, "features")
        if context_features < 2 * features:
            raise ShapeError(
                f"context_features must be at least {2 * features}, a location and a log-scale for each feature, got "
                f"{context_features}. Put them first in the context."
            )
        super().__init__((features,), context_features)

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the location away, then the scale."""
        location, log_scale = self._given(context, x)
        z = (x - location) * torch.exp(-log_scale)
        return z, -log_scale.expand_as(z).sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Scale, then shift."""
        location, log_scale = self._given(context, z)
        x = torch.addcmul(location, z, log_scale.exp())
        return x, log_scale.expand_as(x).sum(-1)

    def _given(self, context: Tensor | None, point: Tensor) -> tuple[Tensor, Tensor]:
        if context is None:  # without one, the identity
            return torch.zeros_like(point), torch.zeros_like(point)
        features = self.event_shape[0]
        return context[..., :features], context[..., features : 2 * features]

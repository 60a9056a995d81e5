"""A stretch towards or away from one point: the radial flow."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.base import AbstractBijection
from counterflow.bijections.planar import LEAST_SLOPE
from counterflow.core.numerics import inverse_softplus, soft_floor
from counterflow.nets import make_conditioner

__all__ = ["Radial"]


class Radial(AbstractBijection):
    r"""A stretch towards or away from one point, the weaker the farther.

    .. math:: z = x + \frac{\beta\, (x - x_0)}{\alpha + r}, \quad r = \lVert x - x_0 \rVert, \quad
        \log |\det| = (d - 1) \log\left(1 + \frac{\beta}{\alpha + r}\right)
        + \log\left(1 + \frac{\alpha \beta}{(\alpha + r)^2}\right)

    It is invertible where :math:`\beta > -\alpha`, which the parameters keep. Directions stay, so the way back is a
    quadratic equation for the radius; its root is taken in the form that loses no digits. :math:`\beta` starts at zero,
    which makes the identity; a net of the context adds to all parameters.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for none.
        hidden: Widths of the hidden layers of the context's net.
        generator: Where the center and the net's weights are drawn from.

    Reference:
        Rezende, Mohamed, "Variational Inference with Normalizing Flows", 2015, equation 14 and appendix A.2.

    Example:
        >>> layer = Radial(3)
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    center: Tensor

    def __init__(
        self,
        features: int,
        *,
        context_features: int = 0,
        hidden: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        self.register_buffer("center", torch.randn(features, generator=generator))
        self.net = make_conditioner(
            0, features + 2, hidden=hidden, context_features=context_features, generator=generator
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Stretch."""
        center, reach, pull = self._settings(x, context)
        offset = x - center
        radius = torch.linalg.vector_norm(offset, dim=-1)
        share, log_det = self._share_and_log_det(radius, reach, pull)
        return x + offset * share.unsqueeze(-1), log_det

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Find the radius before, and stretch back."""
        center, reach, pull = self._settings(z, context)
        offset = z - center
        radius = _radius_before(torch.linalg.vector_norm(offset, dim=-1), reach, pull)
        share, log_det = self._share_and_log_det(radius, reach, pull)
        return z - offset * (share / (1 + share)).unsqueeze(-1), -log_det

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.features}, context_features={self.context_features}"

    def _settings(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Give the center, alpha and beta."""
        context = context if self.context_features else None
        raw = self.net((x if context is None else context)[..., :0], context).to(x.dtype)
        center, reach, pull = raw.split((self.features, 1, 1), -1)
        reach = functional.softplus(reach.squeeze(-1) + inverse_softplus(1.0)) + LEAST_SLOPE
        return self.center + center, reach, reach * soft_floor(pull.squeeze(-1), LEAST_SLOPE - 1)

    def _share_and_log_det(self, radius: Tensor, reach: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
        share = pull / (reach + radius)
        around, outwards = torch.log1p(share), torch.log1p(share * reach / (reach + radius))
        return share, (self.features - 1) * around + outwards


def _radius_before(radius: Tensor, reach: Tensor, pull: Tensor) -> Tensor:
    """Solve radius = r + pull * r / (reach + r) for r, the larger root of r^2 + half r - reach * radius = 0."""
    half = reach + pull - radius
    root = torch.sqrt(half.square() + 4 * reach * radius)
    safe = torch.where(half > 0, half + root, 1.0)  # keeps the branch not taken, and its gradient, finite
    return torch.where(half > 0, 2 * reach * radius / safe, 0.5 * (root - half))

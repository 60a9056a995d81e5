"""Standardization inside the flow, learned from the first data it sees."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractDataDependent

__all__ = ["ActNorm"]


class ActNorm(AbstractDataDependent):
    r"""A shift and a scale of each feature that are set from data once, then trained.

    .. math:: z_i = (x_i - \mu_i)\, e^{-s_i}

    After :meth:`initialize` each latent feature has mean 0 and deviation 1 on the data given. Until then it is the
    identity. That it was initialized is part of the state dict: a loaded model never initializes itself again.

    Args:
        features: Number of features.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, section 3.1.

    Example:
        >>> layer = ActNorm(1)
        >>> layer.initialize(torch.tensor([[1.0], [3.0]]))
        >>> z, log_det = layer.to_latent(torch.tensor([2.0]))
        >>> z.item(), abs(log_det.item())
        (0.0, 0.0)
        >>> bool(layer.initialized)
        True
    """

    initialized: Tensor

    def __init__(self, features: int) -> None:
        super().__init__((features,))
        self.mean = nn.Parameter(torch.zeros(features))
        self.log_deviation = nn.Parameter(torch.zeros(features))
        self.register_buffer("initialized", torch.tensor(False))

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Center and scale."""
        z = (x - self.mean) * torch.exp(-self.log_deviation)
        return z, -self.log_deviation.sum().expand(x.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Scale back and shift back."""
        x = torch.addcmul(self.mean, z, self.log_deviation.exp())
        return x, self.log_deviation.sum().expand(z.shape[:-1])

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Set mean and deviation from data, unless that was done before; a constant feature keeps deviation 1."""
        if self.initialized:
            return
        rows = x.reshape(-1, self.features)
        deviation = rows.std(0, correction=0)
        self.mean.copy_(rows.mean(0))
        self.log_deviation.copy_(torch.where(deviation > 0, deviation, 1.0).log())
        self.initialized.fill_(True)

    def extra_repr(self) -> str:
        """Name the number of features."""
        return f"{self.features}"

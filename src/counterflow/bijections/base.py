"""The one contract of every invertible map."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["AbstractBijection"]


class AbstractBijection(nn.Module, ABC):
    r"""An invertible map between data ``x`` and latent ``z``, with its log-determinants.

    A subclass is final: it defines both directions, each giving value and log-determinant in one pass, and nobody
    overrides them again (to change a bijection, wrap it). With ``z = f(x)``:

    .. math:: \log p_X(x) = \log p_Z(f(x)) + \log \left| \det \frac{\partial f}{\partial x} \right|

    Args:
        event_shape: The shape of one point: ``(features,)`` for tables, ``(channels, height, width)`` for images.
        context_features: The length of the context vector; 0 for an unconditional map.

    Leading (batch) dimensions of ``x`` and ``context`` broadcast. Inputs keep their dtype and device.
    """

    def __init__(self, event_shape: tuple[int, ...], context_features: int = 0) -> None:
        super().__init__()
        self.event_shape = event_shape
        self.context_features = context_features

    @property
    def features(self) -> int:
        """The last dimension of ``event_shape``: the number of columns of a table."""
        return self.event_shape[-1]

    @abstractmethod
    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*rows"]]:
        """Map data to latent: ``(z, log|det dz/dx|)``, the latter one number per point."""

    @abstractmethod
    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*rows"]]:
        """Map latent to data: ``(x, log|det dx/dz|)``, the latter one number per point."""

"""The one contract of every invertible map."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ShapeError

__all__ = ["AbstractBijection", "AbstractDataDependent", "broadcast_batch"]


class AbstractBijection(nn.Module, ABC):
    r"""An invertible map between data ``x`` and latent ``z``, with its log-determinants.

    A subclass is final: it defines both directions, each giving value and log-determinant in one pass, and nobody
    overrides them again (to change a bijection, wrap it). With ``z = f(x)``:

    .. math:: \log p_X(x) = \log p_Z(f(x)) + \log \left| \det \frac{\partial f}{\partial x} \right|

    A bijection is named after what ``to_latent`` does: ``Exp`` maps data x to ``exp(x)``, and ``Invert(Exp())`` is
    the logarithm.

    Args:
        event_shape: The shape of one point: ``(features,)`` for tables, ``(channels, height, width)`` for images.
        context_features: The length of the context vector; 0 for an unconditional map, which ignores any context.

    Leading (batch) dimensions of ``x`` and ``context`` broadcast. Inputs keep their dtype and device.
    """

    one_pass_to_data: ClassVar[bool] = True
    """Whether the way to data costs about as much as the way to latent."""

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
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent: ``(z, log|det dz/dx|)``, the latter one number per point."""

    @abstractmethod
    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map latent to data: ``(x, log|det dx/dz|)``, the latter one number per point."""


class AbstractDataDependent(AbstractBijection):
    """A bijection that can set its parameters from a first batch of data."""

    @abstractmethod
    def initialize(self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Set the parameters from data, once: a second call, or one after loading, changes nothing."""


def broadcast_batch(x: Tensor, context: Tensor | None, event_dimensions: int = 1) -> Tensor:
    """Expand ``x`` to the leading dimensions that it has together with ``context``, without copying.

    Raises:
        ShapeError: If the leading dimensions do not broadcast.

    Example:
        >>> broadcast_batch(torch.zeros(3), torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """
    if context is None:
        return x
    split = x.dim() - event_dimensions
    own, rows = x.shape[:split], context.shape[:-1]
    if own == rows:
        return x
    try:
        batch = torch.broadcast_shapes(own, rows)
    except RuntimeError as error:
        raise ShapeError(
            f"the leading dimensions of x and context must broadcast, got {tuple(own)} and {tuple(rows)}. "
            "Give one context per point, or one that all points share."
        ) from error
    return x.expand(batch + x.shape[split:])

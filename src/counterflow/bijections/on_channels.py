"""A map of some channels, while the others leave: the split of a multi-scale flow."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, AbstractDataDependent, broadcast_batch
from counterflow.core.errors import ShapeError

__all__ = ["OnChannels"]


class OnChannels(AbstractDataDependent):
    r"""A bijection of the first channels; the rest are done, and stay as they are.

    .. math:: z = (f(x_{1 \dots k};\ c),\ x_{k+1 \dots C}), \quad \log |\det| = \log \left| \det J_f \right|

    With ``inner`` a :class:`Squeezed` map of half of the channels it is the split of a multi-scale flow: half of the
    numbers leave at every level, and the latent is still one tensor with the shape of the image.

    Args:
        channels: C, how many channels there are.
        inner: The bijection of the first k of them, of event shape (k, height, width).

    Raises:
        ShapeError: If ``inner`` maps no images, or more channels than there are.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, section 3.6.

    Example:
        >>> from counterflow.bijections import Affine
        >>> layer = OnChannels(2, Affine((1, 1, 1), scale=0.5))
        >>> layer.to_latent(torch.ones(2, 1, 1))[0].flatten().tolist()
        [2.0, 1.0]
    """

    def __init__(self, channels: int, inner: AbstractBijection) -> None:
        if len(inner.event_shape) != 3 or inner.event_shape[0] > channels:
            raise ShapeError(
                f"inner must map images of at most {channels} channels, got event shape {inner.event_shape}. "
                "Build it for (some of the channels, height, width)."
            )
        super().__init__((channels, *inner.event_shape[1:]), inner.context_features)
        self.inner = inner
        self.sizes = (inner.event_shape[0], channels - inner.event_shape[0])

    def to_latent(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the first channels to latent."""
        stay, leave = self._split(x, context)
        z, log_det = self.inner.to_latent(stay, context)
        return torch.cat((z, leave), -3), log_det

    def to_data(
        self, z: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the first channels to data."""
        stay, leave = self._split(z, context)
        x, log_det = self.inner.to_data(stay, context)
        return torch.cat((x, leave), -3), log_det

    def initialize(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> None:
        """Let the inner bijection see the first channels, if it starts from data."""
        if isinstance(self.inner, AbstractDataDependent):
            self.inner.initialize(self._split(x, context)[0], context)

    def extra_repr(self) -> str:
        """Name how many channels are mapped and how many leave."""
        return f"mapped={self.sizes[0]}, leaving={self.sizes[1]}"

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        context = context if self.context_features else None
        stay, leave = broadcast_batch(x, context, 3).split(self.sizes, -3)
        return stay, leave

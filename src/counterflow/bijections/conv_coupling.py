"""Half of the channels decides what happens to the other half, by a convolutional net."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.errors import ShapeError
from counterflow.nets import make_conv_conditioner, run_conditioner

__all__ = ["ConvCoupling"]


class ConvCoupling(AbstractBijection):
    r"""A coupling of channels: one half stays, and sets the parameters of the map of the other half at every pixel.

    .. math:: z_a = x_a, \quad z_b = f(x_b;\ \theta(x_a, c))

    The net :math:`\theta` is convolutional, so a parameter depends on the pixels around. Both directions cost one
    evaluation of it, and the layer starts as the identity.

    Args:
        event_shape: ``(channels, height, width)``, with two channels at least.
        transformer: The family f: ``Shift()`` is additive, ``ScaleShift()`` affine with a bounded log-scale.
        flip: Let the last half stay and map the first.
        hidden: Channels of the net's hidden layers.
        residual: A residual net of one block for each hidden width, all equal, instead of a plain one.
        context_features: Length of the context; 0 for none.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Raises:
        ShapeError: If the points are no images of two channels or more.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, table 1.

    Example:
        >>> from counterflow.bijections import ScaleShift
        >>> layer = ConvCoupling((2, 4, 4), ScaleShift(), hidden=(8,))
        >>> x = torch.randn(5, 2, 4, 4)
        >>> torch.equal(layer.to_latent(x)[0], x)
        True
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        transformer: AbstractTransformer,
        *,
        flip: bool = False,
        hidden: tuple[int, ...] = (64, 64),
        residual: bool = False,
        context_features: int = 0,
        activation: str = "relu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(event_shape, context_features)
        if len(event_shape) != 3 or event_shape[0] < 2:
            raise ShapeError(
                f"event_shape must be (channels, height, width) with two channels at least, got {event_shape}. "
                "Squeeze the images, or use CheckerboardCoupling for one channel."
            )
        self.transformer = transformer
        self.flip = flip
        channels = event_shape[0]
        kept = channels // 2
        self.sizes = (channels - kept, kept) if flip else (kept, channels - kept)
        self.net = make_conv_conditioner(
            kept,
            (channels - kept) * transformer.size,
            hidden=hidden,
            residual=residual,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the free half to latent."""
        kept, free, context = self._split(x, context)
        parameters = run_conditioner(self.net, kept, context).flatten(-3)
        mapped, log_det = self.transformer.to_latent(free.flatten(-3), parameters)
        return self._join(kept, mapped.unflatten(-1, free.shape[-3:])), log_det

    def to_data(
        self, z: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the free half to data."""
        kept, free, context = self._split(z, context)
        parameters = run_conditioner(self.net, kept, context).flatten(-3)
        mapped, log_det = self.transformer.to_data(free.flatten(-3), parameters)
        return self._join(kept, mapped.unflatten(-1, free.shape[-3:])), log_det

    def extra_repr(self) -> str:
        """Name the family and the sizes of the halves."""
        return f"{self.transformer}, event_shape={self.event_shape}, sizes={self.sizes}, flip={self.flip}"

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        context = context if self.context_features else None
        first, second = broadcast_batch(x, context, 3).split(self.sizes, -3)
        return (second, first, context) if self.flip else (first, second, context)

    def _join(self, kept: Tensor, mapped: Tensor) -> Tensor:
        return torch.cat((mapped, kept) if self.flip else (kept, mapped), -3)

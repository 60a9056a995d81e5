"""Every second pixel decides what happens to those between, by a convolutional net."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.errors import ShapeError
from counterflow.nets import make_conv_conditioner, run_conditioner

__all__ = ["CheckerboardCoupling"]


class CheckerboardCoupling(AbstractBijection):
    r"""A coupling of pixels: the black squares of a checkerboard stay, and set how the white ones are mapped.

    .. math:: z = f(x;\ (1 - m) \odot \theta(m \odot x, c)), \quad m_{hw} = [h + w \text{ even}]

    Parameters of zero make the identity, so the pixels with m = 1 stay. It takes images of any size, also of odd height
    or width, and of one channel.

    Args:
        event_shape: ``(channels, height, width)``.
        transformer: The family f: ``Shift()`` is additive, ``ScaleShift()`` affine with a bounded log-scale.
        flip: Let the white squares stay and map the black ones.
        hidden: Channels of the net's hidden layers.
        residual: A residual net of one block for each hidden width, all equal, instead of a plain one.
        context_features: Length of the context; 0 for none.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Raises:
        ShapeError: If the points are no images.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, section 3.4 and figure 3.

    Example:
        >>> from counterflow.bijections import Shift
        >>> CheckerboardCoupling((1, 3, 3), Shift(), hidden=(8,)).kept.int().tolist()
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    """

    kept: Tensor

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
        if len(event_shape) != 3:
            raise ShapeError(
                f"event_shape must be (channels, height, width), got {event_shape}. Use Coupling for vectors."
            )
        self.transformer = transformer
        self.flip = flip
        channels, height, width = event_shape
        board = (torch.arange(height)[:, None] + torch.arange(width)) % 2
        self.register_buffer("kept", (board == int(flip)).to(torch.get_default_dtype()), persistent=False)
        self.net = make_conv_conditioner(
            channels,
            channels * transformer.size,
            hidden=hidden,
            residual=residual,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the free pixels to latent."""
        x, parameters = self._points_and_parameters(x, context)
        z, log_det = self.transformer.to_latent(x, parameters)
        return z.unflatten(-1, self.event_shape), log_det

    def to_data(
        self, z: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map the free pixels to data."""
        z, parameters = self._points_and_parameters(z, context)
        x, log_det = self.transformer.to_data(z, parameters)
        return x.unflatten(-1, self.event_shape), log_det

    def extra_repr(self) -> str:
        """Name the family and the shape."""
        return f"{self.transformer}, event_shape={self.event_shape}, flip={self.flip}"

    def _points_and_parameters(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        context = context if self.context_features else None
        x = broadcast_batch(x, context, 3)
        parameters = run_conditioner(self.net, x * self.kept, context) * (1 - self.kept)
        return x.flatten(-3), parameters.flatten(-3)

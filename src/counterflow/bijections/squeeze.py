"""Space into depth: blocks of pixels become channels, so that what maps channels mixes neighbors."""

from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.core.checks import check_count
from counterflow.core.errors import ShapeError

__all__ = ["Squeezed", "squeeze", "unsqueeze"]


def squeeze(
    x: Float[Tensor, "*batch channels height width"], factor: int = 2
) -> Float[Tensor, "*batch deep low narrow"]:
    r"""Cut an image into blocks of factor by factor pixels, and make each block one pixel of more channels.

    .. math:: z_{(c f + i) f + j,\ h,\ w} = x_{c,\ h f + i,\ w f + j}

    Args:
        x: Images.
        factor: f, which divides height and width.

    Returns:
        Images of :math:`f^2` times as many channels.

    Raises:
        ShapeError: If the factor does not divide height and width.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, section 3.6.

    Example:
        >>> import torch
        >>> squeeze(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).flatten().tolist()
        [1.0, 2.0, 3.0, 4.0]
        >>> squeeze(torch.zeros(1, 3, 4))
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ShapeError: height and width must be multiples of 2, got (3, 4). Crop or pad the ...
    """
    check_count(factor, "factor")
    height, width = x.shape[-2:]
    if height % factor or width % factor:
        raise ShapeError(
            f"height and width must be multiples of {factor}, got {(height, width)}. "
            "Crop or pad the images, or leave them as they are."
        )
    blocks = x.unflatten(-1, (-1, factor)).unflatten(-3, (-1, factor))  # channels, h, i, w, j
    return blocks.movedim((-3, -1), (-4, -3)).flatten(-5, -3)


def unsqueeze(
    z: Float[Tensor, "*batch deep low narrow"], factor: int = 2
) -> Float[Tensor, "*batch channels height width"]:
    """Spread channels over blocks of pixels: the inverse of :func:`squeeze`.

    Args:
        z: Images whose number of channels is a multiple of factor squared.
        factor: Height and width of a block.

    Returns:
        Images ``factor`` times as high and wide.

    Raises:
        ShapeError: If the channels do not fill whole blocks.

    Example:
        >>> import torch
        >>> unsqueeze(torch.arange(4.0).reshape(4, 1, 1)).tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]
    """
    check_count(factor, "factor")
    if z.shape[-3] % factor**2:
        raise ShapeError(
            f"the number of channels must be a multiple of {factor**2}, got {z.shape[-3]}. Choose another factor."
        )
    blocks = z.unflatten(-3, (-1, factor, factor))  # channels, i, j, h, w
    return blocks.movedim((-4, -3), (-3, -1)).flatten(-2).flatten(-3, -2)


class Squeezed(AbstractDataDependent):
    r"""A bijection of squeezed images, as one of images: squeeze, map, spread out again.

    .. math:: z = S^{-1}(f(S(x);\ c)), \quad \log |\det| = \log \left| \det J_f(S(x);\ c) \right|

    Data and latent have the shape of the image, so that layers before and after need not know of it.

    Args:
        inner: The bijection of squeezed images, of event shape (channels, height, width).
        factor: How many pixels of an image's side make one of the squeezed image.

    Raises:
        ShapeError: If the channels of ``inner`` do not fill whole blocks.

    Example:
        >>> from counterflow.bijections import Affine
        >>> Squeezed(Affine((4, 3, 3))).event_shape
        (1, 6, 6)
    """

    def __init__(self, inner: AbstractBijection, factor: int = 2) -> None:
        check_count(factor, "factor")
        if len(inner.event_shape) != 3 or inner.event_shape[0] % factor**2:
            raise ShapeError(
                f"inner must map images of {factor**2} channels or a multiple, got {inner.event_shape}. "
                "Build it for (channels * factor**2, height // factor, width // factor)."
            )
        channels, height, width = inner.event_shape
        super().__init__((channels // factor**2, height * factor, width * factor), inner.context_features)
        self.inner = inner
        self.factor = factor

    def to_latent(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Squeeze, map to latent, and spread out."""
        z, log_det = self.inner.to_latent(squeeze(x, self.factor), context)
        return unsqueeze(z, self.factor), log_det

    def to_data(
        self, z: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Squeeze, map to data, and spread out."""
        x, log_det = self.inner.to_data(squeeze(z, self.factor), context)
        return unsqueeze(x, self.factor), log_det

    def initialize(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> None:
        """Let the inner bijection see the squeezed data, if it starts from data."""
        if isinstance(self.inner, AbstractDataDependent):
            self.inner.initialize(squeeze(x, self.factor), context)

    def extra_repr(self) -> str:
        """Name the shape of one point."""
        return f"event_shape={self.event_shape}"

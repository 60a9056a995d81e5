"""One map of vectors at every pixel: the invertible 1x1 convolution, and normalization of channels."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.bijections.chain import Chain
from counterflow.bijections.lu import LULinear
from counterflow.bijections.permutation import Permutation
from counterflow.core.checks import check_count

__all__ = ["PixelWise", "invertible_conv"]


class PixelWise(AbstractDataDependent):
    r"""A bijection of the channels, the same at every pixel of an image.

    .. math:: z_{\cdot hw} = f(x_{\cdot hw};\ c), \quad
        \log |\det| = \sum_{h, w} \log \left| \det J_f(x_{\cdot hw};\ c) \right|

    Around ``ActNorm(channels)`` it normalizes each channel over images and pixels; around ``LULinear(channels)`` it is
    a 1x1 convolution, whose log-determinant is height times width times that of the matrix.

    Args:
        inner: The bijection of one pixel, whose features are the channels.
        size: Height and width of the image.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, table 1.

    Example:
        >>> from counterflow.bijections import Affine
        >>> layer = PixelWise(Affine(1, scale=0.5), (2, 3))
        >>> z, log_det = layer.to_latent(torch.ones(1, 2, 3))
        >>> z.tolist(), round(log_det.item(), 4)  # 6 log 2
        ([[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]], 4.1589)
    """

    def __init__(self, inner: AbstractBijection, size: tuple[int, int]) -> None:
        for side in size:
            check_count(side, "height and width")
        super().__init__((inner.features, *size), inner.context_features)
        self.inner = inner

    def to_latent(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map every pixel to latent."""
        z, log_det = self.inner.to_latent(x.movedim(-3, -1), _for_pixels(context))
        return z.movedim(-1, -3), log_det.sum((-2, -1))

    def to_data(
        self, z: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out channels height width"], Float[Tensor, "*out"]]:
        """Map every pixel to data."""
        x, log_det = self.inner.to_data(z.movedim(-3, -1), _for_pixels(context))
        return x.movedim(-1, -3), log_det.sum((-2, -1))

    def initialize(
        self, x: Float[Tensor, "*batch channels height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> None:
        """Let the inner bijection see the pixels of all images, if it starts from data."""
        if isinstance(self.inner, AbstractDataDependent):
            self.inner.initialize(x.movedim(-3, -1), _for_pixels(context))


def invertible_conv(event_shape: tuple[int, int, int], *, generator: torch.Generator | None = None) -> PixelWise:
    r"""Make the invertible 1x1 convolution: a matrix that mixes the channels of each pixel, by its LU factors.

    .. math:: z_{\cdot hw} = L U P\, x_{\cdot hw} + b, \quad \log |\det| = H W \sum_i \log u_{ii}

    Args:
        event_shape: ``(channels, height, width)``.
        generator: Where the fixed permutation P comes from.

    Returns:
        The layer, which starts as the permutation.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, equation 10.

    Example:
        >>> layer = invertible_conv((3, 2, 2))
        >>> layer.to_latent(torch.ones(3, 2, 2))[1].item()
        0.0
    """
    channels, *_ = event_shape
    mix = Chain([Permutation.random(channels, generator=generator), LULinear(channels)])
    return PixelWise(mix, event_shape[1:])


def _for_pixels(context: Tensor | None) -> Tensor | None:
    return None if context is None else context[..., None, None, :]

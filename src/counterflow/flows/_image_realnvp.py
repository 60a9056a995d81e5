"""RealNVP of images: couplings by checkerboards and by channels, at several scales."""

import torch

from counterflow.bijections import (
    AbstractBijection,
    Chain,
    CheckerboardCoupling,
    ConvCoupling,
    OnChannels,
    Squeezed,
)
from counterflow.core.checks import check_count
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import image_recipe
from counterflow.flows.scales import Shape, channel_norm, choose_levels, coupling_family, image_flow

__all__ = ["image_realnvp"]


@image_recipe
def image_realnvp(
    event_shape: tuple[int, ...],
    *,
    context_features: int = 0,
    levels: int | None = None,
    layers: int = 3,
    hidden: tuple[int, ...] = (32, 32),
    affine: bool = True,
    bounds: tuple[float, float] | None = None,
    margin: float = 0.05,
    activation: str = "relu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a RealNVP of images: checkerboard couplings, a squeeze, channel couplings, and half of the channels leave.

    .. math:: z_b = x_b\, e^{s(x_a, c)} + t(x_a, c)

    The last level has one coupling more, by checkerboards. Before each coupling the channels are normalized from data
    (the paper has batch normalization there). The latent has the shape of the image. Any size and number of channels is
    taken; what is not a multiple of 2 is not squeezed.

    Args:
        event_shape: ``(channels, height, width)``.
        context_features: Length of the context, which moves the hidden layers of all nets; 0 for none.
        levels: How often the image is squeezed; both sides must be multiples of :math:`2^{levels}`. ``None`` for up to
            three times, as the sides allow.
        layers: Number of couplings between one squeeze or split and the next.
        hidden: Channels of the residual nets, one number for each block, all equal.
        affine: Affine couplings with a bounded log-scale; additive ones if false.
        bounds: Between which numbers the pixels lie, (0, 256) for dequantized bytes: then a logit comes first.
        margin: How far beyond the bounds the logit reaches, as a share of the widened range.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density (of logits, where there are bounds).

    Raises:
        ShapeError: If the points are no images, or a side is no multiple of :math:`2^{levels}`.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, sections 3.4 to 3.6 and 4.1.

    Example:
        >>> flow = image_realnvp((3, 4, 4), layers=2, hidden=(8,))
        >>> flow(torch.zeros(5, 3, 4, 4)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    levels = choose_levels(event_shape, levels)

    def couplings(
        kind: type[CheckerboardCoupling] | type[ConvCoupling], shape: Shape, count: int
    ) -> list[AbstractBijection]:
        parts: list[AbstractBijection] = []
        for i in range(count):
            coupling = kind(
                shape,
                coupling_family(affine=affine),
                flip=i % 2 == 1,
                hidden=hidden,
                residual=True,
                context_features=context_features,
                activation=activation,
                generator=generator,
            )
            parts += [channel_norm(shape), coupling]
        return parts

    def scale(shape: Shape, left: int) -> AbstractBijection:
        if not left:
            return Chain(couplings(CheckerboardCoupling, shape, layers + 1))
        inner = (shape[0] * 4, shape[1] // 2, shape[2] // 2)
        rest = OnChannels(inner[0], scale((inner[0] // 2, *inner[1:]), left - 1))
        squeezed = Squeezed(Chain([*couplings(ConvCoupling, inner, layers), rest]))
        return Chain([*couplings(CheckerboardCoupling, shape, layers), squeezed])

    channels, height, width = event_shape
    return image_flow(scale((channels, height, width), levels), bounds=bounds, margin=margin)

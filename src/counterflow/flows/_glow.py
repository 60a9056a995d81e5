"""Glow: normalization, an invertible 1x1 convolution and a coupling of channels, at several scales."""

import torch

from counterflow.bijections import AbstractBijection, Chain, OnChannels, Squeezed, invertible_conv
from counterflow.core.checks import check_count
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import image_recipe
from counterflow.flows.scales import Shape, channel_norm, choose_levels, coupling_family, image_coupling, image_flow

__all__ = ["glow"]


@image_recipe
def glow(
    event_shape: tuple[int, ...],
    *,
    context_features: int = 0,
    levels: int | None = None,
    steps: int = 8,
    hidden: tuple[int, ...] = (64, 64),
    affine: bool = True,
    bounds: tuple[float, float] | None = None,
    margin: float = 0.05,
    activation: str = "relu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a Glow: at each level the image is squeezed, several steps of flow follow, and half of the channels leave.

    .. math:: z = \text{coupling}(W\, \text{norm}(x)) \quad \text{per step}, \qquad
        z_{\text{leaving}} = (x_b - \mu(x_a))\, e^{-s(x_a)} \quad \text{per level}

    The latent has the shape of the image: what leaves at a level is spread over the pixels it came from. Sizes that no
    2 divides are not squeezed; an image of one channel is then coupled by checkerboards.

    Args:
        event_shape: ``(channels, height, width)``.
        context_features: Length of the context, which moves the hidden layers of all nets; 0 for none.
        levels: How often the image is squeezed; both sides must be multiples of :math:`2^{levels}`. ``None`` for up to
            three times, as the sides allow.
        steps: Steps of flow in each level.
        hidden: Channels of the hidden layers of each coupling's net: windows of 3 by 3, then 1 by 1, and 3 by 3.
        affine: Affine couplings with a bounded log-scale; additive ones if false.
        bounds: Between which numbers the pixels lie, (0, 256) for dequantized bytes: then a logit comes first.
        margin: How far beyond the bounds the logit reaches, as a share of the widened range.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density (of logits, where there are bounds).

    Raises:
        ShapeError: If the points are no images, or a side is no multiple of :math:`2^{levels}`.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, section 3 and figure 2.

    Example:
        >>> flow = glow((1, 4, 4), levels=1, steps=2, hidden=(8,))
        >>> z, log_det = flow.to_latent(torch.zeros(5, 1, 4, 4))
        >>> z.shape, log_det.shape
        (torch.Size([5, 1, 4, 4]), torch.Size([5]))
    """
    check_count(steps, "steps")
    levels = choose_levels(event_shape, levels)
    nets = {"context_features": context_features, "activation": activation, "generator": generator}

    def step(shape: Shape, *, flip: bool) -> list[AbstractBijection]:
        mix = invertible_conv(shape, generator=generator)
        return [
            channel_norm(shape),
            mix,
            image_coupling(shape, coupling_family(affine=affine), flip=flip, hidden=hidden, **nets),
        ]

    def scale(shape: Shape, left: int) -> AbstractBijection:
        inner = (shape[0] * 4, shape[1] // 2, shape[2] // 2) if left else shape
        parts = [part for i in range(steps) for part in step(inner, flip=i % 2 == 1)]
        if left > 1:
            prior = image_coupling(inner, coupling_family(affine=True), flip=False, hidden=(), **nets)
            parts += [prior, OnChannels(inner[0], scale((inner[0] // 2, *inner[1:]), left - 1))]
        return Squeezed(Chain(parts)) if left else Chain(parts)

    channels, height, width = event_shape
    return image_flow(scale((channels, height, width), levels), bounds=bounds, margin=margin)

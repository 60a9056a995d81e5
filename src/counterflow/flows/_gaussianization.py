"""Gaussianization flows: make every feature normal, rotate, and again."""

import torch

from counterflow.bijections import AbstractBijection, Chain, Gaussianize, Orthogonal, Whitening
from counterflow.core.checks import check_count
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["gaussianization"]


@recipe
def gaussianization(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 8,
    hidden: tuple[int, ...] = (64,),
    components: int = 8,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a Gaussianization flow: good before any gradient, because each layer is fitted to what reaches it.

    .. math:: z \leftarrow Q z, \quad z_i \leftarrow \Phi^{-1}(F_i(z_i; c))

    The first layer whitens the data; then distribution functions of mixtures alternate with rotations, which start at
    random. ``flow.initialize(x)``, which ``fit`` calls, fits the whitening and the mixtures from data to latent;
    training then moves rotations and mixtures together. With a context, linear means and the mixtures follow it.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of layers of distribution functions, with a rotation before each but the first.
        hidden: Widths of the hidden layers of each layer's net of the context; without a context there is none.
        components: Normal laws in the mixture of each feature.
        activation: Name of the nets' nonlinearity.
        generator: Where rotations and initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Chen, Gopinath, "Gaussianization", 2000; Meng, Song, Song, Ermon, "Gaussianization flows", 2020, section 3.

    Example:
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).exp()
        >>> flow = gaussianization(2, layers=3, generator=torch.Generator().manual_seed(0))
        >>> before = flow(x).mean()
        >>> flow.initialize(x)
        >>> bool(flow(x).mean() > before + 1)
        True
    """
    check_count(layers, "layers")
    stack: list[AbstractBijection] = [Whitening(features, context_features=context_features)]
    for layer in range(layers):
        if layer > 0 and features > 1:
            stack.append(Orthogonal(features, generator=generator))
        stack.append(
            Gaussianize(
                features,
                components=components,
                hidden=hidden,
                context_features=context_features,
                activation=activation,
                generator=generator,
            )
        )
    return Flow(Chain(stack), StandardNormal(features))

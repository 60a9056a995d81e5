"""A transformer autoregressive flow: maps over tokens, with parameters from attention to the tokens before."""

import torch

from counterflow.bijections import ActNorm, Chain, ScaleShift, TransformerAutoregressive
from counterflow.core.checks import check_count
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["transformer_autoregressive"]


@recipe
def transformer_autoregressive(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 4,
    hidden: tuple[int, ...] = (64, 64),
    heads: int = 4,
    token: int = 1,
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a transformer autoregressive flow: densities in one pass, samples in one step per token.

    .. math:: z_t = x_t\, e^{s_t(x_{<t}, c)} + m_t(x_{<t}, c)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; the order of the tokens is reversed from one to the next.
        hidden: The width of each map's transformer, once for each of its blocks.
        heads: Number of attentions side by side; it divides the width.
        token: Number of features that make a token; it divides ``features``. A larger one makes samples quicker.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Zhai et al., "Normalizing Flows are Capable Generative Models", 2025.

    Example:
        >>> flow = transformer_autoregressive(3, layers=2, hidden=(16,))
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    maps = [
        TransformerAutoregressive(
            features,
            ScaleShift(),
            token=token,
            reverse=layer % 2 == 1,
            hidden=hidden,
            heads=heads,
            context_features=context_features,
            generator=generator,
        )
        for layer in range(layers)
    ]
    return Flow(Chain([ActNorm(features), *maps]), StandardNormal(features))

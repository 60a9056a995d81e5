"""The linear flow: a normal density, conditional if wanted."""

import torch

from counterflow.bijections import Affine, Chain, LowerTriangular
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["linear"]


@recipe
def linear(
    features: int,
    *,
    context_features: int = 0,
    hidden: tuple[int, ...] = (),
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a linear flow: the normal density of any mean and covariance.

    .. math:: z = L x + b \quad \Rightarrow \quad x \sim \mathcal{N}(-L^{-1} b,\ (L^\top L)^{-1})

    ``flow.initialize(x)`` sets it to the maximum-likelihood normal density at once. With a context, mean and scales
    in the whitened space move with it: linearly, or through a net where ``hidden`` is given.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        hidden: Widths of the hidden layers of the context's net.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Papamakarios et al., "Normalizing Flows for Probabilistic Modeling and Inference", 2021, section 3.1.3
        (linear flows).

    Example:
        >>> flow = linear(2)
        >>> flow.initialize(torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 4.0]]))
        >>> round(flow(torch.tensor([1.0, 2.0])).item(), 4)  # -log(2 pi): the determinant of the covariance is 1
        -1.8379
    """
    whiten = LowerTriangular(features)
    if not context_features:
        return Flow(whiten, StandardNormal(features))
    move = Affine(features, context_features=context_features, hidden=hidden, generator=generator)
    return Flow(Chain([whiten, move]), StandardNormal(features))

"""Functions on flows: composing them, starting them from data, and asking what a point would be elsewhere."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import AbstractBijection, Chain
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import AbstractDistribution, StandardNormal
from counterflow.flows.flow import Flow

__all__ = ["change_context", "compose", "initialize", "reversible"]


def compose(
    bijections: AbstractBijection | Iterable[AbstractBijection], base: AbstractDistribution | None = None
) -> Flow:
    """Make a flow of bijections of your own.

    Args:
        bijections: One, or several from data to latent.
        base: The density of the latent; ``None`` for the standard normal.

    Returns:
        The flow; no recipe can rebuild it, so keep its ``state_dict()`` instead of saving it to a folder.

    Example:
        >>> import torch
        >>> from counterflow import bijections, distributions, flows
        >>> flow = flows.compose(bijections.Affine(1, scale=4.0), distributions.Uniform(0.0, 2.0))  # X = 4 Z
        >>> round(flow(torch.tensor([5.0])).exp().item(), 4)
        0.125
    """
    bijection = bijections if isinstance(bijections, AbstractBijection) else Chain(bijections)
    return Flow(bijection, StandardNormal(bijection.event_shape) if base is None else base)


def initialize(flow: Flow, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None) -> Flow:
    """Let the layers that start from data see some, in one pass: normalization and whitening.

    Layers that were initialized before, in this process or before they were saved, stay as they are.

    Args:
        flow: The flow, changed in place.
        x: Data; a few thousand points are plenty.
        context: Their contexts.

    Returns:
        The same flow.

    Example:
        >>> import torch
        >>> from counterflow import flows
        >>> flow = flows.initialize(flows.realnvp(1), torch.tensor([[9.0], [11.0]]))
        >>> flow.to_latent(torch.tensor([10.0]))[0].tolist()
        [0.0]
    """
    flow.initialize(x, context)
    return flow


def change_context(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    before: Float[Tensor, "*rows c"],
    after: Float[Tensor, "*others c"],
    strength: float | Float[Tensor, "*points"] = 1.0,
) -> Float[Tensor, "*out"]:
    r"""Say what a point would be under another context, with everything particular to it kept.

    .. math:: z = f(x; c), \qquad x' = f^{-1}(z; c'), \qquad x_s = x + s\,(x' - x)

    Abduct (find the latent under the context it had), act (change the context), predict (map back). The latent
    is what the context does not explain: the same quantile in each feature's conditional law.

    Args:
        flow: A conditional flow.
        x: Points.
        before: The context they had.
        after: The context they get.
        strength: s, at least 0: 0 gives the points themselves, 1 the change, more goes beyond. One for all points or
            one for each. The way between is straight in the space of the points: good where straight lines make sense,
            as in the latents of an autoencoder; for pixels change ``after`` bit by bit instead.

    Returns:
        The points under the new context.

    Raises:
        ArgumentError: If a strength is negative or not finite.
        ShapeError: If there is neither one strength nor one for each point.

    Reference:
        Pearl, "Causality", 2nd edition, 2009, theorem 7.1.7 (abduction, action, prediction).

    Example:
        >>> import torch
        >>> from counterflow import flows
        >>> flow, x = flows.maf(2, context_features=1), torch.tensor([1.0, 2.0])
        >>> change_context(flow, x, before=torch.zeros(1), after=torch.ones(1)).tolist()  # not trained: no effect
        [1.0, 2.0]
    """
    weight = torch.as_tensor(strength, dtype=x.dtype, device=x.device)
    if not bool((weight.isfinite() & (weight >= 0)).all()):
        raise ArgumentError(f"strength must be at least 0 and finite, got {strength}. Use 1 for the whole change.")
    points = x.shape[: x.dim() - len(flow.event_shape)]
    if weight.dim() and weight.shape != points:
        raise ShapeError(
            f"strength must be one number, or one for each of the points {tuple(points)}, got shape "
            f"{tuple(weight.shape)}. Give as many as points."
        )
    z, _ = flow.to_latent(x, before)
    changed, _ = flow.to_data(z, after)
    return torch.lerp(x, changed, weight.reshape(*weight.shape, *[1] * len(flow.event_shape)))


def reversible(flow: Flow) -> Flow:
    """Let a flow train in memory that does not grow with its depth.

    What the gradients need is computed again on the way back, layer by layer, which takes about a third more time.
    Such a flow is trained eagerly: compiled code and ``torch.func`` would ignore the setting.

    Args:
        flow: The flow, changed in place.

    Returns:
        The same flow.

    Example:
        >>> from counterflow import flows
        >>> deep = flows.reversible(flows.realnvp(2, layers=50))
        >>> deep.bijection.reversible
        True
    """
    for module in flow.modules():
        if isinstance(module, Chain):
            module.reversible = True
    return flow

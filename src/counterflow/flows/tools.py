"""Functions on flows: composing them, starting them from data, and asking what a point would be elsewhere."""

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import AbstractBijection, Chain
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
    flow: Flow, x: Float[Tensor, "*batch"], *, before: Float[Tensor, "*rows c"], after: Float[Tensor, "*others c"]
) -> Float[Tensor, "*out"]:
    r"""Say what a point would be under another context, with everything particular to it kept.

    .. math:: z = f(x; c), \quad x' = f^{-1}(z; c')

    Abduct (find the latent under the context it had), act (change the context), predict (map back). The latent
    is what the context does not explain: the same quantile in each feature's conditional law.

    Args:
        flow: A conditional flow.
        x: Points.
        before: The context they had.
        after: The context they get.

    Returns:
        The points under the new context.

    Reference:
        Pearl, "Causality", 2nd edition, 2009, theorem 7.1.7 (abduction, action, prediction).

    Example:
        >>> import torch
        >>> from counterflow import flows
        >>> flow, x = flows.maf(2, context_features=1), torch.tensor([1.0, 2.0])
        >>> change_context(flow, x, before=torch.zeros(1), after=torch.ones(1)).tolist()  # not trained: no effect
        [1.0, 2.0]
    """
    z, _ = flow.to_latent(x, before)
    return flow.to_data(z, after)[0]


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

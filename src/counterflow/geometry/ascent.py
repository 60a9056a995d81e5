r"""The theorem behind diffeomorphic counterfactuals, as functions.

A step of gradient ascent in the latent, seen in data space, is a step along the gradient after the inverse metric:

.. math:: g\big(z + \lambda \nabla_z f(g(z))\big) = x + \lambda\, J J^\top \nabla_x f(x) + O(\lambda^2)

Across the manifold of the data :math:`J J^\top` is as small as the variance of the noise there, so that such steps lead
along it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.flows import Flow
from counterflow.geometry.jacobians import point_map
from counterflow.geometry.metric import raise_gradient

__all__ = ["ascent_gap", "latent_step", "metric_step"]

Objective = Callable[[Tensor], Tensor]


def latent_step(
    flow: Flow,
    x: Float[Tensor, "rows *event"],
    *,
    objective: Objective,
    rate: float,
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "rows *event"]:
    r"""Take one step of gradient ascent in the latent: :math:`g(z + \lambda \nabla_z f(g(z)))` with z = z(x).

    Args:
        flow: The flow.
        x: Points.
        objective: What rises: one number for each point, each of its point alone.
        rate: The step length :math:`\lambda`.
        context: One context that all points share, for a conditional flow.

    Returns:
        The points after the step.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))
        >>> latent_step(flow, torch.zeros(1, 2), objective=lambda x: x.sum(1), rate=0.25)
        tensor([[4., 4.]])
    """
    to_data = point_map(flow, context)
    with torch.no_grad():
        z, _ = flow.to_latent(x, context)
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(objective(to_data(z)).sum(), z)
    with torch.no_grad():
        return to_data(z + rate * gradient)


def metric_step(
    flow: Flow,
    x: Float[Tensor, "rows *event"],
    *,
    objective: Objective,
    rate: float,
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "rows *event"]:
    r"""Take one step of gradient ascent under the induced metric: :math:`x + \lambda J J^\top \nabla f(x)`.

    Arguments and result are those of :func:`latent_step`, which it equals up to :math:`O(\lambda^2)`.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))
        >>> metric_step(flow, torch.zeros(1, 2), objective=lambda x: x.sum(1), rate=0.25)
        tensor([[4., 4.]])
    """
    point = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(point).sum(), point)
    return x + rate * raise_gradient(flow, x, gradient=gradient, context=context)


def ascent_gap(
    flow: Flow,
    x: Float[Tensor, "rows *event"],
    *,
    objective: Objective,
    rate: float,
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, " rows"]:
    """Measure how far :func:`latent_step` and :func:`metric_step` part; half the rate makes a quarter of it.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Exp(1))  # x = log z
        >>> x = torch.zeros(1, 1)
        >>> whole, half = (ascent_gap(flow, x, objective=lambda x: x[:, 0], rate=rate) for rate in (0.02, 0.01))
        >>> round((whole / half).item(), 1)
        4.0
    """
    first = latent_step(flow, x, objective=objective, rate=rate, context=context)
    second = metric_step(flow, x, objective=objective, rate=rate, context=context)
    return (first - second).flatten(1).norm(dim=1)

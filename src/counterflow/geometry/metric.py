r"""The metric that a flow induces on data: lengths are measured in the latent.

.. math:: G(x) = \Big(\frac{\partial z}{\partial x}\Big)^{\!\top} \frac{\partial z}{\partial x}, \qquad
    G^{-1}(x) = \frac{\partial x}{\partial z} \Big(\frac{\partial x}{\partial z}\Big)^{\!\top}
"""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_event
from counterflow.flows import Flow
from counterflow.geometry.jacobians import POINTS_AT_ONCE, data_jacobian, point_map
from counterflow.geometry.jacobians import jacobian as jacobian_of

__all__ = ["induced_metric", "inverse_metric", "raise_gradient"]


def induced_metric(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, " c"] | None = None,
    points_at_once: int = POINTS_AT_ONCE,
) -> Float[Tensor, "*rows d d"]:
    r"""Compute the metric :math:`G = (\partial z / \partial x)^\top (\partial z / \partial x)` at points.

    A small step v from x has length :math:`\sqrt{v^\top G v}` in the latent: long across the manifold of the
    data, short along it.

    Args:
        flow: The flow.
        x: Points, ``(*batch, *event_shape)``.
        context: One context that all points share, for a conditional flow.
        points_at_once: How many copies of points go through the flow together.

    Returns:
        One symmetric positive definite matrix for each point, over its d flattened numbers.

    Raises:
        ShapeError: ``x`` is not made of points of this flow.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022, section 3.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))  # X = 4 Z
        >>> induced_metric(flow, torch.zeros(2)).diagonal()
        tensor([0.0625, 0.0625])
    """
    check_event(x, flow.event_shape)
    batch = x.shape[: x.dim() - len(flow.event_shape)]
    rows = x.detach().reshape(-1, *flow.event_shape)
    slope = jacobian_of(lambda x: flow.to_latent(x, context)[0], rows, points_at_once=points_at_once)
    metric = slope.mT @ slope
    return metric.unflatten(0, batch) if batch else metric[0]


def inverse_metric(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, " c"] | None = None,
    points_at_once: int = POINTS_AT_ONCE,
) -> Float[Tensor, "*rows d d"]:
    r"""Compute :math:`G^{-1} = J J^\top` with :math:`J = \partial x / \partial z` at z(x).

    It is what a step of gradient ascent in the latent multiplies the gradient with (:func:`metric_step`), and the
    covariance of the data near x to first order. It comes from the way to data and not from inverting
    :func:`induced_metric`, whose largest numbers drown its smallest.

    Args:
        flow: The flow.
        x: Points, ``(*batch, *event_shape)``.
        context: One context that all points share, for a conditional flow.
        points_at_once: How many copies of points go through the flow together.

    Returns:
        One symmetric positive definite matrix for each point, over its d flattened numbers.

    Raises:
        ShapeError: ``x`` is not made of points of this flow.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))
        >>> inverse_metric(flow, torch.zeros(2)).diagonal()
        tensor([16., 16.])
    """
    slope = data_jacobian(flow, x, context=context, points_at_once=points_at_once)
    return slope @ slope.mT


def raise_gradient(
    flow: Flow,
    x: Float[Tensor, "rows *event"],
    *,
    gradient: Float[Tensor, "rows *event"],
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "rows *event"]:
    r"""Compute :math:`J J^\top v` for gradients v, without forming a matrix.

    Args:
        flow: The flow.
        x: Points.
        gradient: One vector for each point, of its shape.
        context: One context that all points share, for a conditional flow.

    Returns:
        One vector for each point.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))
        >>> raise_gradient(flow, torch.zeros(1, 2), gradient=torch.ones(1, 2))
        tensor([[16., 16.]])
    """
    with torch.no_grad():
        z, _ = flow.to_latent(x, context)
    _, pull, *_ = torch.func.vjp(point_map(flow, context), z)
    pulled, push, *_ = torch.func.vjp(lambda vector: pull(vector)[0], gradient)  # linear: its transpose is J
    return push(pulled.detach())[0].detach()

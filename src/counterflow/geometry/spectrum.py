r"""The spectrum of a flow's Jacobian: which directions lead along the data, and how many they are.

With :math:`\partial x / \partial z = U \Sigma V^\top` a standard normal latent is, to first order, spread by
:math:`\sigma_i` along the direction :math:`u_i` of data space. Where data lie near a manifold of dimension k, k
singular values are large, their u span the tangent space, and the others shrink with the noise around the manifold.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.flows import Flow
from counterflow.geometry.jacobians import POINTS_AT_ONCE, each_data_jacobian

__all__ = ["jacobian_singular_values", "local_dimension", "tangent_space"]


def jacobian_singular_values(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, " c"] | None = None,
    points_at_once: int = POINTS_AT_ONCE,
) -> Float[Tensor, "*rows d"]:
    r"""Compute the singular values of :math:`\partial x / \partial z` at z(x), the largest first.

    The matrices of a few points exist at a time, so that memory does not grow with the number of points beyond what is
    returned.

    Args:
        flow: The flow.
        x: Points, ``(*batch, *event_shape)``.
        context: One context that all points share, for a conditional flow.
        points_at_once: How many copies of points go through the flow together.

    Returns:
        For each point as many numbers as it has itself.

    Raises:
        ShapeError: ``x`` is not made of points of this flow.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=torch.tensor([0.5, 4.0])))
        >>> jacobian_singular_values(flow, torch.zeros(2))
        tensor([4.0000, 0.5000])
    """
    values = [
        torch.linalg.svdvals(part) for part in each_data_jacobian(flow, x, context, points_at_once=points_at_once)
    ]
    return torch.cat(values).reshape(*x.shape[: x.dim() - len(flow.event_shape)], -1)


def tangent_space(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, " c"] | None = None,
    dimension: int,
    points_at_once: int = POINTS_AT_ONCE,
) -> Float[Tensor, "*rows"]:
    r"""Find the directions of data space in which the data are spread most: the first left singular vectors.

    Args:
        flow: The flow.
        x: Points, ``(*batch, *event_shape)``.
        context: One context that all points share, for a conditional flow.
        dimension: How many directions: k.
        points_at_once: How many copies of points go through the flow together.

    Returns:
        ``(*batch, k, *event_shape)``: orthonormal vectors in the shape of points, the widest spread first. Their signs
        are chosen so that the largest number of each is positive.

    Raises:
        ShapeError: ``x`` is not made of points of this flow.
        ArgumentError: ``dimension`` is not between 1 and the numbers of a point.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=torch.tensor([0.5, 4.0])))
        >>> tangent_space(flow, torch.zeros(2), dimension=1)
        tensor([[0., 1.]])
    """
    most = flow.bijection.event_shape
    numbers = torch.Size(most).numel()
    if not 1 <= dimension <= numbers:
        raise ArgumentError(f"dimension must be between 1 and {numbers}, the numbers of a point, got {dimension}.")
    matrices = each_data_jacobian(flow, x, context, points_at_once=points_at_once)
    vectors = torch.cat([torch.linalg.svd(part)[0][:, :, :dimension].mT for part in matrices])
    largest = vectors.gather(-1, vectors.abs().argmax(-1, keepdim=True))
    return (vectors * largest.sign()).reshape(*x.shape[: x.dim() - len(most)], dimension, *most)


def local_dimension(
    values: Float[Tensor, "*rows d"], *, rule: Literal["gap", "share"] = "gap", share: float = 0.9
) -> Int[Tensor, "*rows"]:
    r"""Read the dimension of the data near a point off the singular values of a flow there.

    .. math:: \text{gap: } \arg\max_k \sigma_k / \sigma_{k+1}, \qquad
        \text{share: } \min \{ k : \textstyle\sum_{i \le k} \sigma_i^2 \ge s \sum_i \sigma_i^2 \}

    The gap finds the dimension where a few directions stand out clearly, and is at most d - 1. The share, as in
    principal component analysis, always means something, but depends on s.

    Args:
        values: Singular values, the largest first.
        rule: ``"gap"`` or ``"share"``.
        share: The part s of the variance, in (0, 1].

    Returns:
        A number from 1 to d for each point.

    Raises:
        ArgumentError: An argument is outside its range, or the gap is asked of a single value.

    Example:
        >>> local_dimension(torch.tensor([3.0, 2.0, 0.01, 0.008]))
        tensor(2)
        >>> local_dimension(torch.tensor([3.0, 2.0, 0.01, 0.008]), rule="share", share=0.5)
        tensor(1)
    """
    if rule not in ("gap", "share"):
        raise ArgumentError(f"rule must be 'gap' or 'share', got {rule!r}. Choose one of these.")
    if rule == "gap":
        if values.shape[-1] < 2:
            raise ArgumentError("a gap needs at least two singular values, got one. Use rule='share'.")
        tiny = torch.finfo(values.dtype).tiny
        return (values[..., :-1] / values[..., 1:].clamp(min=tiny)).argmax(-1) + 1
    if not 0 < share <= 1:
        raise ArgumentError(f"share must be above 0 and at most 1, got {share}.")
    squares = values.square()
    reached = squares.cumsum(-1) < share * squares.sum(-1, keepdim=True)
    return (reached.sum(-1) + 1).clamp(max=values.shape[-1])

"""The divergence of any module's velocity, by automatic differentiation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.runge_kutta import Field

__all__ = ["bind_module"]

Tensors = tuple[Tensor, ...]


def bind_module(
    module: nn.Module,
    context: Float[Tensor, "*rows c"] | None = None,
    *,
    probes: Float[Tensor, "*lead p features"] | None = None,
) -> Field:
    r"""Give the field of any module called as ``module(t, x, context)``, with the divergence as integrand.

    .. math:: \nabla \cdot v = \sum_i e_i^\top \frac{\partial v}{\partial x} e_i

    Args:
        module: Gives velocities for times of shape (\*lead, 1), states of shape (\*lead, d) and the context.
        context: One vector per row, or fewer that broadcast.
        probes: Random vectors for Hutchinson's estimate; ``None`` for the exact divergence, one pass for each feature.

    Returns:
        The field.

    Example:
        >>> class Spiral(nn.Module):
        ...     def forward(self, t, x, context=None):
        ...         return torch.stack((x[..., 0] - x[..., 1], x[..., 0] + 2 * x[..., 1]), -1)
        >>> velocity, divergence = bind_module(Spiral()).slope(torch.zeros(1), torch.ones(2), integrand=True)
        >>> velocity.tolist(), divergence.tolist()
        ([0.0, 3.0], [3.0])
    """
    names = [name for name, _ in module.named_parameters()]
    given = () if context is None else (context,)

    def velocity(t: Tensor, y: Tensor, rows: Tensors, weights: Tensors) -> Tensor:
        values = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(module, values, (t, y, *rows[: len(given)]))

    def rate(t: Tensor, y: Tensor, rows: Tensors, weights: Tensors) -> tuple[Tensor, Tensor]:
        value, pull_back = torch.func.vjp(lambda x: velocity(t, x, rows, weights), y)  # pyright: ignore[reportAssignmentType]
        directions = _directions(y, None if probes is None else rows[-1].unflatten(-1, probes.shape[-2:]))
        parts = torch.func.vmap(lambda e: (pull_back(e)[0] * e).sum(-1, keepdim=True))(directions)
        return value, parts.sum(0) if probes is None else parts.mean(0)

    own = given if probes is None else (*given, probes.flatten(-2))
    return Field(velocity, rate, own, tuple(parameter for _, parameter in module.named_parameters()))


def _directions(y: Tensor, probes: Tensor | None) -> Tensor:
    """What to pull back, first dimension first, each of the shape of y."""
    if probes is None:
        basis = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)
        return basis.reshape(-1, *(1 for _ in y.shape[:-1]), y.shape[-1]).expand(-1, *y.shape)
    return probes.expand(*y.shape[:-1], -1, -1).movedim(-2, 0)

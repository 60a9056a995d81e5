"""Back-propagation through many bijections that keeps next to nothing: what was computed is computed again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from counterflow.bijections.base import AbstractBijection

__all__ = ["reversed_to_latent"]

_KEPT_EVERY = 10
"""So many layers are undone one after another before rounding errors are cut off by an input that was kept."""


def reversed_to_latent(
    parts: Sequence[AbstractBijection], x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None
) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
    r"""Map data to latent through all parts; the gradients need the memory of one part, whatever their number.

    Only the latent is kept. On the way back each part is undone, :math:`x_i = f_i^{-1}(x_{i+1})`, then run again with
    gradients. The input of every tenth part is kept too, so that rounding does not add up, and so is that of a part
    whose way back takes long. Gradients are of first order, and no transform of ``torch.func`` sees through.

    Args:
        parts: From data to latent.
        x: Data.
        context: One vector per point, or fewer that broadcast.

    Returns:
        ``(z, log|det dz/dx|)``.

    Reference:
        Gomez, Ren, Urtasun, Grosse, "The Reversible Residual Network: Backpropagation Without Storing Activations",
        2017, algorithm 1.
    """
    parameters = [p for part in parts for p in part.parameters()]
    return _Reversed.apply(tuple(parts), x, context, *parameters)  # pyright: ignore[reportReturnType]


class _Gradients(NamedTuple):
    """What flows back through one part."""

    x: Tensor
    context: Tensor | None
    parameters: list[Tensor | None]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, parts: tuple[AbstractBijection, ...], x: Tensor, context: Tensor | None, *_: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.parts, kept, total = parts, {}, None
        for i, part in enumerate(parts):
            if i % _KEPT_EVERY == 0 or not part.one_pass_to_data:
                kept[i] = x
            x, log_det = part.to_latent(x, context)
            total = log_det if total is None else total + log_det
        ctx.indices = list(kept)
        ctx.save_for_backward(x, context, *kept.values())
        return x, total  # pyright: ignore[reportReturnType]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, z_gradient: Tensor, log_det_gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        z, context, *kept = ctx.saved_tensors
        inputs, total = dict(zip(ctx.indices, kept, strict=True)), None
        of_parameters: list[Tensor | None] = []
        for i, part in reversed(list(enumerate(ctx.parts))):
            z = inputs[i] if i in inputs else part.to_data(z, context)[0]
            found = _through(part, z, context, z_gradient, log_det_gradient)
            z_gradient = found.x
            total = _sum(total, found.context)
            of_parameters[:0] = found.parameters
        return None, z_gradient, total, *of_parameters


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _through(
    part: AbstractBijection, x: Tensor, context: Tensor | None, z_gradient: Tensor, log_det_gradient: Tensor
) -> _Gradients:
    """Run one part again and let the gradients through."""
    parameters = list(part.parameters())
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        context = None if context is None else context.detach().requires_grad_()
        outputs = part.to_latent(x, context)
    wanted = [x, *([] if context is None else [context]), *(p for p in parameters if p.requires_grad)]
    pairs = [(o, g) for o, g in zip(outputs, (z_gradient, log_det_gradient), strict=True) if o.requires_grad]
    found = iter(torch.autograd.grad([o for o, _ in pairs], wanted, [g for _, g in pairs], allow_unused=True))
    x_gradient = next(found)
    context_gradient = None if context is None else next(found)
    return _Gradients(x_gradient, context_gradient, [next(found) if p.requires_grad else None for p in parameters])

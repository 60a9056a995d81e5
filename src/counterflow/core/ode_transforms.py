"""Adaptive steps inside ``torch.func``: the step sizes are found outside the transforms, and hold no gradients."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from counterflow.core.runge_kutta import Field

__all__ = ["are_transforms_active", "transformed_steps"]

FindSteps = Callable[[Field, Tensor], Tensor]


def are_transforms_active() -> bool:
    """Say whether a transform of ``torch.func`` (``grad``, ``vmap``, ``jvp`` ...) is going on."""
    return torch._C._are_functorch_transforms_active()  # pyright: ignore[reportPrivateUsage]


def transformed_steps(field: Field, y: Tensor, find: FindSteps) -> Tensor:
    """Find the step sizes of a solution whatever transforms are going on.

    Args:
        field: The field.
        y: Initial states, shape (*lead, d).
        find: Gives the steps, of shape (steps, *lead, 1), for a field and states that hold plain numbers.

    Returns:
        The steps, as constants.
    """
    tensors = [x.detach() for x in (y, *field.rows, *field.weights)]
    return _Steps.apply(field, find, len(field.rows), *tensors)


class _Steps(torch.autograd.Function):
    """A function without derivatives that looks at numbers: ``vmap`` hands it all of them at once."""

    @staticmethod
    def forward(field: Field, find: FindSteps, count: int, y: Tensor, *tensors: Tensor) -> Tensor:
        return find(replace(field, rows=tensors[:count], weights=tensors[count:]), y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[None, ...]:
        return (None,) * len(ctx.needs_input_grad)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> None:
        return None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        field, find, count, *tensors = inputs
        first = [x if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, in_dims[3:], strict=True)]
        mapped = [dim is not None for dim in in_dims[3:]]
        if any(mapped[1 + count :]):  # every field has weights of its own
            each = [
                _Steps.apply(field, find, count, *(x[i] if own else x for x, own in zip(first, mapped, strict=True)))
                for i in range(info.batch_size)
            ]
            return _padded(each), 1
        y = first[0] if mapped[0] else first[0].expand(info.batch_size, *first[0].shape)
        rows = [_aligned(x, y.dim()) if own else x for x, own in zip(first[1:], mapped[1:], strict=True)]
        return _Steps.apply(field, find, count, y, *rows[:count], *first[1 + count :]), 1


def _aligned(x: Tensor, dimensions: int) -> Tensor:
    """Put ones after the mapped dimension, so that it meets that of the states."""
    return x.reshape(x.shape[0], *(1 for _ in range(dimensions - x.dim())), *x.shape[1:])


def _padded(each: list[Tensor]) -> Tensor:
    """Stack steps of several solutions; those that need fewer rest at their end."""
    longest = max(len(steps) for steps in each)
    return torch.stack(
        [functional.pad(steps, (0, 0) * (steps.dim() - 1) + (0, longest - len(steps))) for steps in each], 1
    )

"""Checks of what callers hand in: one sentence each, with what was expected, what came, and what to do."""

import numpy as np
import torch
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = [
    "check_bounds",
    "check_context",
    "check_count",
    "check_dtype",
    "check_event",
    "check_finite",
    "check_positive",
]


def check_event(x: Tensor, event_shape: tuple[int, ...], name: str = "x") -> None:
    """Check that the last dimensions of ``x`` are one point.

    Raises:
        ShapeError: If they are not ``event_shape``.

    Example:
        >>> check_event(torch.zeros(5, 2), (3,))
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ShapeError: x must have shape (*batch, 3), got (5, 2). One point of this flow has \
shape (3,).
    """
    if x.shape[x.dim() - len(event_shape) :] != event_shape:
        raise ShapeError(
            f"{name} must have shape {_pattern(event_shape)}, got {tuple(x.shape)}. "
            f"One point of this flow has shape {event_shape}."
        )


def check_context(context: Tensor | None, context_features: int) -> None:
    """Check that a context is there when it is needed, absent when it is not, and of the right length.

    Raises:
        ShapeError: If the last dimension is not ``context_features``.
        ArgumentError: If a context is missing or was not expected.

    Example:
        >>> check_context(torch.zeros(5, 2), 3)
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ShapeError: context must have shape (*batch, 3), got (5, 2). If the flow is \
unconditional, build it with context_features=0.
    """
    if context is None:
        if context_features:
            raise ArgumentError(
                f"context must have shape {_pattern((context_features,))}, got None. "
                "This flow is conditional: pass context=, or build it with context_features=0."
            )
    elif not context_features:
        raise ArgumentError(
            f"context must be None for an unconditional flow, got shape {tuple(context.shape)}. "
            f"Build the flow with context_features={context.shape[-1] if context.dim() else 1}."
        )
    elif context.dim() == 0 or context.shape[-1] != context_features:
        raise ShapeError(
            f"context must have shape {_pattern((context_features,))}, got {tuple(context.shape)}. "
            "If the flow is unconditional, build it with context_features=0."
        )


def check_dtype(x: Tensor, dtype: torch.dtype, name: str = "x") -> None:
    """Check that ``x`` has the dtype of the parameters it will meet.

    Raises:
        ArgumentError: If it has another one; computing in the lower precision unasked would hide an error.
    """
    if x.dtype != dtype:
        raise ArgumentError(
            f"{name} must have the dtype of the flow's parameters, {dtype}, got {x.dtype}. "
            f"Convert one of them: flow.to({x.dtype}) or {name}.to({dtype})."
        )


def check_finite(x: Tensor, name: str = "x") -> None:
    """Check that no number is NaN or infinite (this waits for the device; keep it out of hot loops).

    Raises:
        ArgumentError: If one is, with the place of the first.
    """
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        place = tuple(bad[0].tolist())
        raise ArgumentError(
            f"{name} must be finite, got {x[place].item()} at {place} and {len(bad)} such values in all. "
            "Remove or impute them first."
        )


def check_positive(value: float, name: str) -> None:
    """Check that a number is above zero.

    Raises:
        ArgumentError: If it is not.
    """
    if not value > 0:
        raise ArgumentError(f"{name} must be above zero, got {value}. Choose a positive number.")


def check_bounds(low: Tensor, high: Tensor) -> None:
    """Check that two vectors are the lower and upper bounds of as many numbers.

    Raises:
        ShapeError: If they are not two vectors of one length.
        ArgumentError: If a lower bound is not below its upper bound.

    Example:
        >>> check_bounds(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ArgumentError: low must be below high, got [0.0, 2.0] and [1.0, 1.0]. Swap them.
    """
    if low.dim() != 1 or low.shape != high.shape:
        raise ShapeError(
            f"low and high must be two vectors of one length, got {tuple(low.shape)} and {tuple(high.shape)}. "
            "Give one bound of each kind for each number."
        )
    if not (low < high).all():
        raise ArgumentError(f"low must be below high, got {low.tolist()} and {high.tolist()}. Swap them.")


def check_count(value: float | int, name: str, minimum: int = 1) -> None:
    """Check that a whole number is at least ``minimum``.

    Raises:
        ArgumentError: If it is a smaller number or no whole number.

    Example:
        >>> check_count(0, "layers")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ArgumentError: layers must be a whole number of at least 1, got 0. Choose a larger one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ArgumentError(f"{name} must be a whole number of at least {minimum}, got {value}. Choose a larger one.")


def _pattern(event_shape: tuple[int, ...]) -> str:
    return "(" + ", ".join(("*batch", *map(str, event_shape))) + ")"

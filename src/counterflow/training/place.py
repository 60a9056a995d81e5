"""Where a flow is trained: on which device, in which dtype, and back."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from counterflow.core.errors import ArgumentError
from counterflow.nets import conditioners_in
from counterflow.training.settings import check_choice

__all__ = ["Place", "at_work", "find_place"]

_PRECISIONS = {"float32": torch.float32, "float64": torch.float64, "mixed": torch.float32}


class Place(NamedTuple):
    """Where a run computes, in which dtype, and in which the conditioners of the flow do if it is another one."""

    device: torch.device
    dtype: torch.dtype
    conditioners: torch.dtype | None = None


def find_place(device: str | torch.device, precision: str) -> Place:
    """The place that a user named.

    Args:
        device: A device, or ``"auto"`` for CUDA where there is a GPU, else the CPU.
        precision: ``"float32"``, ``"float64"``, or ``"mixed"`` for conditioners in bfloat16 and all else in float32.

    Raises:
        ArgumentError: Torch finds no such device here, or the precision is another one.

    Example:
        >>> find_place("cpu", "float64")
        Place(device=device(type='cpu'), dtype=torch.float64, conditioners=None)
    """
    check_choice(precision, tuple(_PRECISIONS), "precision")
    return Place(_device(device), _PRECISIONS[precision], torch.bfloat16 if precision == "mixed" else None)


@contextmanager
def at_work(flow: nn.Module, place: Place) -> Generator[None]:
    """Take the flow to the place where it is trained, and back home at the end."""
    home = next((Place(p.device, p.dtype) for p in flow.parameters() if p.is_floating_point()), place)
    _move(flow, home, place)
    try:
        with conditioners_in(flow, place.conditioners):
            yield
    finally:
        _move(flow, place, home)


def _move(flow: nn.Module, start: Place, end: Place) -> None:
    if start.device != end.device:
        flow.to(end.device)
    if start.dtype != end.dtype:
        flow.to(end.dtype)


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(
            f"device must be 'auto' or a device that torch finds here, got {device!r}: {error}"
        ) from error

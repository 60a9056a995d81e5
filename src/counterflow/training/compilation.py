"""One training step's loss and gradients, eager or compiled."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from counterflow.core.errors import ShapeError

__all__ = ["Step"]

_REPAID_AFTER = {"cpu": 600.0, "cuda": 120.0}
"""Compiling pays off in runs that would take so many seconds more without it."""


class Step:
    """Call it with a batch: the gradients are added to the module's parameters, the loss is returned.

    Args:
        module: The module to train.
        loss: ``loss(module, batch)``, a scalar.
        compile: ``True``, ``False``, or ``"auto"`` to leave it to :meth:`consider_compiling`.
        device: Where the module computes.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[nn.Module, Any], Tensor],
        *,
        compile: bool | Literal["auto"],
        device: torch.device,
    ) -> None:
        self._module = module
        self._loss = loss
        self._model: Any = torch.compile(module) if compile is True else module
        self._undecided = compile == "auto"
        self._on_trial = False
        self._device = device

    def __call__(self, batch: Any) -> Tensor:
        """Run forward and backward; a compiled module that was chosen by itself must prove that it runs."""
        if not self._on_trial:
            return self._run(batch)
        self._on_trial = False
        try:
            return self._run(batch)
        except Exception:  # whatever the compiler lacks; an error of the user's own comes again from the eager module
            self._model = self._module
            self._module.zero_grad()
            return self._run(batch)

    def consider_compiling(self, seconds_left: float) -> None:
        """Decide once, from the time that the rest of the run would take, whether to compile from now on."""
        if self._undecided and seconds_left > _REPAID_AFTER.get(self._device.type, float("inf")):
            self._model, self._on_trial = torch.compile(self._module), True
        self._undecided = False

    def _run(self, batch: Any) -> Tensor:
        value = self._loss(self._model, batch)
        if value.dim():
            raise ShapeError(f"loss must return a scalar, got shape {tuple(value.shape)}: take the mean.")
        value.backward()
        return value.detach()

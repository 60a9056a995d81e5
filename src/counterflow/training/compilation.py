"""A training step as one compiled function: loss, gradients, clipping and Adam in a single graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.compiling import compile_alone
from counterflow.core.graphs import Recording
from counterflow.training.adam import Moments, clipped, updated
from counterflow.training.weights import Layout

__all__ = ["WholeStep", "whole_step"]

WholeStep = Callable[[Tensor, Moments, Any, Tensor], Tensor]
"""``(vector, moments, batch, learning_rate) -> loss``: the vector and the moments are changed in place."""


def whole_step(
    module: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    *,
    layout: Layout,
    clip: float | None,
    weight_decay: float,
    trusted: bool = False,
) -> WholeStep:
    r"""Make the compiled step.

    Nothing but the vector of all parameters goes in and out: the parameters are windows into it within the graph, and
    the gradient is one vector too. So the compiler sees the whole step at once, and fuses what lies between two
    matrix products.

    Args:
        module: The module to train, in training mode.
        loss: ``loss(module, batch)``, a scalar.
        layout: Where each parameter lies in the vector.
        clip: The largest norm of the gradient; ``None`` for no limit.
        weight_decay: The decay rate of AdamW.
        trusted: Nothing that module and loss read from Python changes during the run, so that no call has to check
            whether the graph still holds; shapes and dtypes of batches are the caller's to check then.

    Returns:
        The step; it is compiled when it is first called, and raises then what the compiler lacks. On a GPU a trusted
        step is recorded too: it must be called with the same vector, moments and learning rate (whose contents
        change), and with batches of one form.
    """
    objective = _Objective(module, loss)
    names = tuple("module." + name for name in layout.names)

    def step(vector: Tensor, moments: Moments, batch: Any, learning_rate: Tensor) -> Tensor:
        def value_of(windows: Sequence[Tensor]) -> Tensor:
            return torch.func.functional_call(objective, dict(zip(names, windows, strict=True)), (batch,))

        gradients, value = torch.func.grad_and_value(value_of)(layout.windows(vector))
        gradient = layout.join(gradients)
        if clip is not None:
            gradient = clipped(gradient, clip)
        vector.copy_(updated(vector, gradient, moments, learning_rate=learning_rate, weight_decay=weight_decay))
        return value

    options: dict[str, Any] = {"triton.cudagraphs": True} if layout.device.type == "cuda" else {}
    if not trusted:
        return torch.compile(step, options=options, fullgraph=True)
    alone = compile_alone(step, checked=(), fullgraph=True)
    return _RecordedStep(alone) if layout.device.type == "cuda" else alone


class _RecordedStep:
    """A step on a GPU that is launched as one CUDA graph; where it cannot be recorded, it runs as it is."""

    def __init__(self, step: WholeStep) -> None:
        self._step = step
        self._on_batch: Callable[[Any], Tensor] | None = None

    def __call__(self, vector: Tensor, moments: Moments, batch: Any, learning_rate: Tensor) -> Tensor:
        def real(batch: Any) -> Tensor:
            return self._step(vector, moments, batch, learning_rate)

        def rehearsal(batch: Any) -> Tensor:
            return self._step(vector.clone(), Moments(*(value.clone() for value in moments)), batch, learning_rate)

        if self._on_batch is None:
            rehearsal(batch)  # what the compiler lacks is raised here
            try:
                self._on_batch = Recording(real, (batch,), warm_up=rehearsal)
            except RuntimeError:
                self._on_batch = real
        return self._on_batch(batch)


class _Objective(nn.Module):
    """The loss as a module, so that its parameters can be exchanged for windows into the vector."""

    def __init__(self, module: nn.Module, loss: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.module = module
        self._loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self._loss(self.module, batch)

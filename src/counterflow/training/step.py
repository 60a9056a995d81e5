"""One training step: loss, gradients, clipping and Adam, eager or in one compiled graph."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from counterflow.core.errors import ShapeError
from counterflow.core.graphs import form_of
from counterflow.training.adam import Moments, clipped
from counterflow.training.compilation import WholeStep, whole_step
from counterflow.training.weights import Weights

__all__ = ["TrainingStep"]

_REPAID_AFTER = {"cpu": 180.0, "cuda": 60.0}
"""Compiling pays off in runs that would take so many seconds more without it."""

_DEEP = 100
"""A module of more parameters is compiled layer by layer, for the time of compiling grows with the graph."""


class TrainingStep:
    r"""Call it with a batch and a learning rate: it moves the module's parameters by one step of Adam.

    While it is in charge, the module's parameters are windows into one vector; :meth:`close` gives each its own memory
    again. Compiled, the whole step is one graph (:func:`~counterflow.training.compilation.whole_step`); where that
    cannot be, for a loss that leaves torch or a module of very many layers, the module alone is compiled.

    Args:
        module: The module to train.
        loss: ``loss(module, batch)``, a scalar; it calls the module that it is handed.
        compile: ``True`` compiles at the first step, ``False`` never does, and ``"auto"`` leaves it to
            :meth:`consider_compiling`.
        clip: The largest norm of the gradient of all parameters together; ``None`` for no limit.
        weight_decay: The decay rate of AdamW; 0 for Adam.
        trusted: Module and loss read nothing from Python that changes while they are trained: a compiled step need
            not check it at every call.

    Raises:
        ArgumentError: No parameter wants gradients, or they differ in dtype or device.

    Example:
        >>> line = nn.Linear(1, 1)
        >>> def squared_error(module, x):
        ...     return (module(x) - 3 * x).square().mean()
        >>> step = TrainingStep(line, squared_error)
        >>> x = torch.linspace(-1, 1, 20)[:, None]
        >>> losses = [step(x, 0.05).item() for _ in range(200)]
        >>> step.close()
        >>> losses[-1] < 1e-3 * losses[0]
        True
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[nn.Module, Any], Tensor],
        *,
        compile: bool | Literal["auto"] = False,
        clip: float | None = None,
        weight_decay: float = 0.0,
        trusted: bool = False,
    ) -> None:
        self.module = module
        self.weights = Weights(module)
        self._loss, self._clip, self._decay, self._trusted = loss, clip, weight_decay, trusted
        self._optimizer = self._make_optimizer()
        self._rate = torch.zeros((), dtype=self.weights.vector.dtype, device=self.weights.vector.device)
        self._model: Any = module
        self._whole: WholeStep | None = None
        self._form: Any = None
        self._undecided, self._may_fail, self._unasked = compile == "auto", True, compile == "auto"
        if compile is True:
            self._compile()

    @property
    def moments(self) -> Moments:
        """Adam's state, which eager and compiled steps share."""
        state = self._optimizer.state[self.weights.vector]
        return Moments(state["exp_avg"], state["exp_avg_sq"], state["step"])

    def __call__(self, batch: Any, learning_rate: float) -> Tensor:
        """Take one step.

        Args:
            batch: What the loss takes.
            learning_rate: Adam's step size.

        Returns:
            The loss before the step, without gradients.

        Raises:
            ShapeError: The loss is not a scalar.
        """
        value = self._step(batch, learning_rate)
        increment_version(self.weights.layout.parameters)  # they moved with the vector: what was made of them is stale
        return value

    def consider_compiling(self, seconds_left: float) -> None:
        """Decide once, from the time that the rest of the run would take, whether to compile from now on."""
        device = self.weights.vector.device.type
        if self._undecided and seconds_left > _REPAID_AFTER.get(device, float("inf")):
            self._compile()
        self._undecided = False

    def close(self) -> None:
        """Give every parameter of the module its own memory again."""
        self.weights.release()

    def _step(self, batch: Any, learning_rate: float) -> Tensor:
        if self._whole is None or not self._fits(batch):
            return self._piecewise(batch, learning_rate)
        if not self._may_fail:
            return self._at_once(self._whole, batch, learning_rate)
        self._may_fail = False
        try:
            return self._at_once(self._whole, batch, learning_rate)
        except Exception:  # whatever the compiler lacks; an error of the user's own comes again without it
            self._whole = None
            return self._piecewise(batch, learning_rate)

    def _compile(self) -> None:
        """Let the compiler do its work when the next step is taken; what saves memory by running again runs eagerly."""
        if any(getattr(module, "reversible", False) for module in self.module.modules()):
            return
        if not self._undecided or self._is_deep():
            self._model = torch.compile(self.module)
        if self._is_deep():
            self.weights.separate()  # layers share compiled code only if their parameters share no memory
        else:
            settings = {"clip": self._clip, "weight_decay": self._decay, "trusted": self._trusted}
            self._whole = whole_step(self.module, self._loss, layout=self.weights.layout, **settings)

    def _is_deep(self) -> bool:
        shared = any(getattr(module, "shares_code", False) for module in self.module.modules())
        return shared or len(self.weights.layout.parameters) > _DEEP

    def _fits(self, batch: Any) -> bool:
        """Whether a step that checks nothing was compiled for batches of this form."""
        if not self._trusted:
            return True
        form = form_of(batch)
        if self._form is None:
            self._form = form
        return form == self._form

    def _at_once(self, whole: WholeStep, batch: Any, learning_rate: float) -> Tensor:
        value = whole(self.weights.vector.detach(), self.moments, batch, self._rate.fill_(learning_rate))
        return _scalar(value.detach())

    def _piecewise(self, batch: Any, learning_rate: float) -> Tensor:
        value = _scalar(self._value(batch))
        value.backward()
        self.weights.gather_gradient()
        if self._clip is not None:
            self.weights.gradient.copy_(clipped(self.weights.gradient, self._clip))
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()
        self.weights.spread()
        return value.detach()

    def _value(self, batch: Any) -> Tensor:
        """The loss; a module that was compiled unasked runs eagerly once the compiler fails."""
        try:
            return self._loss(self._model, batch)
        except Exception:
            if self._model is self.module or not self._unasked:
                raise
            self._model = self.module
            return self._loss(self._model, batch)

    def _make_optimizer(self) -> torch.optim.Optimizer:
        vector = self.weights.vector
        optimizer = torch.optim.AdamW([vector], weight_decay=self._decay, fused=vector.device.type in ("cpu", "cuda"))
        moments = Moments.zeros(vector)
        optimizer.state[vector] = {"step": moments.steps, "exp_avg": moments.mean, "exp_avg_sq": moments.square}
        return optimizer


def _scalar(value: Tensor) -> Tensor:
    if value.dim():
        raise ShapeError(f"loss must return a scalar, got shape {tuple(value.shape)}: take the mean.")
    return value

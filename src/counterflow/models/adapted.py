"""What every user's model becomes: one small record of functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ModelError
from counterflow.models.agreement import StandInReport
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["AdaptedModel"]


@dataclass(frozen=True, eq=False)
class AdaptedModel:
    r"""A user's model behind one face, made by :func:`counterflow.models.adapt`.

    The model judges the user's own frames. If it is ``differentiable``, it is known as a formula of the numbers of the
    table too, with ``softmax(logits(numbers)) == probabilities(frame)``.

    Args:
        name: What it is, for a human.
        fingerprint: sha256 of all its parameters.
        classes: The labels in the order of its probabilities; ``None`` for a regressor.
        predict: Frame to labels (n,), or to values (n,) for a regressor: the model's own decision.
        judge: Frame to probabilities (n, K); ``None`` for a regressor.
        probabilistic: Whether ``probabilities`` are the model's own; if not they are 1 for the predicted class and 0
            elsewhere, and ``logits`` are margins.
        formula: Numbers to logits; ``None`` if it is a black box.
        why_not: Why it has no formula of its own, as a sentence; ``None`` if it has one.
        stand_in: Whether the formula is a distilled stand-in (:func:`~counterflow.models.distill`): good for a slope,
            never for a verdict. The equation above then holds only about.
        stand_in_report: How well the stand-in answers for the model; ``None`` if there is none.
        loan: The context to call the formula in: a network's flags are set once instead of at every call.
    """

    name: str
    fingerprint: str
    classes: tuple[Any, ...] | None
    predict: Callable[[Any], np.ndarray] = field(repr=False)
    judge: Callable[[Any], np.ndarray] | None = field(default=None, repr=False)
    probabilistic: bool = True
    formula: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    why_not: str | None = None
    stand_in: bool = False
    stand_in_report: StandInReport | None = None
    loan: AbstractContextManager[Any] = field(default_factory=nullcontext, repr=False)

    @property
    def differentiable(self) -> bool:
        """Whether :meth:`logits` is there."""
        return self.formula is not None

    @property
    def regression(self) -> bool:
        """Whether it predicts values and not classes."""
        return self.classes is None

    def probabilities(self, frame: Any) -> Float[np.ndarray, "n K"]:
        """The probability of each class, in the order of ``classes``.

        Args:
            frame: Rows of the user's table, of the same kind and types as the model was trained on.

        Returns:
            (n, K) float64; one-hot rows if the model has no probabilities (``probabilistic`` is false).

        Raises:
            ModelError: If the model is a regressor, fails, or answers in another form than it did.
        """
        if self.judge is None:
            raise ModelError(f"{self.name} is a regressor and has no probabilities. Use predict.")
        return self.judge(frame)

    def logits(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
        """The model as a formula of the table's numbers, differentiable in the numeric columns.

        Args:
            numbers: (n, d) float64 in schema order; categories as their codes (they select, and have no gradient).

        Returns:
            (n, K) logits: their softmax are the probabilities, or (if not ``probabilistic``) margins whose arg max is
            the prediction; (n, 1) values for a regressor. float64, on the device of ``numbers``.

        Raises:
            ModelError: If the model is a black box; the sentence says why.
        """
        if self.formula is None:
            raise ModelError(f"{self.name} cannot be differentiated: {self.why_not}")
        return self.formula(numbers)

    def class_index(self, label: Any) -> int:
        """The position of a class.

        Args:
            label: One of ``classes``.

        Returns:
            Its column in probabilities and logits.

        Raises:
            ArgumentError: If the model knows no such class; the sentence names those that exist.
        """
        if self.classes is None:
            raise ArgumentError(f"{self.name} is a regressor and has no classes. Ask for an interval (low, high).")
        if label not in self.classes:
            hint = did_you_mean(label, self.classes)
            raise ArgumentError(f"{label!r} is no class of {self.name}: choose among {listed(self.classes)}.{hint}")
        return self.classes.index(label)

    def borrowed(self) -> AbstractContextManager[Any]:
        """The context to hold around many calls of :meth:`logits`; see :class:`~counterflow.models.borrowing.Loan`."""
        return self.loan

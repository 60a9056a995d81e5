"""What latent ascent asks of a model's answer: a class, a value, or a direction."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError, ModelError
from counterflow.core.numerics import safe_log

__all__ = ["AscentGoal", "ClassAim", "DirectionAim", "Judgement", "Target", "ValueAim", "make_aim"]

Target = int | float | str | Sequence[int] | Sequence[float] | Tensor
Output = Literal["logits", "probabilities"]


class Judgement(NamedTuple):
    """What a goal says of a model's answers, one number for each row.

    Args:
        loss: What the ascent lowers.
        gap: How much is missing; the least is the best attempt.
        met: Where the row may stop.
        probability: Of the target class; ``nan`` for a regressor.
        prediction: The predicted class, or the value.
    """

    loss: Float[Tensor, " rows"]
    gap: Float[Tensor, " rows"]
    met: Bool[Tensor, " rows"]
    probability: Float[Tensor, " rows"]
    prediction: Float[Tensor, " rows"]


@runtime_checkable
class AscentGoal(Protocol):
    """Judges the model's answers for those images of the batch that ``rows`` names."""

    def judge(self, answers: Float[Tensor, "some *out"], rows: Int[Tensor, " some"]) -> Judgement:
        """Judge, differentiably in ``answers``."""
        ...


class ClassAim:
    r"""The model shall give a class at least a probability: the loss is :math:`-\log p(y \mid x)`.

    Args:
        target: The class of each image.
        confidence: The probability at which an image stops.
        output: Whether the model answers logits or probabilities.

    Example:
        >>> aim = ClassAim(torch.tensor([1]), confidence=0.9, output="logits")
        >>> aim.judge(torch.tensor([[0.0, 3.0]]), torch.tensor([0])).met
        tensor([True])
    """

    def __init__(self, target: Int[Tensor, " n"], *, confidence: float, output: Output) -> None:
        self.target, self.confidence = target, confidence
        self.output: Output = output

    def judge(self, answers: Float[Tensor, "some *out"], rows: Int[Tensor, " some"]) -> Judgement:
        """Judge logits or probabilities, one column for each class (or one of the second of two classes)."""
        log_shares = _log_probabilities(answers, len(rows), self.output)
        target = self.target[rows]
        if len(target) and int(target.max()) >= log_shares.shape[1]:
            raise ArgumentError(
                f"target must be a class from 0 to {log_shares.shape[1] - 1}, got {int(target.max())}. "
                "For the value of a regressor pass a float."
            )
        log_share = log_shares.gather(1, target[:, None])[:, 0]
        share, prediction = log_share.detach().exp(), log_shares.detach().argmax(1).to(log_shares.dtype)
        return Judgement(-log_share, self.confidence - share, share >= self.confidence, share, prediction)


class ValueAim:
    r"""A regressor shall answer a value: the loss is :math:`(f(x) - v)^2 / 2`.

    An image stops when the share ``confidence`` of the way from its first answer to the value is made.

    Args:
        target: The value for each image.
        first: The answers for the images as they came.
        confidence: The share of the way.

    Example:
        >>> aim = ValueAim(torch.tensor([10.0]), torch.tensor([[0.0]]), confidence=0.9)
        >>> aim.judge(torch.tensor([[9.5]]), torch.tensor([0])).met
        tensor([True])
    """

    def __init__(self, target: Float[Tensor, " n"], first: Float[Tensor, "n *out"], *, confidence: float) -> None:
        self.target = target
        self.tolerance = (1 - confidence) * (_values(first, len(target)) - target).abs()

    def judge(self, answers: Float[Tensor, "some *out"], rows: Int[Tensor, " some"]) -> Judgement:
        """Judge values."""
        value = _values(answers, len(rows))
        miss = value - self.target[rows]
        gap = miss.detach().abs() - self.tolerance[rows]
        return Judgement(miss.square() / 2, gap, gap <= 0, torch.full_like(gap, torch.nan), value.detach())


class DirectionAim:
    r"""A regressor's answer shall rise or fall: the loss is :math:`\mp f(x)`.

    Args:
        sign: 1 to rise, -1 to fall.
        first: The answers for the images as they came.
        change: By how much; ``None`` never stops.

    Example:
        >>> aim = DirectionAim(1, torch.tensor([2.0]), change=1.0)
        >>> aim.judge(torch.tensor([3.5]), torch.tensor([0])).met
        tensor([True])
    """

    def __init__(self, sign: int, first: Float[Tensor, "n *out"], *, change: float | None) -> None:
        self.sign, self.change = sign, change
        self.first = _values(first, len(first))

    def judge(self, answers: Float[Tensor, "some *out"], rows: Int[Tensor, " some"]) -> Judgement:
        """Judge values."""
        value = _values(answers, len(rows))
        moved = self.sign * (value.detach() - self.first[rows])
        if self.change is None:
            gap, met = torch.where(moved > 0, -moved, 1 - moved), torch.zeros_like(moved, dtype=torch.bool)
        else:
            gap, met = self.change - moved, moved >= self.change
        return Judgement(-self.sign * value, gap, met, torch.full_like(gap, torch.nan), value.detach())


def make_aim(
    target: Target, first: Float[Tensor, "n *out"], *, confidence: float, change: float | None, output: Output
) -> AscentGoal:
    """Read what a user asks.

    Args:
        target: A class or one for each image (whole numbers), a value or one for each image (floats), ``"increase"`` or
            ``"decrease"``.
        first: The model's answers for the images as they came.
        confidence: The probability, or the share of the way to a value, at which an image stops.
        change: By how much a regressor's answer shall rise or fall.
        output: What a classifier answers.

    Returns:
        The goal of all images.

    Raises:
        ArgumentError: The target is none of these, or there is not one for each image.

    Example:
        >>> type(make_aim(3, torch.zeros(2, 5), confidence=0.9, change=None, output="logits")).__name__
        'ClassAim'
    """
    if isinstance(target, str):
        if target not in ("increase", "decrease"):
            raise ArgumentError(f"target must be a class, a value, 'increase' or 'decrease', got {target!r}.")
        return DirectionAim(1 if target == "increase" else -1, first, change=change)
    wanted = torch.as_tensor(target, device=first.device)
    if wanted.dim() > 1 or (wanted.dim() == 1 and len(wanted) != len(first)) or wanted.dtype == torch.bool:
        raise ArgumentError(
            f"target must be one for all images or one for each of {len(first)}, got shape {tuple(wanted.shape)} of "
            f"{wanted.dtype}. Whole numbers are classes, floats are values."
        )
    wanted = wanted.expand(len(first))
    if wanted.is_floating_point():
        return ValueAim(wanted.to(first.dtype), first, confidence=confidence)
    if len(wanted) and int(wanted.min()) < 0:
        raise ArgumentError(f"target must be a class from 0 up, got {int(wanted.min())}.")
    return ClassAim(wanted.long(), confidence=confidence, output=output)


def _log_probabilities(answers: Tensor, rows: int, output: Output) -> Tensor:
    if answers.shape in ((rows,), (rows, 1)):
        answers = answers.reshape(rows, 1)
        first = torch.zeros_like(answers) if output == "logits" else 1 - answers
        answers = torch.cat([first, answers], dim=1)
    if answers.dim() != 2 or len(answers) != rows:
        raise ModelError(
            f"a classifier must answer ({rows}, classes) for {rows} images, got {tuple(answers.shape)}. "
            "For a regressor let target be a float, 'increase' or 'decrease'."
        )
    return answers.log_softmax(1) if output == "logits" else safe_log(answers)


def _values(answers: Tensor, rows: int) -> Tensor:
    if answers.shape not in ((rows,), (rows, 1)):
        raise ModelError(
            f"a regressor must answer one number for each of {rows} images, got shape {tuple(answers.shape)}. "
            "For a class let target be a whole number."
        )
    return answers.reshape(rows)

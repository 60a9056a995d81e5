"""What a method that learns is given, and what it hands back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from counterflow.counterfactuals.background import Background, Telling
from counterflow.persistence import SavedFolder

__all__ = ["Learner", "Lesson", "Skill"]


@dataclass(frozen=True)
class Lesson:
    """The table as a method may learn from it, once, when an explainer is fitted.

    Args:
        numbers: The rows in the codec's form, ``(rows, columns)``, float64.
        labels: What the model decides for each: the index of a class, or the bin of a regressor's value.
        decide: From legal rows to the index that the model decides for each: any black box has this.
        background: The densities learned before; ``background.search.encoding`` maps rows to points and back.
        seed: Where all randomness comes from.
        tell: Told what is being done.
        progress: Show progress bars.
        checkpoint: A folder that follows the training.
        resume: Go on from the checkpoint.
    """

    numbers: Float[Tensor, "rows columns"]
    labels: Int[Tensor, " rows"]
    decide: Callable[[Tensor], Tensor]
    background: Background
    seed: int
    tell: Telling
    progress: bool = False
    checkpoint: Path | None = None
    resume: bool = False


@runtime_checkable
class Skill(Protocol):
    """What a method learned, as something that can be saved."""

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors."""
        ...


@runtime_checkable
class Learner(Protocol):
    """The part of a method that learns from the table; methods that learn nothing do not have it."""

    def learn(self, lesson: Lesson) -> Skill:
        """Learn, and hand back what :attr:`Task.skill` will be."""
        ...

    def restore(self, config: Mapping[str, Any], folder: SavedFolder, background: Background) -> Skill:
        """Build the skill again from what :meth:`Skill.to_parts` gave; its tensors are ``folder.part("skill")``."""
        ...

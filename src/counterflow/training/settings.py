"""The settings of a training run, checked once, when they are made."""

from dataclasses import dataclass
from typing import Literal

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.training.schedules import SCHEDULES

__all__ = ["TrainingSettings"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How :func:`~counterflow.training.optimise` trains.

    Args:
        max_epochs: The most passes over the data.
        patience: Stop after this many epochs in a row without a new lowest loss.
        learning_rate: Adam's step size at the start.
        schedule: How it falls: ``"cosine"`` to zero over ``max_epochs``, ``"plateau"`` by half whenever the loss
            has not fallen for a third of ``patience``, or ``"constant"``.
        weight_decay: The decay rate of AdamW; 0 for plain Adam.
        clip: The largest norm of the gradient of all parameters together; ``None`` for no limit.
        compile: ``True`` runs the module through ``torch.compile``, ``False`` never does, and ``"auto"`` does when
            the first epoch shows that the run is long enough to repay it.
        time_limit: Seconds after which training stops, in the middle of an epoch if need be; ``None`` for no limit.
        progress: Show a progress bar on an interactive terminal, once two seconds have passed.

    Raises:
        ArgumentError: A value is out of its range or not among its choices.

    Example:
        >>> TrainingSettings(max_epochs=10).schedule
        'cosine'
    """

    max_epochs: int = 500
    patience: int = 30
    learning_rate: float = 1e-3
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    weight_decay: float = 0.0
    clip: float | None = 5.0
    compile: bool | Literal["auto"] = "auto"
    time_limit: float | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        check_count(self.max_epochs, "max_epochs")
        check_count(self.patience, "patience")
        check_positive(self.learning_rate, "learning_rate")
        if not self.weight_decay >= 0:
            raise ArgumentError(f"weight_decay must be at least 0, got {self.weight_decay}. Use 0 for none.")
        if self.clip is not None:
            check_positive(self.clip, "clip")
        if self.time_limit is not None:
            check_positive(self.time_limit, "time_limit")
        check_choice(self.schedule, tuple(SCHEDULES), "schedule")
        check_choice(self.compile, (True, False, "auto"), "compile")


def check_choice(value: object, choices: tuple[object, ...], name: str) -> None:
    """Check that a value is one of a few.

    Raises:
        ArgumentError: If it is another one; the sentence lists the choices.
    """
    if value not in choices:
        raise ArgumentError(
            f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}. Choose one of these."
        )

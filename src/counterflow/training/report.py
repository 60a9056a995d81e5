"""What a training run leaves behind: one record an epoch, and a report of how it ended."""

from dataclasses import dataclass, field
from typing import NamedTuple

from counterflow.core.outcomes import FitOutcome

__all__ = ["EpochRecord", "FitReport"]


class EpochRecord(NamedTuple):
    """One epoch.

    Args:
        epoch: Its number, from 1.
        train: The mean loss over its batches while the weights moved (for a flow: minus the mean log-density, nats).
        validation: The loss on the held-out rows at its end; NaN when none were held out.
        learning_rate: The step size used.
        seconds: How long it took, its validation included.
    """

    epoch: int
    train: float
    validation: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class FitReport:
    """How a training run went.

    Args:
        best_validation: The lowest held-out loss, reached with the weights that the module now has (for a flow: minus
            the mean log-density, nats). When nothing was held out, the lowest training loss.
        best_epoch: The epoch, from 1, that reached it; 0 if none did.
        epochs: How many epochs were begun, those before a resume included.
        seconds: How long they took together.
        outcome: How the run ended; ``outcome.sentence`` says it in words.
        history: One record for each epoch.
    """

    best_validation: float
    best_epoch: int
    epochs: int
    seconds: float
    outcome: FitOutcome
    history: tuple[EpochRecord, ...] = field(repr=False)

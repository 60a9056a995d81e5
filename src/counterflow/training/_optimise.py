"""The one loop that trains everything."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError
from counterflow.core.random import make_generator
from counterflow.persistence import fingerprint
from counterflow.training.checkpoint import Checkpoint, saved_seed
from counterflow.training.progress import Logger, progress_bar
from counterflow.training.report import FitReport
from counterflow.training.run import Run
from counterflow.training.settings import TrainingSettings

__all__ = ["optimise", "run_seed", "train"]

B = TypeVar("B")


def optimise(
    module: nn.Module,
    loss: Callable[[nn.Module, B], Tensor],
    batches: Callable[[torch.Generator], Iterable[B]] | Iterable[B],
    *,
    validate: Callable[[nn.Module], Tensor] | None = None,
    settings: TrainingSettings | None = None,
    generator: torch.Generator | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    identity: object = None,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Minimize a loss over the parameters of a module, with early stopping, roll-back and checkpoints.

    .. math:: \min_\theta \; \mathbb{E}_b \, \ell(\theta, b)

    The module is trained where it is, in the dtype it has, and is left in evaluation mode with the weights of the
    epoch whose held-out loss was lowest. An epoch whose loss is not finite or explodes is undone: the best weights
    come back, the learning rate falls to a fifth; the fourth such epoch ends the run. On Ctrl-C (and on any other
    error) the best weights come back too, the last finished epoch is written to the checkpoint, and the error goes on.

    Args:
        module: What to train.
        loss: ``loss(module, batch)``, a scalar to be minimized. It must call the module it is handed, which may be a
            compiled copy.
        batches: The batches of an epoch, of any type: a function of a generator that gives them, or anything that can
            be run through again and again, such as a list or a ``DataLoader``.
        validate: ``validate(module)``, the held-out loss, called in evaluation mode without gradients after every
            epoch. ``None``: the training loss takes its place.
        settings: Epochs, learning rate and so on; ``None`` for the defaults.
        generator: Where the randomness comes from: one number is drawn from it and seeds the run.
        checkpoint: A folder that follows the run; it is written every few seconds and at the end.
        resume: Go on from the checkpoint, with the same weights bit by bit as if the run had never stopped (where
            ``compile="auto"`` compiles, only up to rounding); start afresh if there is none yet.
        identity: Plain data or arrays that tell this run from others; a checkpoint of another run is refused.
        on_epoch: Called with the :class:`EpochRecord` of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report of the run.

    Raises:
        ArgumentError: The module has nothing to train, an epoch has no batches, or ``resume`` has no checkpoint.
        PersistenceError: The checkpoint is damaged, of another run, or cannot be written.

    Example:
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(line.weight)
        >>> x = torch.linspace(-1, 1, 20)[:, None]
        >>> def squared_error(module, x):
        ...     return (module(x) - 3 * x).square().mean()
        >>> settings = TrainingSettings(max_epochs=500, learning_rate=0.05, schedule="plateau")
        >>> report = optimise(line, squared_error, [x], settings=settings)
        >>> round(line.weight.item(), 1)
        3.0
    """
    settings = settings or TrainingSettings()
    seed = run_seed(generator, checkpoint, resume=resume)
    deal = batches if callable(batches) else lambda _: batches
    kept = Checkpoint(checkpoint, run_identity(module, settings, identity) if checkpoint is not None else "")
    return train(
        module, loss, deal, validate=validate, settings=settings, seed=seed, kept=kept, resume=resume, on_epoch=on_epoch
    )


def run_seed(generator: torch.Generator | None, checkpoint: str | Path | None, *, resume: bool) -> int:
    """The seed of a run: that of the checkpoint it goes on from, else one drawn from the generator.

    Raises:
        ArgumentError: ``resume`` without a checkpoint.
    """
    if resume and checkpoint is None:
        raise ArgumentError("resume=True needs the folder of a checkpoint, got checkpoint=None. Pass checkpoint=.")
    generator = make_generator(generator)
    drawn = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    saved = saved_seed(checkpoint) if resume else None
    return drawn if saved is None else saved


def run_identity(module: nn.Module, settings: TrainingSettings, identity: object) -> str:
    """A hash of what decides a run's path: the module's shapes, the settings that steer it, and the caller's word."""
    steering = dataclasses.asdict(settings)
    for name in ("patience", "compile", "time_limit", "progress"):
        del steering[name]
    if settings.schedule != "cosine":
        del steering["max_epochs"]
    if settings.schedule == "plateau":
        steering["patience"] = settings.patience
    shapes = {name: [str(value.dtype), list(value.shape)] for name, value in module.state_dict().items()}
    return fingerprint({"settings": steering, "shapes": shapes, "identity": identity})


def train(
    module: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    deal: Callable[[torch.Generator], Iterable[Any]],
    *,
    validate: Callable[[nn.Module], Tensor] | None,
    settings: TrainingSettings,
    seed: int,
    kept: Checkpoint,
    resume: bool,
    on_epoch: Logger | None,
    trusted: bool = False,
) -> FitReport:
    """The loop behind :func:`optimise`, for a run whose seed is known; ``trusted`` as in :class:`TrainingStep`."""
    saved = kept.read() if resume else None
    run = Run(module, loss, deal, validate=validate, settings=settings, seed=seed, trusted=trusted)
    if saved is not None:
        run.take_up(saved)
    try:
        with progress_bar(settings, run.progress.epoch) as bar:
            outcome = run.until_done(kept, [bar] if on_epoch is None else [bar, on_epoch])
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(_note(run.progress.epoch, kept.folder))
        raise
    finally:
        run.close()
        kept.write()
    return run.report(outcome)


def _note(epoch: int, folder: str | Path | None) -> str:
    """What to tell a user who pressed Ctrl-C."""
    kept = f"Training was interrupted after {epoch} finished epochs; the module has its best weights so far."
    return kept if folder is None else f"{kept} The same call with resume=True goes on from '{folder}'."

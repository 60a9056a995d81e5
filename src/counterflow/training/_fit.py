"""Maximum likelihood for flows: data on the device, the one loop, and a report."""

from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.training._optimise import run_identity, run_seed, train
from counterflow.training.batches import Array, Augment, Batch, TensorBatches
from counterflow.training.checkpoint import Checkpoint
from counterflow.training.data import checked_rows, hold_out, with_fixed_noise
from counterflow.training.likelihood import held_out_loss, negative_log_likelihood
from counterflow.training.place import at_work, find_place
from counterflow.training.progress import Logger
from counterflow.training.report import FitReport
from counterflow.training.settings import TrainingSettings

__all__ = ["fit"]

_ROWS_TO_INITIALIZE = 16384


def fit(
    flow: nn.Module,
    x: Array,
    *,
    context: Array | None = None,
    weights: Array | None = None,
    validation: float | tuple[Array, Array | None] = 0.1,
    max_epochs: int = 500,
    patience: int = 30,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    schedule: Literal["cosine", "plateau", "constant"] = "cosine",
    weight_decay: float = 0.0,
    clip: float | None = 5.0,
    device: str | torch.device = "auto",
    compile: bool | Literal["auto"] = "auto",
    precision: Literal["float32", "float64", "mixed"] = "float32",
    generator: torch.Generator | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    time_limit: float | None = None,
    augment: Augment | None = None,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Fit a flow to rows by maximum likelihood.

    .. math:: \min_\theta \; -\sum_i w_i \log p_\theta(x_i \mid c_i) \,/\, \sum_i w_i

    A part of the rows is held out; training stops when their mean log-density has not risen for ``patience`` epochs,
    and the weights of the best epoch are kept. Layers that start from data (``flow.initialize``) see the training
    rows first. The data lie on the device as a whole, and batches are cut from them there. The flow comes back on the
    device and in the dtype it came with, in evaluation mode. What becomes of an epoch that diverges, and of
    Ctrl-C, says :func:`optimise`, whose loop this is.

    Args:
        flow: Any module whose ``forward(x, context)`` gives one natural log-density per row.
        x: Training points, shape ``(rows, ...)``; anything that ``augment`` can read when that is given.
        context: One context per row, shape ``(rows, context_features)``.
        weights: One weight of at least 0 per row; only their ratios count.
        validation: The share of rows held out, in [0, 1); or ``(x, context)``, held-out rows of your own; 0 holds
            nothing out, and the training loss decides.
        max_epochs: The most passes over the data.
        patience: Stop after this many epochs in a row without a new best.
        batch_size: The most rows of a batch; all batches have one size, the largest that cuts the rows evenly.
        learning_rate: Adam's step size at the start.
        schedule: How it falls: ``"cosine"`` to zero over ``max_epochs``, ``"plateau"`` by halves, or ``"constant"``.
        weight_decay: The decay rate of AdamW; 0 for plain Adam.
        clip: The largest norm of the gradient; ``None`` for no limit.
        device: Where to train; ``"auto"`` is CUDA where there is a GPU, else the CPU.
        compile: Whether to use ``torch.compile``; ``"auto"`` does in runs long enough to repay it.
        precision: The dtype to train in; ``"mixed"`` is float32 with the matrix products of conditioners in bfloat16.
        generator: Where the randomness comes from: one number is drawn from it and seeds the run.
        checkpoint: A folder that follows the run.
        resume: Go on from the checkpoint, to the same result bit by bit as if the run had never stopped.
        progress: Show a progress bar on an interactive terminal.
        time_limit: Seconds after which training stops.
        augment: ``augment(x_batch, generator) -> (x_batch', log_weight)`` replaces the points of each batch, for
            example by dequantized ones with fresh noise; ``log_weight`` (one per row, or 0) is added to their
            log-density. The held-out rows get their noise once.
        on_epoch: Called with the :class:`EpochRecord` of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report; ``report.best_validation`` is minus the mean log-density of the held-out rows, in nats.

    Raises:
        DataError: There are fewer than two rows, the held-out share leaves none on one side, or weights are negative.
        ShapeError: ``x``, ``context`` and ``weights`` differ in their number of rows.
        ArgumentError: A number is not finite (the sentence says where), or a setting is out of its range.
        PersistenceError: The checkpoint is damaged, of another run, or cannot be written.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = 3 + 2 * torch.randn(1000, 2, generator=generator)
        >>> flow = flows.realnvp(features=2, layers=2, generator=generator)
        >>> report = fit(flow, x, max_epochs=5, generator=generator)
        >>> report.outcome.value, round(report.best_validation)
        ('max_epochs', 4)
    """
    settings = TrainingSettings(
        max_epochs=max_epochs,
        patience=patience,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        clip=clip,
        compile=compile,
        time_limit=time_limit,
        progress=progress,
    )
    check_count(batch_size, "batch_size")
    place = find_place(device, precision)
    seed = run_seed(generator, checkpoint, resume=resume)
    rows = checked_rows(x, context, weights, raw=augment is not None, place=place)
    rows, held = hold_out(rows, validation, seed, raw=augment is not None, place=place)
    if held is not None:
        held = with_fixed_noise(held, augment, seed, dtype=place.dtype, use="held-out noise")
    data = [x, context, weights, validation, batch_size, precision, augment is not None]
    with at_work(flow, place):
        kept = Checkpoint(checkpoint, run_identity(flow, settings, data) if checkpoint is not None else "")
        _initialize(flow, rows, augment, seed, dtype=place.dtype)
        return train(
            flow,
            negative_log_likelihood,
            TensorBatches(rows, batch_size, augment=augment, dtype=place.dtype),
            validate=None if held is None else held_out_loss(held, 2 * batch_size),
            settings=settings,
            seed=seed,
            kept=kept,
            resume=resume,
            on_epoch=on_epoch,
            trusted=on_epoch is None and _holds_no_surprise(flow),
        )


def _holds_no_surprise(flow: nn.Module) -> bool:
    """Whether all parts are of this library or of torch, so that no forward pass changes what Python reads."""
    return all(type(part).__module__.partition(".")[0] in ("counterflow", "torch") for part in flow.modules())


@runtime_checkable
class _DataDependent(Protocol):
    """A flow with layers that start from data."""

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None: ...


def _initialize(flow: nn.Module, rows: Batch, augment: Augment | None, seed: int, *, dtype: torch.dtype) -> None:
    """Let layers that start from data see training rows (which lie in random order), once."""
    if isinstance(flow, _DataDependent):
        first = rows.each(lambda column: column[:_ROWS_TO_INITIALIZE])
        first = with_fixed_noise(first, augment, seed, dtype=dtype, use="initial noise")
        flow.initialize(first.x, first.context)

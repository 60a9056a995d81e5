"""From what a user hands to ``fit`` to checked rows on the device, some of them held out."""

import torch
from torch import Tensor

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.core.random import derive_seed, make_generator
from counterflow.training.batches import Array, Augment, Batch, augmented
from counterflow.training.place import Place

__all__ = ["checked_rows", "hold_out", "with_fixed_noise"]


def checked_rows(
    x: Array, context: Array | None, weights: Array | None, *, raw: bool, place: Place, prefix: str = ""
) -> Batch:
    """Put rows in place after checking them.

    Args:
        x: Points, one in each row.
        context: One context per row, or ``None``.
        weights: One weight per row, or ``None``.
        raw: ``x`` is material for an augmentation and keeps its dtype and its values, whatever they are.
        place: Device and dtype for the rest.
        prefix: What stands before the names in errors.

    Returns:
        The rows; weights have mean 1.

    Raises:
        ShapeError: The numbers of rows differ.
        ArgumentError: A number is not finite.
        DataError: A weight is negative, or all are zero.
    """
    points = torch.as_tensor(x).to(place.device, None if raw else place.dtype)
    if not raw:
        check_finite(points, prefix + "x")

    def column(values: Array | None, name: str) -> Tensor | None:
        return None if values is None else _checked_column(values, len(points), name=prefix + name, place=place)

    return Batch(points, column(context, "context"), _normalized(column(weights, "weights")))


def hold_out(
    rows: Batch, validation: float | tuple[Array, Array | None], seed: int, *, raw: bool, place: Place
) -> tuple[Batch, Batch | None]:
    """Shuffle the rows and set some aside, or take the user's own for that.

    Args:
        rows: At least two checked rows.
        validation: The share to hold out, in [0, 1), of which at least one row is made if it is above 0; or held-out
            rows as ``(x, context)``.
        seed: The seed of the run.
        raw: As in :func:`checked_rows`.
        place: As in :func:`checked_rows`.

    Returns:
        The rows to train on in random order, and those held out (``None`` for none).

    Raises:
        ArgumentError: The share is out of its range.
        DataError: There are fewer than two rows, or none is left on one side.
        ShapeError: The user's held-out rows are not like the others.
    """
    if len(rows.x) < 2:
        raise DataError(f"x must have at least 2 rows, got {len(rows.x)}. Collect more data.")
    own = _checked_own(rows, *validation, raw=raw, place=place) if isinstance(validation, tuple) else None
    held = 0 if isinstance(validation, tuple) else _held_count(len(rows.x), validation)
    order = torch.randperm(len(rows.x), generator=make_generator(derive_seed(seed, "split"))).to(rows.x.device)
    train = rows.each(lambda column: column[order[held:]])
    return train, rows.each(lambda column: column[order[:held]]) if held else own


def with_fixed_noise(rows: Batch, augment: Augment | None, seed: int, *, dtype: torch.dtype, use: str) -> Batch:
    """Augment rows once, with noise of their own that is the same in every run of this seed."""
    if augment is None:
        return rows
    return augmented(rows, augment, make_generator(derive_seed(seed, use), rows.x.device), dtype)


def _held_count(rows: int, share: float) -> int:
    if not 0 <= share < 1:
        raise ArgumentError(f"validation must be a share in [0, 1) or (x, context), got {share}. The default is 0.1.")
    held = max(1, round(rows * share)) if share else 0
    if held == rows:
        raise DataError(f"validation={share} of {rows} rows leaves none to train on. Hold out a smaller share.")
    return held


def _checked_own(rows: Batch, x: Array, context: Array | None, *, raw: bool, place: Place) -> Batch:
    own = checked_rows(x, context, None, raw=raw, place=place, prefix="validation ")
    if not len(own.x):
        raise DataError("validation must have at least one row, got none. Pass a share such as 0.1 instead.")
    if _row_shapes(own) != _row_shapes(rows):
        raise ShapeError(
            f"validation must have rows of x and context of the shapes {_row_shapes(rows)}, got {_row_shapes(own)}. "
            "Pass (x, context), with None for context in an unconditional fit."
        )
    return own


def _row_shapes(rows: Batch) -> tuple[tuple[int, ...] | None, ...]:
    return tuple(rows.x.shape[1:]), None if rows.context is None else tuple(rows.context.shape[1:])


def _checked_column(values: Array, rows: int, *, name: str, place: Place) -> Tensor:
    column = torch.as_tensor(values).to(place.device, place.dtype)
    if column.dim() == 0 or len(column) != rows:
        raise ShapeError(
            f"{name} must have one entry for each of the {rows} rows of x, got shape {tuple(column.shape)}. "
            "Pass as many rows of both."
        )
    check_finite(column, name)
    return column


def _normalized(weights: Tensor | None) -> Tensor | None:
    if weights is None:
        return None
    if weights.dim() != 1:
        raise ShapeError(f"weights must have shape (rows,), got {tuple(weights.shape)}. Pass one number per row.")
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise DataError("weights must be at least 0 and not all 0. Drop the rows that shall not count.")
    return weights / weights.mean()

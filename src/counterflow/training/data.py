"""From what a user hands to ``fit`` to checked rows on the device, some of them held out."""

from typing import NamedTuple

import torch
from torch import Tensor

from counterflow.core.checks import check_finite
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.core.random import derive_seed, make_generator
from counterflow.training.batches import Array, Augment, Batch, augmented, take

__all__ = ["Place", "checked_rows", "split_rows", "with_fixed_noise"]


class Place(NamedTuple):
    """Where a run computes, and in which dtype."""

    device: torch.device
    dtype: torch.dtype


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
    x = torch.as_tensor(x).to(place.device, None if raw else place.dtype)
    columns = {"context": context, "weights": weights}
    for name, column in columns.items():
        if column is not None:
            columns[name] = torch.as_tensor(column).to(place.device, place.dtype)
            _check_length(columns[name], len(x), prefix + name, prefix + "x")
            check_finite(columns[name], prefix + name)
    if not raw:
        check_finite(x, prefix + "x")
    return Batch(x, columns["context"], _normalized(columns["weights"]))


def split_rows(rows: Batch, share: float, seed: int) -> tuple[Batch, Batch | None]:
    """Hold out a random share of the rows.

    Args:
        rows: At least two.
        share: The share, in [0, 1); at least one row is held out if it is above 0.
        seed: The seed of the run.

    Returns:
        The rows to train on in random order, and those held out (``None`` if ``share`` is 0).

    Raises:
        ArgumentError: ``share`` is out of its range.
        DataError: There are fewer than two rows, or none is left to train on.
    """
    count = len(rows.x)
    if not 0 <= share < 1:
        raise ArgumentError(f"validation must be a share in [0, 1) or (x, context), got {share}. The default is 0.1.")
    if count < 2:
        raise DataError(f"x must have at least 2 rows, got {count}. Collect more data.")
    held = max(1, round(count * share)) if share else 0
    if held == count:
        raise DataError(f"validation={share} of {count} rows leaves none to train on. Hold out a smaller share.")
    order = torch.randperm(count, generator=make_generator(derive_seed(seed, "split"))).to(rows.x.device)
    return take(rows, order[held:]), take(rows, order[:held]) if held else None


def with_fixed_noise(rows: Batch, augment: Augment | None, seed: int, *, dtype: torch.dtype, use: str) -> Batch:
    """Augment rows once, with noise of their own that is the same in every run of this seed."""
    if augment is None:
        return rows
    return augmented(rows, augment, make_generator(derive_seed(seed, use), rows.x.device), dtype)


def _check_length(column: Tensor, rows: int, name: str, reference: str) -> None:
    if column.dim() == 0 or len(column) != rows:
        raise ShapeError(
            f"{name} must have one entry for each of the {rows} rows of {reference}, got shape {tuple(column.shape)}. "
            "Pass as many rows of both."
        )


def _normalized(weights: Tensor | None) -> Tensor | None:
    if weights is None:
        return None
    if weights.dim() != 1:
        raise ShapeError(f"weights must have shape (rows,), got {tuple(weights.shape)}. Pass one number per row.")
    if bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise DataError("weights must be at least 0 and not all 0. Drop the rows that shall not count.")
    return weights / weights.mean()

"""Changing what is known of a point, and nothing else: abduct, act, predict, in the latents of an autoencoder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import RowStatus
from counterflow.latent.attributes import Attributes, ClassAttribute
from counterflow.latent.columns import Columns, Value

__all__ = ["LatentEdit", "RoundTrip", "changed_conditions", "edit_status", "keep_rows", "root_mean_square", "same"]


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """What is lost on the way to a latent and back, by the autoencoder and by the flow.

    Args:
        autoencoder: The root of the mean squared difference of each point and its reconstruction.
        flow: The same of each latent and what the flow makes of it there and back: rounding, and nothing more.
    """

    autoencoder: Float[Tensor, " rows"]
    flow: Float[Tensor, " rows"]


@dataclass(frozen=True, eq=False)
class LatentEdit:
    """Points before and after their attributes were changed.

    Args:
        originals: The points as they came.
        edited: The points with other attributes; those that had them already are unchanged.
        reconstructions: What the autoencoder makes of the originals.
        latents: Their latents.
        edited_latents: The latents after the change.
        before: What was known of each point, by attribute; what was not given and had to be known was inferred.
        after: The same after the change.
        support: How much likelier each edited point, encoded anew, is after the change than before it: the difference
            of its log-densities under the two conditions, in nats.
        round_trip: What autoencoder and flow lose of the originals.
        status: How each point ended: ``FOUND`` where ``support`` is positive, ``NOT_VALID`` where it is not, and
            ``ALREADY_DESIRED``.
    """

    originals: Float[Tensor, "rows *event"]
    edited: Float[Tensor, "rows *event"]
    reconstructions: Float[Tensor, "rows *event"]
    latents: Float[Tensor, "rows *latent"]
    edited_latents: Float[Tensor, "rows *latent"]
    before: Columns
    after: Columns
    support: Float[Tensor, " rows"]
    round_trip: RoundTrip
    status: tuple[RowStatus, ...]

    def __len__(self) -> int:
        return len(self.status)

    @property
    def found(self) -> Bool[Tensor, " rows"]:
        """Where the flow takes the edited point for one with the new attributes."""
        good = (RowStatus.FOUND, RowStatus.ALREADY_DESIRED)
        return torch.tensor([status in good for status in self.status], dtype=torch.bool)


def changed_conditions(
    attributes: Attributes,
    after: Any,
    *,
    before: Any,
    rows: int,
    infer: Callable[[str, Columns], list[Value]],
) -> tuple[Columns, Columns]:
    """Say what is known of points before and after a change of some attributes.

    Args:
        attributes: What a condition is made of.
        after: The attributes that change, with their new values.
        before: What is known of the points.
        rows: How many there are.
        infer: From the name of an attribute and what is known of the others to its value in each row, for those that
            change and are not known.

    Returns:
        The values of all attributes before and after; what is not known and does not change stays so.

    Raises:
        ArgumentError: Nothing shall change, a new value is missing, or so is the old value of a number.

    Example:
        >>> pair = tuple(ClassAttribute(name, (0, 1), (0.5, 0.5)) for name in ("smile", "hat"))
        >>> guess = lambda name, known: [0]
        >>> changed_conditions(Attributes(pair), {"smile": 1}, before=None, rows=1, infer=guess)
        ({'smile': [0], 'hat': [None]}, {'smile': [1], 'hat': [None]})
    """
    wanted = {name: column for name, column in attributes.columns(after, rows).items() if set(column) != {None}}
    if not wanted or any(None in column for column in wanted.values()):
        raise ArgumentError(f"after must give one attribute or more a value for every point, got {after!r}.")
    attributes.encode(wanted, rows)  # says which value there is not
    old = attributes.columns(before, rows)
    for name in wanted:
        if None in old[name]:
            if not isinstance(attributes.member(name), ClassAttribute):
                raise ArgumentError(f"before must hold {name!r} of every point, for a number cannot be inferred.")
            guesses = infer(name, old)
            old[name] = [guess if own is None else own for own, guess in zip(old[name], guesses, strict=True)]
    return old, {**old, **wanted}


def same(before: Columns, after: Columns, row: int) -> bool:
    """Whether nothing changes in a row."""
    return all(before[name][row] == after[name][row] for name in after)


def keep_rows(
    rows: Bool[Tensor, " rows"], x: Float[Tensor, "rows *event"], other: Float[Tensor, "rows *event"]
) -> Float[Tensor, "rows *event"]:
    """Take some rows of one tensor and all others of another.

    Example:
        >>> keep_rows(torch.tensor([True, False]), torch.zeros(2, 1), torch.ones(2, 1)).tolist()
        [[0.0], [1.0]]
    """
    return torch.where(rows.view(-1, *[1] * (x.dim() - 1)), x, other)


def edit_status(support: Float[Tensor, " rows"], already: Bool[Tensor, " rows"]) -> tuple[RowStatus, ...]:
    """Say how each point ended.

    Example:
        >>> [status.value for status in edit_status(torch.tensor([2.0, -1.0]), torch.tensor([False, False]))]
        ['found', 'not_valid']
    """
    judged = [RowStatus.FOUND if gained > 0 else RowStatus.NOT_VALID for gained in support.tolist()]
    return tuple(RowStatus.ALREADY_DESIRED if same else status for same, status in zip(already, judged, strict=True))


def root_mean_square(difference: Float[Tensor, "rows *event"]) -> Float[Tensor, " rows"]:
    """The root of the mean square of each row.

    Example:
        >>> root_mean_square(torch.tensor([[3.0, 3.0]]))
        tensor([3.])
    """
    return difference.square().flatten(1).mean(1).sqrt()

"""How a scan over time is cut: many short blocks side by side instead of one step after the other.

Sequences lie one below the other, without padding. Where one begins, the chain forgets: whatever was before, the state
is drawn anew. So ragged sequences are one long series, and this is cut into blocks of equal length wherever it may be.
A block maps what is known at its entry to what is known at its end by a matrix over states; all these matrices are
computed at once, then chained. As many steps as the square root of the number of observations do for a scan.

Reference:
    Hassan, Sarkka, Garcia-Fernandez, "Temporal Parallelization of Inference in Hidden Markov Models", 2021, section 3.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from counterflow.core.errors import DataError, ShapeError

__all__ = ["Blocks", "Law", "checked_lengths", "cut", "finite", "first_rows", "join", "leveled"]


_SHOWN = 20


class Law(NamedTuple):
    """How states begin and follow each other, as logarithms: from the row's state to the column's."""

    log_start: Float[Tensor, " states"]
    log_transition: Float[Tensor, "states states"]


class Blocks(NamedTuple):
    """A series cut into blocks, time first and blocks last.

    Args:
        log_density: Of each observation under each state.
        resets: Where a sequence begins; true on padding after the end too, so that nothing flows back from there.
        rows: How many observations there are.
    """

    log_density: Float[Tensor, "time states blocks"]
    resets: Bool[Tensor, "time blocks"]
    rows: int

    def reset_at(self) -> list[Tensor | None]:
        """For each time the resets, if there are any."""
        some = self.resets.any(1).tolist()
        return [resets if reset else None for resets, reset in zip(self.resets, some, strict=True)]


def checked_lengths(lengths: Sequence[int] | None, rows: int) -> list[int]:
    """The lengths of the sequences; ``None`` is one sequence of all rows.

    Raises:
        DataError: They are not whole numbers of at least 1, or do not add up to the number of rows.

    Example:
        >>> checked_lengths([2, 2], 5)
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: lengths must add up to the 5 rows of X, got a sum of 4. Give the number \
of rows of each sequence, in their order.
    """
    if lengths is None:
        return [rows]
    known = torch.as_tensor(lengths)
    if known.dim() != 1 or known.is_floating_point() or not len(known) or int(known.min()) < 1:
        shown = repr(lengths) if known.numel() <= _SHOWN else f"{known.numel()} of which the least is {known.min()}"
        raise DataError(f"lengths must be whole numbers of at least 1, got {shown}. Leave empty sequences out.")
    if int(known.sum()) != rows:
        raise DataError(
            f"lengths must add up to the {rows} rows of X, got a sum of {int(known.sum())}. "
            "Give the number of rows of each sequence, in their order."
        )
    return known.tolist()


def first_rows(lengths: Sequence[int]) -> Tensor:
    """The row at which each sequence begins.

    Example:
        >>> first_rows([2, 3]).tolist()
        [0, 2]
    """
    return torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)


def cut(log_density: Float[Tensor, "rows states"], lengths: Sequence[int] | None) -> Blocks:
    """Cut a series into about as many blocks as they have steps.

    Args:
        log_density: Of each observation under each state.
        lengths: Of the sequences; ``None`` is one.

    Raises:
        ShapeError: There is no row or no state.
        DataError: The lengths do not add up to the rows.
    """
    rows, states = log_density.shape
    if not rows or not states:
        raise ShapeError(f"log_density must have rows and states, got shape {(rows, states)}. Give observations.")
    time = math.ceil(math.sqrt(rows))
    blocks = -(-rows // time)
    resets = torch.zeros(time * blocks, dtype=torch.bool, device=log_density.device)
    resets[first_rows(checked_lengths(lengths, rows)).to(log_density.device)] = True
    resets[rows:] = True
    padded = functional.pad(log_density, (0, 0, 0, time * blocks - rows))
    return Blocks(padded.view(blocks, time, states).permute(1, 2, 0).contiguous(), resets.view(blocks, time).T, rows)


def leveled(
    log_density: Float[Tensor, "rows states"],
) -> tuple[Float[Tensor, "rows states"], Float[Tensor, " rows"]]:
    """Log-densities relative to the largest of their row, and the largest.

    What tells the states apart would else be lost in the rounding of sums with an observation far from all of them.

    Example:
        >>> relative, level = leveled(torch.tensor([[-1e20, -2e20], [-math.inf, -math.inf]]))
        >>> relative[0].tolist()[0], level.tolist()[1]
        (0.0, 0.0)
    """
    level = finite(log_density.amax(1))
    return log_density - level.unsqueeze(1), level


def join(values: Tensor, rows: int) -> Tensor:
    """Put values ``(time, ..., blocks)`` back into a series ``(rows, ...)``.

    Example:
        >>> blocks = cut(torch.arange(10.0).view(5, 2), None)
        >>> join(blocks.log_density, 5).flatten().tolist() == list(range(10))
        True
    """
    return values.movedim(-1, 0).flatten(0, 1)[:rows]


def finite(log_total: Tensor) -> Tensor:
    """A logarithm to be subtracted: 0 in place of minus infinity, so that nothing becomes NaN.

    Example:
        >>> finite(torch.tensor([-math.inf, 2.0])).tolist()
        [0.0, 2.0]
    """
    return torch.where(log_total > -math.inf, log_total, 0.0)

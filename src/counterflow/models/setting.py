"""The table that a model is adapted to: schema, codec, and some rows to try it on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from counterflow.core.errors import ModelError
from counterflow.tables.codec import TableCodec
from counterflow.tables.hints import did_you_mean
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table, take_rows

__all__ = ["Setting", "pick", "row_count"]

TRIED_ROWS = 64


@dataclass(frozen=True, eq=False)
class Setting:
    """Where a model lives.

    Args:
        schema: The columns.
        codec: Frames to numbers and back.
        sample: A few rows of the user's frame, spread over it.
        numbers: The same rows as numbers.
    """

    schema: Schema
    codec: TableCodec
    sample: Any
    numbers: np.ndarray

    @classmethod
    def of(cls, schema: Schema, codec: TableCodec, like: Any) -> "Setting":
        """Take the sample from a frame; rows that the schema drops are not taken."""
        count = row_count(like)
        sample = take_rows(like, np.arange(0, count, max(1, count // TRIED_ROWS)))
        if schema.missing == "drop":
            sample = take_rows(sample, np.flatnonzero(~codec.missing_rows(sample)))
        return cls(schema, codec, sample, codec.to_numbers(sample))


def row_count(frame: Any) -> int:
    """The number of rows of a frame of any kind."""
    return len(Table(frame))


def pick(frame: Any, names: list[str], reader: str) -> Any:
    """Some columns of a frame, in the given order, as a frame of the same kind.

    Args:
        frame: pandas, polars, pyarrow or numpy (columns x0, x1, ...).
        names: The columns.
        reader: Who needs them, for the sentence.

    Returns:
        The columns.

    Raises:
        ModelError: If one is missing.
    """
    table = Table(frame)
    for name in names:
        if name not in table.names:
            raise ModelError(f"{reader} needs the column {name!r}, which the table does not have."
                             f"{did_you_mean(name, table.names)}")  # fmt: skip
    if names == table.names:
        return frame
    if table.backend == "numpy":
        return frame[:, [table.names.index(name) for name in names]]
    return frame.select(names) if table.backend == "pyarrow" else frame[names]

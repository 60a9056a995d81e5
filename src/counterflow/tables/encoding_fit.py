"""What a flow's encoding measures on the training rows: centers, scales, frequencies, shared codes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterflow.core.errors import DataError
from counterflow.tables.column import Column
from counterflow.tables.schema import Schema

__all__ = ["fit_encoding"]

HEAVY_KURTOSIS, HEAVY_SKEWNESS = 6.0, 2.0
SMOOTHING = 1.0  # added to the count of every category
EMPTY = np.inf  # fills tables of atoms: equal to no value


@dataclass
class _Parts:
    """The parts of an encoding while it grows, column by column; the names are those of its buffers."""

    dimension: int = 0
    values: list[dict[str, Any]] = field(default_factory=list)
    cells: list[tuple[int, int, np.ndarray, np.ndarray]] = field(default_factory=list)
    codes: list[tuple[int, int, np.ndarray, np.ndarray]] = field(default_factory=list)
    atoms: list[tuple[int, int, list[float]]] = field(default_factory=list)
    unseen: list[tuple[int, float]] = field(default_factory=list)
    constants: list[tuple[int, float]] = field(default_factory=list)
    shared: dict[bytes, int] = field(default_factory=dict)

    def new_dimension(self) -> int:
        """Reserve the next coordinate."""
        self.dimension += 1
        return self.dimension - 1


def fit_encoding(schema: Schema, numbers: np.ndarray, score: np.ndarray | None = None) -> dict[str, Tensor]:
    """Measure what :class:`FlowEncoding` needs.

    Args:
        schema: The columns.
        numbers: Training rows, (rows, columns).
        score: One number per row by whose means categories are ordered, or ``None`` for the schema's order.

    Returns:
        The buffers of the encoding.

    Raises:
        DataError: A column that could be changed is constant, or there are no rows.
    """
    if len(numbers) == 0:
        raise DataError("there are no training rows: give at least two that differ.")
    parts = _Parts()
    for position, column in enumerate(schema.columns):
        _add_column(parts, position, column, values=numbers[:, position], score=score)
    spread = [_spread(column, numbers[:, position]) for position, column in enumerate(schema.columns)]
    return {"spread": _tensor(spread), **_buffers(parts)}


def _add_column(parts: _Parts, position: int, column: Column, *, values: np.ndarray, score: np.ndarray | None) -> None:
    first = values[0]
    if bool(((values == first) | (np.isnan(values) & np.isnan(first))).all()):
        _add_constant(parts, position, column, value=float(first))
    elif column.numeric:
        _add_number(parts, position, column, values=values)
    else:
        edges, widths = _cells(values.astype(np.int64), len(column.categories), score)
        parts.cells.append((position, parts.new_dimension(), edges, widths))


def _add_constant(parts: _Parts, position: int, column: Column, *, value: float) -> None:
    if not column.fixed:
        shown = column.categories[int(value)] if column.labeled else value
        raise DataError(
            f"column {column.name!r} is constant in the training rows (always {shown!r}), so nothing can be learned "
            f"about changing it. Drop it, or carry it along with schema.with_column({column.name!r}, actionable=False)."
        )
    parts.constants.append((position, value))


def _add_number(parts: _Parts, position: int, column: Column, *, values: np.ndarray) -> None:
    codes, seen = _atom_positions(column, values)
    parts.unseen.extend((position, atom.value) for atom in column.atoms if atom.value not in seen and not atom.missing)
    parts.unseen.extend((position, np.nan) for atom in column.atoms if atom.missing and not np.isnan(seen).any())
    if seen:
        _add_code(parts, position, column, codes=codes, seen=seen)
    measured = _measure(column, values[codes == 0])
    parts.values.append({"column": position, "dim": parts.new_dimension(), "atom": len(parts.atoms) - 1, **measured})
    if not seen:
        parts.values[-1]["atom"] = -1


def _atom_positions(column: Column, values: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """For each value 0 if it is a number, k for the k-th atom in order of first appearance; and these atoms."""
    which = np.zeros(len(values), dtype=np.int64)
    for place, atom in enumerate(column.atoms, start=1):
        which[np.isnan(values) if atom.missing else values == atom.value] = place
    order = [int(place) for place in dict.fromkeys(which[which > 0].tolist())]
    relabel = np.zeros(len(column.atoms) + 1, dtype=np.int64)
    relabel[order] = np.arange(1, len(order) + 1)
    return relabel[which], [column.atoms[place - 1].value for place in order]


def _add_code(parts: _Parts, position: int, column: Column, *, codes: np.ndarray, seen: list[float]) -> None:
    """Give the column a coordinate for its codes, or the one of an earlier column with the very same codes."""
    changeable = any(atom.may_change or atom.allowed for atom in column.atoms)
    key = position.to_bytes(8, "big") if changeable else codes.astype(np.int8).tobytes()
    if key not in parts.shared:
        edges, widths = _cells(codes, len(seen) + 1, None)
        parts.shared[key] = len(parts.codes)
        parts.codes.append((position, parts.new_dimension(), edges, widths))
    parts.atoms.append((position, parts.shared[key], seen))


def _cells(index: np.ndarray, count: int, score: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Left edges and widths of the cells of [0, 1]: smoothed frequencies, in the order of the mean score."""
    counts = np.bincount(index, minlength=count)
    widths = (counts + SMOOTHING) / (counts + SMOOTHING).sum()
    order = np.arange(count)
    if score is not None:
        means = (np.bincount(index, score, minlength=count) + SMOOTHING * score.mean()) / (counts + SMOOTHING)
        order = np.argsort(means, kind="stable")
    edges = np.empty(count)
    edges[order] = np.concatenate([[0.0], np.cumsum(widths[order])[:-1]])
    return edges, widths


def _measure(column: Column, values: np.ndarray) -> dict[str, Any]:
    """Standardization of the numbers of a column; through asinh if the tails are heavy."""
    step = (column.grid or 1.0) if column.lattice else 0.0
    lower, upper = _number_bounds(column)
    values = values if values.size else np.array([0.0])
    center, scale = (_robust(values, step)) if _is_heavy(values) else (0.0, 1.0)
    heavy = _is_heavy(values)
    inner = (values - center) / scale
    slope = 1.0 / np.sqrt(1.0 + inner**2) if heavy else np.ones_like(inner)
    inner = np.arcsinh(inner) if heavy else inner
    std = float(np.sqrt(inner.var() + ((step / scale * slope) ** 2).mean() / 12.0))
    return {
        "center": center, "scale": scale, "heavy": float(heavy), "mean": float(inner.mean()), "std": std or 1.0,
        "step": step, "lower": lower, "upper": upper,
    }  # fmt: skip


def _is_heavy(values: np.ndarray) -> bool:
    """Whether the tails are so heavy or skewed that standardization alone leaves most values in a corner."""
    std = values.std()
    if std == 0 or values.size < 8:
        return False
    z = (values - values.mean()) / std
    return bool((z**4).mean() - 3.0 > HEAVY_KURTOSIS or abs((z**3).mean()) > HEAVY_SKEWNESS)


def _robust(values: np.ndarray, step: float) -> tuple[float, float]:
    """The median, and a scale that a few extreme values do not move."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    scale = (high - low) / 1.349 or float(np.abs(values - median).mean())
    return float(median), float(max(scale, step))


def _number_bounds(column: Column) -> tuple[float, float]:
    """The bounds of values that are no atoms: an inflation atom at the edge of a lattice is left out."""
    lower, upper = column.bounds
    if column.lattice and column.grid:
        lower += column.grid * (column.code_of(lower) is not None)
        upper -= column.grid * (column.code_of(upper) is not None)
    return (lower, upper) if lower <= upper else column.bounds


def _spread(column: Column, values: np.ndarray) -> float:
    if not column.numeric:
        return 1.0
    numbers = values[_atom_positions(column, values)[0] == 0]
    return float(numbers.std()) or 1.0 if numbers.size else 1.0


def _tensor(values: Sequence[Any], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(list(values), dtype=dtype)


def _table(rows: Sequence[Sequence[float] | np.ndarray], fill: float) -> Tensor:
    """Rows of unequal lengths as one tensor."""
    width = max((len(row) for row in rows), default=1)
    return _tensor([[*map(float, row), *[fill] * (width - len(row))] for row in rows]).reshape(len(rows), width)


def _buffers(parts: _Parts) -> dict[str, Tensor]:
    whole = torch.long
    keys = ("center", "scale", "mean", "std", "step", "lower", "upper")
    buffers = {f"value_{key}": _tensor([value[key] for value in parts.values]) for key in keys}
    for key in ("column", "dim", "atom"):
        buffers[f"value_{key}"] = _tensor([value[key] for value in parts.values], whole)
    buffers["value_heavy"] = _tensor([value["heavy"] for value in parts.values], torch.bool)
    for name, cells in (("cell", parts.cells), ("code", parts.codes)):
        buffers[f"{name}_column"] = _tensor([part[0] for part in cells], whole)
        buffers[f"{name}_dim"] = _tensor([part[1] for part in cells], whole)
        buffers[f"{name}_edge"] = _table([part[2] for part in cells], 2.0)
        buffers[f"{name}_width"] = _table([part[3] for part in cells], 0.0)
    buffers["atom_column"] = _tensor([atom[0] for atom in parts.atoms], whole)
    buffers["atom_group"] = _tensor([atom[1] for atom in parts.atoms], whole)
    buffers["atom_value"] = _table([atom[2] for atom in parts.atoms], EMPTY)
    for name, pairs in (("unseen", parts.unseen), ("constant", parts.constants)):
        buffers[f"{name}_column"] = _tensor([pair[0] for pair in pairs], whole)
        buffers[f"{name}_value"] = _tensor([pair[1] for pair in pairs])
    return buffers

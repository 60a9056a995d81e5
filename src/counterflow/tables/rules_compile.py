"""Compile a schema and constraints into tensors for given rows."""

import math
from typing import Any

import torch
from torch import Tensor

from counterflow.tables.column import Atom, Column
from counterflow.tables.constraints import Constraints, asked_range, direction_of
from counterflow.tables.grid import Grid
from counterflow.tables.schema import Schema

__all__ = ["column_costs", "compile_tables", "default_scale", "final_direction"]


def column_costs(schema: Schema, constraints: Constraints) -> list[float]:
    """What a unit of change costs in each column: the schema's cost times the factor that was asked."""
    return [column.cost * constraints.cost.get(column.name, 1.0) for column in schema.columns]


def default_scale(schema: Schema) -> Tensor:
    """The width of each column; 1 where it has none."""
    widths = [high - low for low, high in (column.bounds for column in schema.columns)]
    return torch.tensor([width if 0 < width < math.inf else 1.0 for width in widths], dtype=torch.float64)


def final_direction(column: Column, constraints: Constraints) -> str:
    """The direction that schema and constraints ask together."""
    asked = direction_of(column.name, constraints)
    return column.direction if asked == "any" else asked


def compile_tables(schema: Schema, constraints: Constraints, grid: Grid, *, factual: Tensor) -> dict[str, Any]:
    """The tensors of :class:`Rules`, by the names of its fields.

    Args:
        schema: The columns.
        constraints: What was asked, without contradictions.
        grid: The grids of the columns.
        factual: The rows, (n, d).
    """
    parts = [_limits(column, constraints, factual[:, position]) for position, column in enumerate(schema.columns)]
    lower, upper = grid.ceil(_stack(parts, "lower")), grid.floor(_stack(parts, "upper"))
    changeable, at_code = _stack(parts, "changeable"), _stack(parts, "at_code")
    numeric = torch.tensor([column.numeric for column in schema.columns], device=factual.device)
    number = ~at_code & ~factual.isnan()
    somewhere = (lower < upper) | ((lower == upper) & (lower != factual))
    movable = changeable & numeric & somewhere
    box = {"lower": torch.minimum, "upper": torch.maximum}
    strict = {"lower": lower, "upper": upper}
    box = {key: torch.where(number & movable, pick(strict[key], factual), strict[key]) for key, pick in box.items()}
    box = {key: torch.where(movable, limits, factual) for key, limits in box.items()}
    categories = _categories(schema, constraints, factual, changeable=changeable)
    return {
        "factual": factual, "movable": movable, **box, "strict_lower": lower, "strict_upper": upper, "at_code": at_code,
        **categories, **_landings(schema, constraints, factual, changeable=changeable, lower=lower, upper=upper),
    }  # fmt: skip


def _stack(parts: list[dict[str, Tensor]], name: str) -> Tensor:
    return torch.stack([part[name] for part in parts], dim=1)


def _limits(column: Column, constraints: Constraints, values: Tensor) -> dict[str, Tensor]:
    """Bounds of a changed value, whether it may change, and whether it is a code, for one column."""
    none = torch.zeros_like(values, dtype=torch.bool)
    pinned = column.name in constraints.immutable or not column.actionable
    pinned = pinned or (column.protected and column.name not in constraints.free)
    direction = final_direction(column, constraints)
    at_code, locked = none, none
    for atom in column.atoms:
        here = _is_at(values, atom)
        at_code = at_code | here if atom.kind == "code" else at_code
        stays = not atom.may_change or (atom.kind == "code" and direction != "any")
        locked = locked | here if stays else locked
    low, high = asked_range(column, constraints.ranges.get(column.name)) if column.numeric else column.bounds
    lower, upper = torch.full_like(values, low), torch.full_like(values, high)
    ordinary = ~at_code & ~values.isnan()
    if direction == "increase":
        lower = torch.where(ordinary, torch.maximum(lower, values), lower)
    if direction == "decrease":
        upper = torch.where(ordinary, torch.minimum(upper, values), upper)
    return {"lower": lower, "upper": upper, "changeable": ~locked & (not pinned), "at_code": at_code}


def _is_at(values: Tensor, atom: Atom) -> Tensor:
    return values.isnan() if atom.missing else values == atom.value


def _categories(schema: Schema, constraints: Constraints, factual: Tensor, *, changeable: Tensor) -> dict[str, Tensor]:
    """Which categories each row may have, and which categorical entries may change."""
    pairs: list[tuple[int, int]] = []
    masks: list[Tensor] = []
    switch = torch.zeros_like(changeable)
    for position, column in enumerate(schema.columns):
        here = factual[:, position]
        choices = [_may_choose(column, constraints, place, here) for place in range(len(column.categories))]
        taken = [(may & changeable[:, position]) | (here == place) for place, may in enumerate(choices)]
        pairs.extend((position, place) for place in range(len(taken)))
        masks.extend(taken)
        if column.labeled and not column.numeric:
            switch[:, position] = torch.stack(taken).sum(0) > 1
    index = torch.tensor(pairs, dtype=torch.long, device=factual.device).reshape(-1, 2)
    may_take = torch.stack(masks, 1) if masks else torch.zeros(len(factual), 0, dtype=torch.bool, device=factual.device)
    return {"may_switch": switch, "category_column": index[:, 0], "category_index": index[:, 1], "may_take": may_take}


def _may_choose(column: Column, constraints: Constraints, place: int, factual: Tensor) -> Tensor:
    """Whether a change may choose the category at ``place``, for each factual position."""
    label = column.categories[place]
    asked = constraints.allowed.get(column.name)
    listed = label is not None if asked is None else label in asked
    low, high = asked_range(column, constraints.ranges.get(column.name)) if column.numeric else (0.0, math.inf)
    may = torch.full_like(factual, float(listed and low <= place <= high)) > 0
    direction = final_direction(column, constraints)
    if direction == "increase":
        return may & (factual < place)
    return may & (factual > place) if direction == "decrease" else may


def _landings(
    schema: Schema, constraints: Constraints, factual: Tensor, *, changeable: Tensor, lower: Tensor, upper: Tensor
) -> dict[str, Tensor]:
    """On which atoms each row may be."""
    atoms = [(position, atom) for position, column in enumerate(schema.columns) for atom in column.atoms]
    masks: list[Tensor] = []
    for position, atom in atoms:
        column = schema.columns[position]
        plain = final_direction(column, constraints) == "any" and column.name not in constraints.ranges
        inside = (lower[:, position] <= atom.value) & (atom.value <= upper[:, position])
        open_ = inside if atom.kind == "inflation" else torch.full_like(inside, plain)
        masks.append((changeable[:, position] & open_ & bool(atom.allowed)) | _is_at(factual[:, position], atom))
    none = torch.zeros(len(factual), 0, dtype=torch.bool, device=factual.device)
    return {
        "atom_column": torch.tensor([position for position, _ in atoms], dtype=torch.long, device=factual.device),
        "atom_value": torch.tensor([atom.value for _, atom in atoms], dtype=torch.float64, device=factual.device),
        "may_land": torch.stack(masks, 1) if masks else none,
    }

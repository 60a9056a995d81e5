"""What a model computes so far: the algebra that lets affine steps melt into one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from counterflow.models.conversion.stages import AffineStage, ParallelStages, ValueCodeStage

__all__ = ["Category", "Columns", "NotConvertible", "join"]


class NotConvertible(Exception):
    """A step has no exact converter; the message is a sentence that names it."""


@dataclass(frozen=True)
class Category:
    """A column that is still a category: the input that holds its code, and the label of each code.

    If ``refuses``, there is one code more, for values that the encoder refuses: what comes of them is NaN.
    """

    position: int
    labels: tuple[Any, ...]
    refuses: bool = False


@dataclass(frozen=True)
class Columns:
    r"""Some columns, each an affine function of the inputs, or a category that no step has encoded yet.

    The inputs are the numbers of the table, sent through ``stages``. With them, the columns are

    .. math:: y = (x - c) W + b + \sum_j T_j[x_j]

    Args:
        weight: (inputs, columns).
        bias: (columns,).
        center: (inputs,).
        tables: Per input that is a code, (codes, columns).
        categories: Per column its :class:`Category`, or ``None`` for a number.
        stages: What happens before; empty while everything is affine.
    """

    weight: np.ndarray
    bias: np.ndarray
    center: np.ndarray
    tables: dict[int, np.ndarray]
    categories: tuple[Category | None, ...]
    stages: tuple[nn.Module, ...] = ()

    @classmethod
    def start(cls, labels: Sequence[tuple[Any, ...] | None], stages: tuple[nn.Module, ...] = ()) -> "Columns":
        """The inputs themselves: numbers, or codes of the given labels."""
        numbers = np.diag([0.0 if known is not None else 1.0 for known in labels]).reshape(len(labels), len(labels))
        categories = tuple(None if known is None else Category(j, known) for j, known in enumerate(labels))
        return cls(numbers, np.zeros(len(labels)), np.zeros(len(labels)), {}, categories, stages)

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.bias)

    def select(self, chosen: Sequence[int] | np.ndarray) -> "Columns":
        """Some of the columns, in the given order."""
        picked = np.asarray(chosen, dtype=np.intp)
        tables = {j: table[:, picked] for j, table in self.tables.items()}
        categories = tuple(self.categories[k] for k in picked)
        return replace(
            self, weight=self.weight[:, picked], bias=self.bias[picked], tables=tables, categories=categories
        )

    def numeric(self, step: str) -> "Columns":
        """Categories whose labels are numbers become those numbers; others cannot be read as numbers."""
        tables = dict(self.tables)
        for k, category in enumerate(self.categories):
            if category is not None:
                table = tables.get(category.position, np.zeros((len(category.labels), self.width))).copy()
                table[:, k] += _numbers_of(category, step)
                tables[category.position] = table
        return replace(self, tables=tables, categories=(None,) * self.width)

    def scaled(self, center: np.ndarray | None, scale: np.ndarray | None, *, step: str) -> "Columns":
        """``(y - center) / scale`` per column; a scaler's mean goes into the center of its input where it can."""
        y = self.numeric(step)
        shift = np.zeros(y.width) if center is None else np.asarray(center, dtype=np.float64)
        factor = np.ones(y.width) if scale is None else 1.0 / np.asarray(scale, dtype=np.float64)
        moved, bias = y.center.copy(), y.bias - shift
        tabled = sum((np.abs(table).sum(axis=0) for table in y.tables.values()), np.zeros(y.width))
        for k in range(y.width):
            inputs = np.flatnonzero(y.weight[:, k])
            alone = len(inputs) == 1 and np.count_nonzero(y.weight[inputs[0]]) == 1
            if alone and not tabled[k] and not y.bias[k] and not moved[inputs[0]]:
                moved[inputs[0]], bias[k] = shift[k] / y.weight[inputs[0], k], 0.0
        tables = {j: table * factor for j, table in y.tables.items()}
        return replace(y, weight=y.weight * factor, bias=bias * factor, center=moved, tables=tables)

    def linear(self, weight: np.ndarray, bias: np.ndarray | float = 0.0, *, step: str) -> "Columns":
        """``y @ weight + bias`` with ``weight`` (columns, outputs)."""
        y, w = self.numeric(step), np.asarray(weight, dtype=np.float64)
        tables = {j: table @ w for j, table in y.tables.items()}
        bias = y.bias @ w + np.asarray(bias, dtype=np.float64)
        return replace(y, weight=y.weight @ w, bias=bias, tables=tables, categories=(None,) * w.shape[1])

    def then(self, stage: nn.Module, width: int, *, step: str) -> "Columns":
        """A stage that is not affine; ``width`` columns come out, all numbers."""
        return Columns.start((None,) * width, (*self.numeric(step).all_stages(), stage))

    def encoded(self, transform: Callable[[np.ndarray], np.ndarray], *, step: str) -> "Columns":
        """A step that encodes each category on its own, learned by asking it for every category.

        Args:
            transform: Labels (rows, columns) of any kind to numbers (rows, outputs).
            step: The step's name, for the sentence if it does not act column by column.

        Returns:
            The encoded columns: exactly what the step gives, whatever its options.
        """
        known = [category.labels for category in self.categories if category is not None]
        if len(known) != self.width:
            raise NotConvertible(f"{step} mixes numbers and categories in a way that is not converted")
        outputs = transform(_one_at_a_time(known))
        base, tables, free = outputs[0], {}, np.ones(outputs.shape[1], dtype=bool)
        start = 1
        for category, labels in zip(self.categories, known, strict=True):
            block = outputs[start : start + len(labels)]
            start += len(labels)
            own = (block != base).any(axis=0)
            if (own & ~free).any():
                raise NotConvertible(f"{step} does not encode each column on its own")
            free &= ~own
            position = category.position if category is not None else 0
            table = np.where(own, block, 0.0)
            if category is not None and category.refuses:
                table = np.concatenate([table, np.full((1, len(base)), np.nan)])
            tables[position] = tables.get(position, 0.0) + table
        shape = (self.weight.shape[0], outputs.shape[1])
        return replace(
            self,
            weight=np.zeros(shape),
            bias=np.where(free, base, 0.0),
            tables=tables,
            categories=(None,) * shape[1],
        )

    def coded(self, values: Sequence[np.ndarray | None], *, refuses: bool, step: str) -> "Columns":
        """Numbers that an encoder uses as categories become codes of the values it knows, plus one for all others.

        Args:
            values: Per column the numbers that the encoder knows, or ``None`` if it knows other things.
            refuses: Whether the encoder refuses all other numbers; else it is asked for one of them.
            step: The encoder's name.

        Returns:
            Columns that are all categories.
        """
        if all(category is not None for category in self.categories):
            return self
        known = {
            k: np.asarray(values[k], dtype=np.float64)
            for k, category in enumerate(self.categories)
            if category is None and values[k] is not None
        }
        if any(category is None and k not in known for k, category in enumerate(self.categories)):
            raise NotConvertible(f"{step} uses numbers as categories without a list of them")
        unknown = 1.5 + max(np.abs(value).max(initial=0.0) for value in known.values())
        categories = tuple(
            replace(category, position=k)
            if category is not None
            else Category(k, (*known[k].tolist(), *([] if refuses else [unknown])), refuses)
            for k, category in enumerate(self.categories)
        )
        stages = (*self._codes_as_numbers().all_stages(), ValueCodeStage(known))
        return replace(Columns.start([category.labels for category in categories], stages), categories=categories)

    def _codes_as_numbers(self) -> "Columns":
        weight = self.weight.copy()
        for k, category in enumerate(self.categories):
            if category is not None:
                weight[category.position, k] = 1.0
        return replace(self, weight=weight, categories=(None,) * self.width)

    def all_stages(self) -> tuple[nn.Module, ...]:
        """The stages, with the pending affine map as the last if it does anything."""
        return (*self.stages, *([] if self._is_identity() else [self._affine()]))

    def module(self, step: str = "the model") -> nn.Module:
        """The frozen torch module from the numbers of the table to these columns."""
        stages = self.numeric(step).all_stages()
        module = stages[0] if len(stages) == 1 else nn.Sequential(*stages)
        return module.eval().requires_grad_(False)

    def _affine(self) -> AffineStage:
        used = {j: table for j, table in self.tables.items() if table.any()}
        return AffineStage(self.weight, self.bias, self.center, used)

    def _is_identity(self) -> bool:
        square = self.weight.shape[0] == self.weight.shape[1]
        plain = not any(table.any() for table in self.tables.values()) and not self.bias.any() and not self.center.any()
        return square and plain and np.array_equal(self.weight, np.eye(self.width))


def join(branches: Sequence[Columns], *, step: str) -> Columns:
    """Columns side by side, all of the same inputs: affine branches stay one map, others run in parallel."""
    if all(branch.stages == branches[0].stages for branch in branches):
        return _join_affine(branches)
    stages = [branch.numeric(step).all_stages() for branch in branches]
    shared = _shared(stages)
    parallel = ParallelStages([nn.Sequential(*branch[shared:]) for branch in stages])
    return Columns.start((None,) * sum(branch.width for branch in branches), (*stages[0][:shared], parallel))


def _join_affine(branches: Sequence[Columns]) -> Columns:
    center = _common_center(branches)
    tables: dict[int, np.ndarray] = {}
    for branch, end in zip(branches, np.cumsum([branch.width for branch in branches]), strict=True):
        for j, table in branch.tables.items():
            whole = tables.setdefault(j, np.zeros((len(table), sum(branch.width for branch in branches))))
            whole[:, end - branch.width : end] += table
    return replace(
        branches[0],
        weight=np.concatenate([branch.weight for branch in branches], axis=1),
        bias=np.concatenate([branch.bias + (center - branch.center) @ branch.weight for branch in branches]),
        center=center,
        tables=tables,
        categories=tuple(category for branch in branches for category in branch.categories),
    )


def _common_center(branches: Sequence[Columns]) -> np.ndarray:
    """Per input the center of the first branch that reads it; the others move theirs into the bias."""
    center = np.zeros_like(branches[0].center)
    for branch in reversed(branches):
        reads = (branch.weight != 0).any(axis=1)
        center[reads] = branch.center[reads]
    return center


def _shared(stages: Sequence[tuple[nn.Module, ...]]) -> int:
    shared = 0
    while all(len(branch) > shared and branch[shared] is stages[0][shared] for branch in stages):
        shared += 1
    return shared


def _numbers_of(category: Category, step: str) -> np.ndarray:
    try:
        return np.array([float(label) for label in category.labels])
    except (TypeError, ValueError):
        first = next(label for label in category.labels if not isinstance(label, int | float | np.number))
        raise NotConvertible(f"{step} reads the category {first!r} as a number") from None


def _one_at_a_time(known: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """The first label everywhere, and then every label of one column after the other with the rest unchanged."""
    rows = np.empty((1 + sum(map(len, known)), len(known)), dtype=object)
    rows[:] = np.array([labels[0] for labels in known], dtype=object)
    start = 1
    for k, labels in enumerate(known):
        rows[start : start + len(labels), k] = labels
        start += len(labels)
    return rows

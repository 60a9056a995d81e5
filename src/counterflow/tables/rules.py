"""Schema and constraints, compiled for given rows: what may change in each, and how far."""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.tables.constraints import Constraints, check_constraints
from counterflow.tables.grid import Grid
from counterflow.tables.links_compile import LinearTest, LinkTest, compile_links
from counterflow.tables.links_project import keep_links
from counterflow.tables.rules_compile import column_costs, compile_tables, default_scale
from counterflow.tables.schema import Schema
from counterflow.tables.violations import broken_rules

__all__ = ["Rules"]

PLAIN = ("schema", "constraints", "grid", "links")
SHARED = (*PLAIN, "scale", "category_column", "category_index", "atom_column", "atom_value")


@dataclass(frozen=True, eq=False)
class Rules:
    """The legal answers to each of some rows.

    A changed number lies in ``strict_lower .. strict_upper`` on the grid of its column, or on an atom it may land on;
    a changed category is one of those allowed. What stays as it is in the factual row is legal always, and so a row
    outside the bounds is too; between it and the bounds nothing is. Build them with :meth:`compile`.

    Args:
        schema: The columns.
        constraints: What was asked.
        grid: The grids of the columns.
        links: The rules between columns, of the schema and of the constraints.
        scale: The unit of each column, in which moves are compared.
        factual: The rows, (n, d).
        movable: Which numbers may move along their line.
        lower: The box that a search may move in: strict bounds, widened to the factual if that is a number.
        upper: As ``lower``.
        strict_lower: The smallest legal changed value, on the grid.
        strict_upper: The largest.
        at_code: Which numbers are codes in the factual.
        may_switch: Which categorical and binary entries may change.
        category_column: For each of all K categories of labeled columns its column.
        category_index: And its position there.
        may_take: Which category each row may have, (n, K); the factual one always.
        atom_column: For each of all A atoms its column.
        atom_value: And its value.
        may_land: On which atom each row may be, (n, A); the factual one always.

    Example:
        >>> from counterflow.tables import Column
        >>> schema = Schema((Column("accounts", "integer", lower=0), Column("income", decimals=0)))
        >>> rules = Rules.compile(schema, Constraints(decrease_only=["accounts"]), np.array([[5.0, 800.0]]))
        >>> rules.project(torch.tensor([[7.3, 999.7]], dtype=torch.float64)).tolist()
        [[5.0, 1000.0]]
        >>> rules.violations(torch.tensor([[6.0, 1000.5]], dtype=torch.float64))[0]
        ["'accounts' went up from 5 to 6, but may only decrease", "'income' is 1000.5, which is not on its grid of 1"]
    """

    schema: Schema
    constraints: Constraints
    grid: Grid
    links: tuple[LinkTest, ...]
    scale: Float[Tensor, " d"]
    factual: Float[Tensor, "n d"]
    movable: Bool[Tensor, "n d"]
    lower: Float[Tensor, "n d"]
    upper: Float[Tensor, "n d"]
    strict_lower: Float[Tensor, "n d"]
    strict_upper: Float[Tensor, "n d"]
    at_code: Bool[Tensor, "n d"]
    may_switch: Bool[Tensor, "n d"]
    category_column: Int[Tensor, " categories"]
    category_index: Int[Tensor, " categories"]
    may_take: Bool[Tensor, "n categories"]
    atom_column: Int[Tensor, " atoms"]
    atom_value: Float[Tensor, " atoms"]
    may_land: Bool[Tensor, "n atoms"]

    @classmethod
    def compile(
        cls,
        schema: Schema,
        constraints: Constraints | None,
        numbers: np.ndarray | Tensor,
        *,
        scale: Float[Tensor, " d"] | None = None,
    ) -> "Rules":
        """Compile the rules of given factual rows.

        Args:
            schema: The columns.
            constraints: What was asked; ``None`` is nothing.
            numbers: The rows, (n, d), as :class:`TableCodec` gives them.
            scale: The unit of each column; by default its width, and 1 where it is unbounded.

        Raises:
            ConstraintError: Constraints contradict each other or the schema.
        """
        asked = constraints or Constraints()
        check_constraints(schema, asked)
        factual = torch.as_tensor(numbers, dtype=torch.float64)
        if factual.ndim != 2 or factual.shape[1] != len(schema):
            raise ShapeError(f"numbers must have shape (rows, {len(schema)}), got {tuple(factual.shape)}.")
        grid = Grid(schema).to(factual.device)
        return cls(
            schema=schema,
            constraints=asked,
            grid=grid,
            links=compile_links(schema, (*schema.links, *asked.links)),
            scale=default_scale(schema).to(factual.device) if scale is None else scale.to(factual),
            **compile_tables(schema, asked, grid, factual=factual),
        )

    def __len__(self) -> int:
        return len(self.factual)

    @property
    def max_changes(self) -> int | None:
        """At most so many columns change; ``None`` is no limit."""
        return self.constraints.max_changes

    @property
    def cost(self) -> Float[Tensor, " d"]:
        """What a unit of change costs in each column: the schema's cost times the constraints' factor."""
        return self.factual.new_tensor(column_costs(self.schema, self.constraints))

    @property
    def can_change(self) -> Bool[Tensor, " n"]:
        """Whether anything in a row may change at all."""
        at_home = _same(self.factual[:, self.atom_column], self.atom_value)
        return self.movable.any(1) | self.may_switch.any(1) | (self.may_land & ~at_home).any(1)

    def categories_of(self, name: str) -> Bool[Tensor, "n k"]:
        """Which categories of one column each row may have, (n, categories)."""
        return self.may_take[:, self.category_column == self.schema.index(name)]

    def take(self, rows: Tensor) -> "Rules":
        """The rules of some of the rows, by position (also repeated) or by mask."""
        per_row = {entry.name: getattr(self, entry.name)[rows] for entry in fields(self) if entry.name not in SHARED}
        return replace(self, **per_row)

    def to(self, device: torch.device | str) -> "Rules":
        """The same rules on another device."""
        tensors = {e.name: getattr(self, e.name).to(device) for e in fields(self) if e.name not in PLAIN}
        return replace(self, grid=Grid(self.schema).to(device), **tensors)

    def clamp(self, numbers: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """Keep a search in its box, differentiably: numbers within bounds, fixed entries as in the factual.

        Entries of categorical columns that may switch are left to the caller, and so is the grid: see :meth:`project`.
        """
        inside = torch.minimum(torch.maximum(numbers, self.lower), self.upper)
        at_home = self.at_code & _same(numbers, self.factual)
        free = torch.where(self.movable & ~at_home, inside, self.factual)
        return torch.where(self.may_switch, numbers, free)

    def project(
        self, numbers: Float[Tensor, "*batch n d"], *, priority: Float[Tensor, "*batch n d"] | None = None
    ) -> Float[Tensor, "*batch n d"]:
        """Map any numbers to a legal row near them: snap, clamp, and restore what may not change, bit for bit.

        Rules between columns are mended by the cheapest moves, and undone where that fails (:func:`keep_links`).

        Args:
            numbers: Proposed rows.
            priority: Which changes to keep first if there are more than ``max_changes``; by default the largest ones,
                relative to the range of their column.

        Returns:
            Legal rows: a row that is legal already comes back as it is.
        """
        legal = self._linked(self.column_by_column(numbers))
        if self.max_changes is None:
            return legal
        few = self._keep_most(legal, priority, self.max_changes)
        return self._linked(few, may_move=self.changed(few))

    def column_by_column(self, numbers: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n d"]:
        """The nearest rows that keep the rules of each column alone: not those between columns, nor ``max_changes``."""
        proposed = torch.where(numbers.isfinite(), numbers, self._landed(numbers))
        legal = torch.where(self.movable, self._on_line(proposed), self.factual)
        legal = torch.where(self._lands(numbers), numbers, legal)
        return self._with_categories(proposed, legal)

    def link_gap(self, numbers: Float[Tensor, "*batch n d"]) -> Float[Tensor, "*batch n"]:
        r"""How far the linear rules are broken, for a search by gradients; 0 where they are kept.

        .. math:: \sum_r \frac{\max(\text{lower}_r - a_r^\top x,\ a_r^\top x - \text{upper}_r,\ 0)}{\|a_r \odot s\|}

        Each term is the distance to the nearest point that keeps the rule, in units of the columns. Implications add
        nothing: they speak of jumps.
        """
        total = torch.zeros_like(numbers[..., 0])
        for link in self.links:
            if isinstance(link, LinearTest):
                width = numbers.new_tensor(link.factors) * self.scale[list(link.columns)]
                broken = link.broken(numbers, self.changed(numbers))
                total = total + torch.where(broken, link.gap(numbers), 0.0) / width.norm()
        return total

    def legal(self, numbers: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch n"]:
        """Whether rows keep every rule: :meth:`project` leaves them as they are."""
        return _same(self.project(numbers), numbers).all(-1)

    def changed(self, numbers: Float[Tensor, "*batch n d"]) -> Bool[Tensor, "*batch n d"]:
        """Which entries differ from the factual; two missing values do not."""
        return ~_same(numbers, self.factual)

    def violations(self, numbers: Float[Tensor, "n d"]) -> list[list[str]]:
        """Say for each row which rules it breaks, from the schema and the constraints alone, value by value.

        This is the second witness of :meth:`project`: it shares no code and no tensor with it, and is slow.
        """
        pairs = zip(self.factual.tolist(), numbers.tolist(), strict=True)
        return [broken_rules(self.schema, self.constraints, before=before, after=after) for before, after in pairs]

    def _linked(self, legal: Tensor, *, may_move: Tensor | None = None) -> Tensor:
        """Rows that keep the rules between columns too."""
        if not self.links:
            return legal
        flat = legal.reshape(-1, legal.shape[-1])
        row = torch.arange(len(self), device=flat.device).expand(legal.shape[:-1]).reshape(-1)
        rules = self if legal.ndim == 2 else self.take(row)
        kept = keep_links(rules, flat, may_move=None if may_move is None else may_move.reshape(flat.shape))
        return kept.reshape(legal.shape)

    def _landed(self, numbers: Tensor) -> Tensor:
        """Infinite numbers go to the end of their box, missing ones back to the factual."""
        ends = torch.where(numbers > 0, self.strict_upper, self.strict_lower)
        return torch.where(numbers.isnan() | ~ends.isfinite(), self.factual, ends)

    def _lands(self, numbers: Tensor) -> Tensor:
        """Which entries are on an atom they may be on."""
        hits = _same(numbers[..., self.atom_column], self.atom_value) & self.may_land
        return self._any_of_column(hits, self.atom_column)

    def _any_of_column(self, hits: Tensor, columns: Tensor) -> Tensor:
        none = torch.zeros(*hits.shape[:-1], len(self.schema), dtype=torch.int64, device=hits.device)
        return none.index_add(-1, columns, hits.long()) > 0

    def _on_line(self, numbers: Tensor) -> Tensor:
        """The nearer of the factual and the nearest legal changed value."""
        inside = torch.minimum(torch.maximum(numbers, self.strict_lower), self.strict_upper)
        snapped = torch.minimum(torch.maximum(self.grid.snap(inside), self.strict_lower), self.strict_upper)
        code = self._any_of_column(
            _same(snapped[..., self.atom_column], self.atom_value) & ~self.may_land, self.atom_column
        )
        back = ((numbers - self.factual).abs() <= (numbers - snapped).abs()) | code | snapped.isnan()
        return torch.where(back, self.factual, snapped)

    def _with_categories(self, numbers: Tensor, legal: Tensor) -> Tensor:
        """Put the nearest allowed position into ordinal columns, and the proposed category, if allowed, into others."""
        for position, column in enumerate(self.schema.columns):
            if not column.labeled:
                continue
            may = self.may_take[:, self.category_column == position]
            places = torch.arange(may.shape[1], dtype=numbers.dtype, device=numbers.device)
            gaps = (numbers[..., position].unsqueeze(-1).nan_to_num() - places).abs()
            nearest = torch.where(may, gaps, torch.inf).argmin(-1).to(numbers.dtype)
            reach = torch.inf if column.numeric else 0.5
            reached = (nearest - numbers[..., position]).abs() <= reach
            chosen = torch.where(reached, nearest, self.factual[:, position])
            legal = torch.cat([legal[..., :position], chosen.unsqueeze(-1), legal[..., position + 1 :]], -1)
        return legal

    def _keep_most(self, legal: Tensor, priority: Tensor | None, most: int) -> Tensor:
        """Undo all but the changes of highest priority."""
        changed = self.changed(legal)
        rank = self._sizes(legal) if priority is None else priority
        order = torch.where(changed, rank.nan_to_num(), -torch.inf).argsort(dim=-1, descending=True, stable=True)
        keep = torch.zeros_like(changed).scatter(-1, order[..., :most], True)
        return torch.where(keep & changed, legal, self.factual)

    def _sizes(self, numbers: Tensor) -> Tensor:
        """How large each change is: the share of the box's width for numbers, 1 for categories and codes."""
        width = (self.upper - self.lower).nan_to_num(1.0, posinf=1.0).clamp(min=1e-12)
        share = (numbers - self.factual).abs() / width
        return torch.where(self.movable & ~self.at_code, share, 1.0)


def _same(a: Tensor, b: Tensor) -> Tensor:
    """Equal, where a missing value equals a missing value."""
    return (a == b) | (a.isnan() & b.isnan())

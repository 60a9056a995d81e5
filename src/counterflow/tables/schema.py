"""The schema of a table: its columns, and the column to be predicted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from counterflow.core.errors import ConstraintError, SchemaError
from counterflow.tables.column import Column
from counterflow.tables.hints import did_you_mean, listed
from counterflow.tables.link_text import as_links
from counterflow.tables.links import Link
from counterflow.tables.links_check import check_links

__all__ = ["Schema"]

MISSING_POLICIES = ("error", "atom", "drop")
EDITABLE = tuple(entry.name for entry in fields(Column))


@dataclass(frozen=True)
class Schema:
    """What the columns of a table are and what may be done to them.

    Infer it from a table, look at it, edit it, and keep it as YAML. It is never changed in place: every edit returns a
    new schema.

    Args:
        columns: The features, in order. The order is that of the numbers of :class:`TableCodec`.
        target: The name of the column to be predicted, if the table has it.
        classes: Its classes; empty for regression.
        missing: What a missing value is: an ``"error"``, an ``"atom"`` of its own (a category ``None``, or the atom NaN
            of a numeric column), or a reason to ``"drop"`` the row in training.
        linked: Rules between columns that changed rows keep: :class:`Linear`, :class:`Implies`, or their text such as
            ``"debt <= 0.4 * income"``.

    Raises:
        SchemaError: The parts contradict each other.

    Example:
        >>> schema = Schema((Column("age", "integer", lower=18), Column("debt", unit="EUR")), target="loan")
        >>> schema.names
        ('age', 'debt')
        >>> schema.with_column("age", direction="increase")["age"].direction
        'increase'
    """

    columns: Sequence[Column]
    target: str | None = field(default=None, kw_only=True)
    classes: Sequence[Any] = field(default=(), kw_only=True)
    missing: str = field(default="error", kw_only=True)
    linked: Sequence[Link | str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "classes", tuple(self.classes))
        if not self.columns:
            raise SchemaError("a schema needs at least one feature column, got none.")
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise SchemaError(f"column {doubled[0]!r} is listed twice. Rename or remove one of them.")
        if self.target in self.names:
            raise SchemaError(f"the target {self.target!r} is also a feature. Remove it from the columns.")
        if self.missing not in MISSING_POLICIES:
            raise SchemaError(f"missing must be one of {listed(MISSING_POLICIES)}, got {self.missing!r}.")
        self._check_linked()

    def _check_linked(self) -> None:
        try:
            object.__setattr__(self, "linked", as_links(self.linked))
            fixed = [column.name for column in self.columns if not column.actionable]
            check_links(self.links, {column.name: column for column in self.columns}, fixed=fixed)
        except ConstraintError as error:
            raise SchemaError(str(error)) from error

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def links(self) -> tuple[Link, ...]:
        """The rules between columns."""
        return as_links(self.linked)

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> Column:
        return self.columns[self.index(name)]

    def index(self, name: str) -> int:
        """The position of a column.

        Raises:
            SchemaError: There is no such column; the sentence suggests the nearest name.
        """
        if name not in self.names:
            raise SchemaError(f"there is no column {name!r} in the schema.{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def with_column(self, name: str, **changes: Any) -> "Schema":
        """Return a schema in which one column has other settings.

        Args:
            name: The column.
            changes: Its new settings, named as the fields of :class:`Column`.

        Returns:
            The new schema; this one stays as it is.

        Raises:
            SchemaError: There is no such column or setting, or the result contradicts itself.

        Example:
            >>> schema = Schema((Column("sex", "binary", categories=("f", "m")),))
            >>> schema.with_column("sex", protected=True)["sex"].protected
            True
        """
        position = self.index(name)
        if wrong := [key for key in changes if key not in EDITABLE]:
            raise SchemaError(f"a column has no setting {wrong[0]!r}.{did_you_mean(wrong[0], EDITABLE)}")
        changed = replace(self.columns[position], **changes)
        return replace(self, columns=(*self.columns[:position], changed, *self.columns[position + 1 :]))

    def edit(self, changes: Mapping[str, Mapping[str, Any]]) -> "Schema":
        """Return a schema in which several columns have other settings: ``{"age": {"direction": "increase"}}``."""
        schema = self
        for name, settings in changes.items():
            schema = schema.with_column(name, **settings)
        return schema

    def without(self, names: Iterable[str]) -> "Schema":
        """Return a schema that leaves out some columns and the rules between columns that name them.

        A table carries columns that the schema lacks through untouched.
        """
        gone = {self[name].name for name in names}
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name not in gone),
            linked=tuple(link for link in self.links if not gone & set(link.columns)),
        )

    @classmethod
    def infer(
        cls,
        frame: Any,
        target: str | None = None,
        *,
        codes: Sequence[int | float] | Mapping[str, Sequence[int | float]] | None = None,
        protected: Sequence[str] = (),
        ignore: Sequence[str] = (),
        missing: str = "error",
    ) -> "Schema":
        """Read a schema off a table; see :func:`counterflow.tables.infer_schema`, which this calls."""
        from counterflow.tables.infer import infer_schema

        return infer_schema(frame, target, codes=codes, protected=protected, ignore=ignore, missing=missing)

    def validate(self, frame: Any) -> None:
        """Check that a table fits: columns, types, categories, finite numbers. Further columns are no mistake.

        Raises:
            DataError: It does not; the sentence names column, count, first row and remedy.
        """
        from counterflow.tables.codec import TableCodec

        TableCodec(self).to_numbers(frame)

    def to_dict(self) -> dict[str, Any]:
        """The schema as plain data, without what is default; :meth:`from_dict` reads it back exactly."""
        from counterflow.tables.schema_yaml import schema_to_dict

        return schema_to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Schema":
        """Read what :meth:`to_dict` wrote.

        Raises:
            SchemaError: A key or a value is none that a schema has.
        """
        from counterflow.tables.schema_yaml import schema_from_dict

        return schema_from_dict(data)

    def to_yaml(self, path: str | Path) -> None:
        """Write the schema as YAML for people to read and edit."""
        from counterflow.tables.schema_yaml import write_yaml

        write_yaml(self, path)

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Schema":
        """Read a schema from YAML.

        Raises:
            SchemaError: The file is missing or no YAML, or a key or a value is none that a schema has.
        """
        from counterflow.tables.schema_yaml import read_yaml

        return read_yaml(path)

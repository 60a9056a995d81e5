"""A schema as plain data and as YAML: readable, editable, and read back exactly."""

from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from counterflow.core.errors import CounterflowError, SchemaError
from counterflow.persistence import atomic_write
from counterflow.tables.column import Atom, Column, Kind
from counterflow.tables.hints import did_you_mean
from counterflow.tables.schema import Schema

__all__ = ["read_yaml", "schema_from_dict", "schema_to_dict", "write_yaml"]

VERSION = 1
TOP_KEYS = ("version", "target", "classes", "missing", "columns", "linked")
COLUMN_KEYS = tuple(entry.name for entry in fields(Column) if entry.name != "name")
ATOM_KEYS = tuple(entry.name for entry in fields(Atom))
TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "unit": (str, type(None)),
    "lower": (int, float, type(None)),
    "upper": (int, float, type(None)),
    "step": (int, float, type(None)),
    "categories": (list, tuple),
    "atoms": (list, tuple),
    "actionable": (bool,),
    "protected": (bool,),
    "direction": (str,),
    "cost": (int, float),
    "verb": (str, Mapping, type(None)),
    "dtype": (str, type(None)),
    "decimals": (int, type(None)),
}
HEADER = """\
# The columns of a table and what may be done to them. Edit freely; every key may be left out.
#   kind: continuous | integer | ordinal | categorical | binary      unit, lower, upper, step, decimals
#   actionable, protected: true | false      direction: any | increase | decrease      cost: of one standardized unit
#   verb: what one does to change it ("close", or {increase: open, decrease: close})
#   atoms: values with a probability of their own. A code is no number; an inflation is a number with a mass on it.
#   linked: rules between columns: ["debt <= 0.4 * income", "job = none implies income = 0"]
"""


def schema_to_dict(schema: Schema) -> dict[str, Any]:
    """A schema as plain JSON data, without what is default.

    Example:
        >>> schema_to_dict(Schema((Column("age", "integer", lower=18),)))["columns"]
        {'age': {'kind': 'integer', 'lower': 18}}
    """
    return {
        "version": VERSION,
        "target": schema.target,
        "classes": list(schema.classes),
        "missing": schema.missing,
        "columns": {column.name: _column_to_dict(column) for column in schema.columns},
        **({"linked": [str(link) for link in schema.links]} if schema.links else {}),
    }


def _column_to_dict(column: Column) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": str(column.kind)}
    for entry in fields(Column):
        value = getattr(column, entry.name)
        if entry.name in ("name", "kind") or value == (None if entry.default is MISSING else entry.default):
            continue
        data[entry.name] = _plain(value)
    return data


def _plain(value: Any) -> Any:
    match value:
        case tuple():
            return [_plain(item) for item in value]
        case Atom():
            return _atom_to_dict(value)
        case Mapping():
            return dict(value)
        case _:
            return value


def _atom_to_dict(atom: Atom) -> dict[str, Any]:
    data: dict[str, Any] = {"value": "missing" if atom.missing else atom.value, "kind": atom.kind}
    usual = Atom(atom.value, atom.kind)
    return data | {key: getattr(atom, key) for key in ATOM_KEYS[2:] if getattr(atom, key) != getattr(usual, key)}


def schema_from_dict(data: Any) -> Schema:
    """Read a schema from plain data.

    Raises:
        SchemaError: A key or a value is none that a schema has.

    Example:
        >>> schema_from_dict({"columns": {"age": {"kind": "integer"}}}).names
        ('age',)
    """
    _check_keys(data, TOP_KEYS, "a schema")
    if (version := data.get("version", VERSION)) != VERSION:
        raise SchemaError(f"a schema of version {version!r} cannot be read: this counterflow reads version {VERSION}.")
    columns = data.get("columns")
    if not isinstance(columns, Mapping):
        raise SchemaError("a schema needs 'columns': a mapping from each column's name to its settings.")
    return Schema(
        tuple(_column_from_dict(name, settings) for name, settings in columns.items()),
        target=data.get("target"),
        classes=_classes(data.get("classes") or ()),
        missing=data.get("missing", "error"),
        linked=_links(data.get("linked") or ()),
    )


def _links(links: Any) -> Any:
    if not isinstance(links, list | tuple) or not all(isinstance(link, str) for link in links):
        raise SchemaError(f"linked must be a list of rules such as 'debt <= 0.4 * income', got {links!r}.")
    return links


def _classes(classes: Any) -> tuple[Any, ...]:
    if not isinstance(classes, list | tuple):
        raise SchemaError(f"classes must be a list, got {classes!r}.")
    return tuple(classes)


def _column_from_dict(name: Any, settings: Any) -> Column:
    if not isinstance(name, str):
        raise SchemaError(f"the name of a column must be text, got {name!r}. Put quotes around it.")
    settings = settings or {}
    _check_keys(settings, COLUMN_KEYS, f"column {name!r}")
    for key, value in settings.items():
        _check_type(name, key, value)
    values = dict(settings)
    values["kind"] = _kind(name, values.get("kind", "continuous"))
    values["atoms"] = tuple(_atom_from_dict(name, atom) for atom in values.get("atoms", ()))
    values["categories"] = tuple(values.get("categories", ()))
    return Column(name, **values)


def _kind(name: str, kind: str) -> Kind:
    if kind not in list(Kind):
        raise SchemaError(
            f"column {name!r}: {kind!r} is no kind of column.{did_you_mean(kind, [known.value for known in Kind])}"
        )
    return Kind(kind)


def _atom_from_dict(name: str, atom: Any) -> Atom:
    if not isinstance(atom, Mapping):
        atom = {"value": atom}
    _check_keys(atom, ATOM_KEYS, f"an atom of column {name!r}")
    value = float("nan") if atom.get("value") == "missing" else atom.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError(f"an atom of column {name!r} needs a number or 'missing' as its value, got {value!r}.")
    settings: dict[str, Any] = {**atom, "value": float(value)}
    return Atom(**settings)


def _check_keys(data: Any, known: tuple[str, ...], owner: str) -> None:
    if not isinstance(data, Mapping):
        raise SchemaError(f"{owner} must be a mapping of settings, got {data!r}.")
    for key in data:
        if key not in known:
            raise SchemaError(f"{owner} has no setting {key!r}.{did_you_mean(key, known)}")


def _check_type(name: str, key: str, value: Any) -> None:
    types = TYPES[key]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(_type_name(kind) for kind in types)
        raise SchemaError(f"column {name!r}: {key} must be {wanted}, got {value!r}.")


def _type_name(kind: type) -> str:
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    return names.get(kind, "a mapping" if kind is Mapping else "a list")


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        """Build a mapping, and refuse a doubled key."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise SchemaError(f"{key!r} stands twice, again in line {key_node.start_mark.line + 1}. Keep one.")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _CompactDumper(yaml.SafeDumper):
    """YAML with lists and atoms on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out, also when it stands twice."""
        return True

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:  # noqa: FBT001
        """Write a list on one line."""
        return super().represent_sequence(tag, sequence, flow_style=True)


def write_yaml(schema: Schema, path: str | Path) -> None:
    """Write a schema as YAML, all or nothing."""
    text = yaml.dump(schema_to_dict(schema), Dumper=_CompactDumper, sort_keys=False, allow_unicode=True, width=110)
    atomic_write(path, HEADER + text)


def read_yaml(path: str | Path) -> Schema:
    """Read a schema from YAML.

    Raises:
        SchemaError: The file is missing or no YAML, or holds no schema; the sentence names the file.
    """
    try:
        return schema_from_dict(yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader))
    except FileNotFoundError:
        raise SchemaError(f"there is no schema file {str(path)!r}. Write one with schema.to_yaml.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(f"the schema file {str(path)!r} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise SchemaError(f"{str(path)!r} is no YAML: {' '.join(str(error).split())}.") from error
    except CounterflowError as error:
        raise SchemaError(f"in {str(path)!r}: {error}") from error

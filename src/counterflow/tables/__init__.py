"""Tables of mixed columns: what the columns are, what may be done to them, and how they become numbers."""

from counterflow.tables.codec import TableCodec
from counterflow.tables.column import Atom, Column, Kind
from counterflow.tables.constraints import Constraints, check_constraints
from counterflow.tables.dequantizer import dequantizer
from counterflow.tables.encoding import FlowEncoding
from counterflow.tables.frames import Backend, backend_of, empty_frame, read_table, to_arrow, write_table
from counterflow.tables.grid import Grid
from counterflow.tables.infer import infer_schema
from counterflow.tables.link_text import parse_link
from counterflow.tables.links import Changed, Implies, Is, Linear, Link, Within
from counterflow.tables.rules import Rules
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table, take_rows
from counterflow.tables.violations import broken_rules
from counterflow.tables.wording import describe_change, format_number, readable_name

__all__ = [
    "Atom",
    "Backend",
    "Changed",
    "Column",
    "Constraints",
    "FlowEncoding",
    "dequantizer",
    "Grid",
    "Implies",
    "Is",
    "Kind",
    "Linear",
    "Link",
    "Rules",
    "Schema",
    "Table",
    "TableCodec",
    "Within",
    "backend_of",
    "broken_rules",
    "check_constraints",
    "describe_change",
    "empty_frame",
    "format_number",
    "infer_schema",
    "parse_link",
    "read_table",
    "readable_name",
    "take_rows",
    "to_arrow",
    "write_table",
]

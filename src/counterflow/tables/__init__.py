"""Tables of mixed columns: what the columns are, what may be done to them, and how they become numbers."""

from counterflow.tables.codec import TableCodec
from counterflow.tables.column import Atom, Column, Kind
from counterflow.tables.encoding import FlowEncoding
from counterflow.tables.frames import Backend, backend_of, empty_frame, read_table, to_arrow, write_table
from counterflow.tables.grid import Grid
from counterflow.tables.infer import infer_schema
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table, take_rows

__all__ = [
    "Atom",
    "Backend",
    "Column",
    "FlowEncoding",
    "Grid",
    "Kind",
    "Schema",
    "Table",
    "TableCodec",
    "backend_of",
    "empty_frame",
    "infer_schema",
    "read_table",
    "take_rows",
    "to_arrow",
    "write_table",
]

"""How the tests about the house read the sources of the library."""

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGE", "ROOT", "imported", "modules", "room", "tree"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "counterflow"


def modules() -> list[Path]:
    """Every Python file of the library."""
    return sorted(PACKAGE.rglob("*.py"))


def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room(path: Path) -> str:
    """The room a file belongs to; the front door is the room ``""``."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imported(source: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every imported module and whether the import stands inside a function."""
    late = {id(node) for function in ast.walk(source) if _is_function(function) for node in ast.walk(function)}
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, id(node) in late


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)

"""One idea a file: 300 lines are a smell, and so are 30 lines of code in one function.

What smells and is right all the same stands in ``allowed.py``, each with its reason.
"""

import ast
import statistics
from collections.abc import Iterator

import pytest

from tests.house.allowed import LONG_FILES, LONG_FUNCTIONS
from tests.house.sources import PACKAGE, modules, tree

FILE_LINES, FUNCTION_LINES, MEDIAN_LINES = 300, 30, 9


def functions(source: ast.Module, prefix: str) -> Iterator[tuple[str, int]]:
    """The qualified name of every function and how many lines of code it has: no docstring, comment or blank line."""
    lines = {line for node in ast.walk(source) if isinstance(node, ast.stmt | ast.expr) for line in _own_lines(node)}

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                span = range(child.body[_has_docstring(child)].lineno if _real(child) else 0, child.end_lineno + 1)
                yield f"{name}.{child.name}", len(lines & set(span)) if _real(child) else 0
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from visit(child, f"{name}.{child.name}")

    yield from visit(source, prefix)


def _own_lines(node: ast.stmt | ast.expr) -> set[int]:
    return {node.lineno, node.end_lineno}


def _has_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return ast.get_docstring(function) is not None


def _real(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return len(function.body) > _has_docstring(function)


def measured() -> dict[str, int]:
    return {
        name: length
        for path in modules()
        for name, length in functions(tree(path), path.relative_to(PACKAGE).with_suffix("").as_posix())
    }


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_is_short(path):
    name = path.relative_to(PACKAGE).as_posix()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert (lines > FILE_LINES) == (name in LONG_FILES), f"{name} has {lines} lines; see tests/house/allowed.py"


def test_functions_are_short():
    long = {name: length for name, length in measured().items() if length > FUNCTION_LINES}
    new = {name: length for name, length in long.items() if name not in LONG_FUNCTIONS}
    assert not new, "split these functions, or name them in tests/house/allowed.py with the reason"
    assert not set(LONG_FUNCTIONS) - set(long), "these functions are short by now: take them off the list"


def test_the_usual_function_is_read_at_a_glance():
    assert statistics.median(measured().values()) <= MEDIAN_LINES


def test_every_exception_gives_its_reason():
    assert all(len(reason) > 20 for reason in [*LONG_FILES.values(), *LONG_FUNCTIONS.values()])


def test_the_measure_itself_counts_lines_of_code():
    code = 'def f(x):\n    """One\n    two."""\n    # three\n\n    y = [\n        x,\n    ]\n    return y\n'
    assert dict(functions(ast.parse(code), "m")) == {"m.f": 4}

"""Two positional arguments, then names; every public name documented; examples that run."""

import ast
import doctest
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest

from tests.house.allowed import NO_EXAMPLE, POSITIONAL
from tests.house.sources import PACKAGE, modules, room, tree

ROOMS = sorted({room(path) for path in modules()} - {""})
POSITIONAL_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def own(name: str) -> Iterator[tuple[str, object]]:
    """The public functions and classes that a room itself defines."""
    module = import_module(f"counterflow.{name}")
    for public in getattr(module, "__all__", []):
        value = getattr(module, public)
        if getattr(value, "__module__", "").startswith(f"counterflow.{name}"):
            yield f"{name}.{public}", value


def callables(name: str) -> Iterator[tuple[str, Callable]]:
    """Those that are called: functions, and the public methods of classes."""
    for public, value in own(name):
        if inspect.isclass(value):
            methods = [(key, method) for key, method in vars(value).items() if inspect.isfunction(method)]
            yield from ((f"{public}.{key}", method) for key, method in methods if not key.startswith("_"))
        elif callable(value):
            yield public, value


def positional(function: Callable) -> int:
    """How many arguments a function takes by position, ``self`` not counted."""
    parameters = inspect.signature(function).parameters.values()
    return sum(parameter.kind in POSITIONAL_KINDS and parameter.name != "self" for parameter in parameters)


@pytest.mark.parametrize("name", ROOMS)
def test_two_positional_arguments_then_names(name):
    many = {public for public, function in callables(name) if positional(function) > 2}
    assert not many - set(POSITIONAL)


@pytest.mark.parametrize("name", ROOMS)
def test_every_public_name_is_documented(name):
    assert [public for public, value in [*own(name), *callables(name)] if not inspect.getdoc(value)] == []


@pytest.mark.parametrize("name", ROOMS)
def test_every_module_says_what_it_is_and_what_it_offers(name):
    """A docstring, and ``__all__`` unless there is nothing but the docstring."""
    sources = {path: tree(path) for path in modules() if room(path) == name and path.name != "__main__.py"}
    silent = [path for path, source in sources.items() if not ast.get_docstring(source)]
    secretive = [path for path, source in sources.items() if len(source.body) > 1 and not _assigns_all(source)]
    assert not silent
    assert not secretive


def _assigns_all(source: ast.Module) -> bool:
    targets = [ast.unparse(target) for node in source.body if isinstance(node, ast.Assign) for target in node.targets]
    return "__all__" in targets


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_has_examples_that_run(name):
    """Pytest runs them (``--doctest-modules``); here it is shown that there are some to run."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    paths = [path for path in modules() if room(path) == name and path.name not in ("__main__.py", "sbi_estimator.py")]
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in paths
    ]
    examples = sum(len(test.examples) for module in names for test in finder.find(import_module(module)))
    assert (examples > 0) != (name in NO_EXAMPLE)


def test_no_exception_is_idle():
    known = {public for name in ROOMS for public, function in callables(name) if positional(function) > 2}
    assert set(POSITIONAL) <= known

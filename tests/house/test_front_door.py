"""``import counterflow`` is quick and quiet, and keeps what its ``__all__`` promises."""

import ast
import statistics
from importlib import import_module

import pytest

import counterflow
from tests.house.sources import PACKAGE, tree

HEAVY = (
    "pandas",
    "polars",
    "sklearn",
    "scipy",
    "matplotlib",
    "typer",
    "rich",
    "pyarrow",
    "narwhals",
    "nicegui",
    "yaml",
)
LIMIT = 0.1  # seconds beyond torch's own

IMPORT_TIME = """
import time
import torch
start = time.perf_counter()
import counterflow
print(time.perf_counter() - start)
"""

HEAVY_MODULES = """
import sys
import torch
before = set(sys.modules)
import counterflow
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} & set(sys.argv[1:])))
"""


@pytest.mark.parametrize("name", counterflow.__all__)
def test_every_public_name_loads(name):
    assert getattr(counterflow, name) is not None


@pytest.mark.parametrize("name", [name for name in counterflow.__all__ if name not in counterflow._HOMES])
def test_a_room_is_itself(name):
    assert getattr(counterflow, name) is import_module(f"counterflow.{name}")


def test_all_is_sorted_and_small():
    names = counterflow.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert len(names) == len(set(names)) <= 32


def test_type_checkers_see_what_users_see():
    blocks = [node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If)]
    names = [alias.name for block in blocks for node in block.body for alias in node.names]
    homes = {
        alias.name: node.module.removeprefix("counterflow.")
        for block in blocks
        for node in block.body
        for alias in node.names
        if node.module != "counterflow"
    }
    assert sorted(names) == sorted(counterflow.__all__)
    assert homes == counterflow._HOMES


def test_dir_lists_the_public_names():
    assert set(counterflow.__all__) < set(dir(counterflow))


def test_an_unknown_name_is_an_attribute_error_that_lists_the_names():
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'; it offers PPCEF.*Schema.*flows"):
        counterflow.nothing  # noqa: B018


def test_importing_takes_less_than_a_tenth_of_a_second_beyond_torch(run_unhooked):
    """The median of three fresh processes, so that a busy machine does not decide."""
    seconds = [float(run_unhooked(IMPORT_TIME, warnings="default")) for _ in range(3)]
    assert statistics.median(seconds) < LIMIT


def test_importing_brings_no_heavy_library(run_unhooked):
    assert run_unhooked(HEAVY_MODULES, *HEAVY, warnings="default") == "[]"


def test_the_heavy_check_itself_finds_one(run_unhooked):
    script = HEAVY_MODULES.replace("import counterflow", "import yaml")
    assert run_unhooked(script, *HEAVY, warnings="default") == "['yaml']"

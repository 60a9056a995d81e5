"""A room imports only from the floors below its own."""

import ast
import tomllib

import pytest
from importlinter.cli import lint_imports

from tests.house.sources import PACKAGE, ROOT, imported, modules, tree

# The floors, from the top; the contract in pyproject.toml must say the same, rooms to come in parentheses.
FLOORS = [
    {"cli"},
    {"service", "studio"},
    {"plotting", "datasets"},
    {"estimators"},
    {"counterfactuals", "regression", "hmm", "pointclouds", "latent", "inference"},
    {"models", "generators", "geometry"},
    {"flows"},
    {"bijections", "training", "metrics"},
    {"distributions"},
    {"nets", "tables"},
    {"persistence"},
    {"core"},
]


@pytest.fixture(scope="module")
def contract() -> dict:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == "floors")


def test_every_contract_is_kept(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository)
    code = lint_imports(config_filename=str(repository / "pyproject.toml"), no_cache=True)
    assert code == 0, capsys.readouterr().out


def test_the_contract_is_the_plan_of_the_house(contract):
    layers = [{room.strip().strip("()") for room in layer.split("|")} for layer in contract["layers"]]
    assert layers == FLOORS
    assert contract["exhaustive"] is True
    assert contract["containers"] == ["counterflow"]


def test_only_rooms_that_do_not_exist_are_optional(contract):
    rooms = [room.strip() for layer in contract["layers"] for room in layer.split("|")]
    there = {room for room in rooms if (PACKAGE / room.strip("()") / "__init__.py").exists()}
    assert {room for room in rooms if not room.startswith("(")} == there


def test_no_room_reads_the_front_door_when_it_is_loaded():
    """Witness without import-linter: ``from counterflow import flows`` in a room would hide the floor it goes to."""
    early = {
        path.relative_to(PACKAGE).as_posix(): name
        for path in modules()
        if path.parent != PACKAGE
        for name, _ in imported(tree(path))
        if name == "counterflow" and not _only_version(tree(path))
    }
    assert not early


def _only_version(source: ast.Module) -> bool:
    names = {
        alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and node.module == "counterflow"
        for alias in node.names
    }
    return names <= {"__version__"}

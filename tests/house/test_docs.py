"""The documentation names what exists, and every page can be found."""

import ast
import re
from importlib import import_module

import pytest

from tests.house.sources import ROOT, modules, room

DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
NO_REFERENCE = {"", "cli"}  # the front door has the table of contents; the command line explains itself by --help
FENCE = re.compile(r"^```(?:python|\{code-cell\}[^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def listed(index) -> set[str]:
    """The pages a page lists in its table of contents."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", index.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    entries = {line.strip() for tree in trees for line in tree.splitlines() if line.strip() and line[0] != ":"}
    return {page.stem for entry in entries for page in index.parent.glob(f"{entry}.md")}


def imports(code: str) -> set[tuple[str, str]]:
    """What a piece of code imports from counterflow: (module, name)."""
    plain = "\n".join(line for line in code.splitlines() if not line.startswith(":"))  # the options of a cell
    nodes = [node for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if node.module.partition(".")[0] == "counterflow"]
    return {(node.module, alias.name) for node in ours for alias in node.names}


@pytest.mark.parametrize("folder", ["tutorials", "lectures", "how-to", "explanation", "reference", "decisions"])
def test_every_page_is_listed(folder):
    index = DOCS / folder / "index.md"
    assert listed(index) == {path.stem for path in (DOCS / folder).glob("*.md")} - {"index"}


def test_every_room_has_its_reference():
    rooms = {room(path) for path in modules()} - NO_REFERENCE
    assert {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index"} == rooms


def test_decisions_are_numbered_without_a_gap():
    numbers = sorted(int(path.name[:4]) for path in (DOCS / "decisions").glob("0*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_imports_what_exists(path):
    code = FENCE.findall(path.read_text(encoding="utf-8"))
    named = {pair for piece in code for pair in imports(piece)}
    missing = {pair for pair in named if not hasattr(import_module(pair[0]), pair[1])}
    assert not missing


def test_the_recipes_of_the_readme_exist():
    flows = import_module("counterflow.flows")
    sentence = re.search(
        r"^Recipes: (.*?);", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    names = re.findall(r"`(\w+)`", sentence.group(1))
    assert len(names) >= 7
    assert [name for name in names if not hasattr(flows, name)] == []


def test_the_check_itself_reads_imports():
    assert imports("from counterflow import flows\nimport torch") == {("counterflow", "flows")}

"""Outside libraries enter late, and each through the doors that are listed here."""

import ast
import sys
from fnmatch import fnmatch

import pytest

from tests.house.sources import PACKAGE, imported, modules, tree

EVERYWHERE = {"torch", "numpy", "jaxtyping", "counterflow"}

# Which files may import what when they are loaded ...
DOORS = {
    "safetensors": ["persistence/*"],
    "tqdm": ["training/*", "counterfactuals/*", "estimators/*", "datasets/*", "cli/*", "inference/*"],
    "narwhals": ["tables/frames.py"],
    "pyarrow": ["tables/frames.py", "tables/streams.py"],
    "yaml": ["tables/*", "cli/*"],
    "sklearn": ["tables/*", "metrics/*", "counterfactuals/baselines/*", "estimators/*", "datasets/*"],
    "matplotlib": ["plotting/*"],
    "typer": ["cli/*"],
    "rich": ["cli/*"],
    "click": ["cli/*"],
    "sbi": ["inference/sbi_estimator.py"],  # which sbi_plugin.py imports late
}
# ... and which only inside a function, so that importing the library never needs them.
LATE_DOORS = {
    "pandas": ["tables/frames.py"],
    "polars": ["tables/frames.py"],
    "sklearn": ["models/*", "cli/*", "regression/leaves/*"],
    "xgboost": ["models/*", "regression/leaves/*"],
    "lightgbm": ["models/*", "regression/leaves/*"],
    "catboost": ["models/*", "regression/leaves/*"],
    "onnx": ["models/*"],
    "onnxruntime": ["models/*"],
    "torchdiffeq": ["core/*"],
    "PIL": ["datasets/pictures.py"],
    "scipy": ["datasets/crowds.py"],
    "emcee": ["inference/ensemble_chains.py"],
}


def uninvited(path: str, source: ast.AST) -> list[str]:
    """The outside libraries that a file imports although no door of the lists above lets them in."""
    return sorted(name for name, late in imported(source) if not _may(path, name.partition(".")[0], late=late))


def _may(path: str, library: str, *, late: bool) -> bool:
    if library in EVERYWHERE or library in sys.stdlib_module_names:
        return True
    doors = DOORS.get(library, []) + (LATE_DOORS.get(library, []) if late else [])
    return any(fnmatch(path, door) for door in doors)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_outside_libraries_come_through_their_doors(path):
    assert uninvited(path.relative_to(PACKAGE).as_posix(), tree(path)) == []


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("core/numerics.py", "import scipy.special", ["scipy.special"]),
        ("tables/codec.py", "from pandas import DataFrame", ["pandas"]),
        ("tables/frames.py", "import pandas", ["pandas"]),
        ("tables/frames.py", "def f():\n    import pandas", []),
        ("flows/flow.py", "import math, torch", []),
        ("models/boosters.py", "import xgboost", ["xgboost"]),
    ],
)
def test_the_check_itself_finds_strangers(path, code, expected):
    assert uninvited(path, ast.parse(code)) == expected

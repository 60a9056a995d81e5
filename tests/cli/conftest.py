"""A small table, a folder fitted on it, and a way to run the command line."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from counterflow.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def loans(rows: int = 240, *, seed: int = 0) -> list[dict[str, object]]:
    """Rows of a table with a number, a count, a category, a protected column and a class."""
    generator = np.random.default_rng(seed)
    income = generator.normal(1000, 200, rows).round(2)
    accounts = generator.integers(0, 6, rows)
    housing = generator.choice(["own", "rent"], rows, p=[0.4, 0.6])
    score = (income - 1000) / 200 - 0.4 * (accounts - 2.5) + 0.5 * (housing == "own") + generator.normal(0, 0.5, rows)
    sex = generator.choice(["f", "m"], rows)
    return [
        {"income": i, "accounts": int(a), "housing": str(h), "sex": str(x), "loan": "yes" if s > 0 else "no"}
        for i, a, h, x, s in zip(income.tolist(), accounts, housing, sex, score, strict=True)
    ]


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def run(capsys, monkeypatch, tmp_path) -> Callable[..., Ended]:
    """Run a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object) -> Ended:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return run_command


@pytest.fixture(scope="session")
def _quick_schooling() -> Iterator[None]:
    """A few epochs and steps are enough to see whether a command works."""
    from counterflow.counterfactuals import PPCEF, background

    longer = background.schooling
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "schooling", lambda *plan, **kind: replace(longer(*plan, **kind), max_epochs=6))
        patch.setattr(background, "_POOL", 200)
        patch.setitem(PPCEF._PRESETS["default"], "max_steps", 8)
        yield


@pytest.fixture
def quick(_quick_schooling) -> None:
    """Train flows for a few epochs only."""


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A training table as CSV."""
    return write_csv(tmp_path_factory.mktemp("data") / "loans.csv", loans())


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> Path:
    """Rows to explain: refused ones, and one that is accepted."""
    fresh = loans(60, seed=1)
    refused = [row for row in fresh if row["loan"] == "no" and 800 < row["income"] < 1000][:5]
    rich = {"income": 1900.5, "accounts": 0, "housing": "own", "sex": "f", "loan": "yes"}
    return write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", [*refused, rich])


@pytest.fixture(scope="session")
def folder(table, tmp_path_factory, _quick_schooling) -> Path:
    """A folder that ``fit`` saved, with the column sex protected."""
    path = tmp_path_factory.mktemp("fitted") / "folder"
    assert main(["fit", str(table), "--target", "loan", "--protected", "sex", "--out", str(path)]) == 0
    return path


class Explained(NamedTuple):
    """What ``explain`` said, and the files that it wrote."""

    ended: Ended
    table: Path
    answer: Path


@pytest.fixture(scope="session")
def explained(folder, rows, tmp_path_factory) -> Explained:
    """Two answers to every row, with accounts locked."""
    place = tmp_path_factory.mktemp("explained")
    out, answer = place / "cfs.csv", place / "answer.json"
    command = ["explain", folder, rows, "--desired", "yes", "--count", 2, "--lock", "accounts"]
    said, told = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(told):
        code = main([str(word) for word in [*command, "--out", out, "--answer", answer]])
    assert code == 0, told.getvalue()
    return Explained(Ended(code, said.getvalue(), told.getvalue()), out, answer)

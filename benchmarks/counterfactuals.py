"""Counterfactual methods side by side on real tables: ours, and the peer packages that install.

Each data set and seed has one split, one classifier (fitted alike in each environment and compared by its
probabilities), the same rows that it refuses, the same columns that may change, and one judge: the classifier itself,
an independent check of the schema's rules, the witness of an explainer fitted on the training rows, and outlier
scores among these. Seconds are those of the processor, on one thread, so that a busy machine does not decide; fitting
an explainer is told apart.
"""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.counterfactual_setting import TARGET, Setting, fit_classifier, read_setting, write_setting
from counterflow import CounterfactualExplainer, Schema
from counterflow.metrics import evaluate
from counterflow.tables import Constraints, Rules, TableCodec

__all__ = ["OURS", "PEER", "prepare", "run_counterfactuals"]

DATA_SETS = {"adult": ">50K", "heloc": "Good", "compas": "no"}
"""The data sets, and the class that is wished."""

OURS = ("ppcef", "wachter", "nearest", "growing_spheres")
PEER = {"random": 40, "kdtree": 20, "genetic": 6}
"""The peer's methods, and how many rows each explains."""

SLOW = {"compas": {"genetic": 3}}
"""Where a method takes the better part of a minute for a row: how many rows it explains there."""

TRAINING, EXPLAINED, COUNT, BY_OURS = 4000, 40, 4, 16
DICE = Path(__file__).resolve().parents[1] / ".venv-bench-dice" / "bin" / "python"


def prepare(name: str, seed: int, folder: Path) -> None:
    """Split a table and write the setting of one data set and one seed."""
    from experiments.tables import load_table

    table = load_table(name)
    order = np.random.default_rng(seed).permutation(len(table.features))
    wished = (table.labels == DATA_SETS[name]).astype(int)
    train = table.features.iloc[order[:TRAINING]].assign(**{TARGET: wished[order[:TRAINING]]})
    columns = {column.name: column for column in table.schema.columns}
    setting = Setting(
        name=name,
        seed=seed,
        continuous=[key for key, column in columns.items() if column.numeric],
        vary=[key for key, column in columns.items() if column.actionable and not column.protected],
        count=COUNT,
        rows=PEER | SLOW.get(name, {}),
    )
    model = fit_classifier(setting, train)
    fresh = table.features.iloc[order[TRAINING : TRAINING + 20 * EXPLAINED]]
    write_setting(setting, folder, train=train, rows=fresh[model.predict(fresh) == 0].head(EXPLAINED))


def run_counterfactuals(
    *,
    folder: Path,
    data_sets: Sequence[str] = tuple(DATA_SETS),
    seeds: Sequence[int] = range(5),
    python: Path = DICE,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compare all methods on all data sets.

    Args:
        folder: Where settings and the peer's answers are kept; what is there is not made again.
        data_sets: Which data sets.
        seeds: Which seeds.
        python: The peer's interpreter.
        tell: Called with a line for each part.

    Returns:
        Settings and figures, as plain data: for each data set and method the figures of every seed.
    """
    figures: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in data_sets:
        for seed in seeds:
            place = folder / f"{name}-{seed}"
            if not (place / "setting.json").exists():
                prepare(name, seed, place)
            missing = [method for method in PEER if not (place / f"dice-{method}.json").exists()]
            if missing:
                subprocess.run(
                    [str(python), str(Path(__file__).with_name("counterfactual_dice.py")), str(place), *missing],
                    check=True,
                )
            for method, found in _compare(place).items():
                figures.setdefault(name, {}).setdefault(method, []).append(found)
                tell(f"{name} {seed} {method}: {json.dumps(found)}")
    return {"training": TRAINING, "explained": EXPLAINED, "count": COUNT, "seeds": list(seeds), "figures": figures}


def _compare(folder: Path) -> dict[str, dict[str, Any]]:
    """The figures of every method on one data set with one seed; those that are there already are read."""
    methods = [*OURS, *(f"dice-{name}" for name in PEER)]
    missing = [method for method in methods if not _figures_of(folder, method).exists()]
    if missing:
        judge = Judge(*read_setting(folder))
        judge.check_same_model(json.loads((folder / "probabilities.json").read_text(encoding="utf-8")))
        for method in missing:
            found = judge.ours(method) if method in OURS else judge.peers(method, folder)
            _figures_of(folder, method).write_text(json.dumps(found) + "\n", encoding="utf-8")
    return {method: json.loads(_figures_of(folder, method).read_text(encoding="utf-8")) for method in methods}


def _figures_of(folder: Path, method: str) -> Path:
    return folder / f"figures-{method}.json"


class Judge:
    """One judge for all: the classifier, the rules, the densities, and the real rows.

    Args:
        setting: The data set and the seed.
        train: The training rows.
        rows: The rows to explain.
    """

    def __init__(self, setting: Setting, train: pd.DataFrame, rows: pd.DataFrame) -> None:
        self.setting, self.rows = setting, rows
        features = train.drop(columns=TARGET)
        self.model = fit_classifier(setting, train)
        codes = [-7, -8, -9] if setting.name == "heloc" else None
        every = pd.concat([features, rows], ignore_index=True)  # a row to explain may have a category of its own
        schema = Schema.infer(every, **({} if codes is None else {"codes": codes}))
        for name in set(schema.names) - set(setting.vary):
            schema = schema.with_column(name, actionable=False)
        began = time.process_time()
        self.explainer = CounterfactualExplainer(self.model, schema=schema, random_state=setting.seed).fit(features)
        self.fit_seconds = time.process_time() - began
        self.codec = TableCodec(schema)
        self.factuals, self.reference = self.codec.to_numbers(rows), self.codec.to_numbers(features)

    def check_same_model(self, chances: list[float]) -> None:
        """Stop where the peer's environment fitted another classifier."""
        np.testing.assert_allclose(self.model.predict_proba(self.rows)[:, 1], chances, atol=1e-6)

    def ours(self, method: str) -> dict[str, Any]:
        """Explain with one of our methods."""
        rows, began = self.rows.head(BY_OURS), time.process_time()
        answer = self.explainer.set_params(method=method).explain(rows, 1, count=self.setting.count)
        seconds = time.process_time() - began
        found = np.array([bool((a != b).any()) for a, b in zip(answer.numbers, answer.factual_numbers, strict=True)])
        return self._figures(answer.numbers[found], answer.index.factual[found], rows=len(rows), seconds=seconds) | {
            "fit_seconds": self.fit_seconds
        }

    def peers(self, method: str, folder: Path) -> dict[str, Any]:
        """Judge the answers of a peer's method."""
        record = json.loads((folder / f"{method}.json").read_text(encoding="utf-8"))
        frame = pd.read_csv(folder / f"{method}.csv", keep_default_na=False)
        group = frame["row"].to_numpy(dtype=np.int64)
        numbers, known = self._numbers(frame.drop(columns="row"))
        figures = self._figures(numbers, group[known], rows=record["rows"], seconds=record["cpu_seconds"])
        return figures | {"unreadable": int((~known).sum()), "ended": record["ended"], "version": record["version"]}

    def _numbers(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Answers as numbers; those with a category that does not exist are left out and counted."""
        columns = self.explainer.schema_.columns
        known = np.ones(len(frame), dtype=bool)
        for column in columns:
            if column.labeled:
                kinds = {str(label): label for label in column.categories}
                known &= frame[column.name].astype(str).isin(kinds).to_numpy()
                frame = frame.assign(**{column.name: frame[column.name].astype(str).map(kinds)})
        part = frame[known]
        numbers = [
            part[column.name].map(list(column.categories).index) if column.labeled else part[column.name].astype(float)
            for column in columns
        ]
        return np.stack([each.to_numpy(dtype=np.float64) for each in numbers], axis=1), known

    def _figures(self, numbers: np.ndarray, group: np.ndarray, *, rows: int, seconds: float) -> dict[str, Any]:
        """The first answer to each row, and all of them."""
        _, first = np.unique(group, return_index=True)
        return {
            "first": self._judged(numbers[first], group[first], rows),
            "all": self._judged(numbers, group, rows),
            "rows": rows,
            "seconds_per_row": seconds / rows,
        }

    def _judged(self, numbers: np.ndarray, group: np.ndarray, rows: int) -> dict[str, Any]:
        import torch

        explainer, factuals = self.explainer, self.factuals[group]
        background, target = explainer.background_, torch.full((len(numbers),), explainer.model_.class_index(1))
        tensor = torch.from_numpy(numbers)
        rules = Rules.compile(explainer.schema_, Constraints(), torch.from_numpy(factuals))
        scores = {
            "plausible": background.search.plausibility(background.search.log_density(tensor, target), target),
            "witness": background.witness.plausibility(background.witness.log_density(tensor, target), target),
        }
        frame = self.codec.to_frame(numbers, like=self.rows, rows=group)
        found = evaluate(
            witness=scores["witness"] >= 0.1,
            witness_informative=background.report.informative,
            valid=self.model.predict(frame) == 1,
            plausible=scores["plausible"] >= 0.1,
            kept=np.array([not broken for broken in rules.violations(tensor)], dtype=np.bool_),
            group=group,
            factual_count=rows,
            factuals=factuals,
            counterfactuals=numbers,
            reference=self.reference,
            categorical=np.array([not column.numeric for column in explainer.schema_.columns]),
            scale=background.scale.numpy(),
        )
        return {key: None if value != value else value for key, value in found.items()}

"""DiCoFlex on Adult, Bank marketing and Give-Me-Some-Credit: what raw draws are worth, before any call of the model.

    python -m experiments.dicoflex run [adult bank gmc] [--rows 500] [--seed 0]
    python -m experiments.dicoflex speed
    python -m experiments.dicoflex stream [--rows 1000000]

Train and test rows are the fixed splits of the reproduction by the method's authors. The classifier is a perceptron of
two layers of 30 units, both classes weighted equally; its decisions are all that the flow sees of it. Every figure is
of test rows, the first of each class that the classifier decides otherwise, 100 draws each.
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.compose import make_column_transformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from counterflow import CounterfactualExplainer, Schema
from counterflow.counterfactuals.dicoflex import DiCoFlex, DiCoFlexSkill
from counterflow.tables import Atom, Rules, TableCodec, read_table, write_table
from experiments.dicoflex_measures import Measures
from experiments.tables import data_folder, machine, results_path

TARGETS = {"adult": "income", "bank": "y", "gmc": "SeriousDlqin2yrs"}
DRAWS = 100
REFERENCE = {
    "adult": {"proximity": 0.54, "diversity": 0.37, "categorical": (0.24, 0.49), "epsilon": (0.36, 0.44)},
    "bank": {"proximity": 0.79, "diversity": 0.40, "categorical": (0.05, 0.63), "epsilon": (0.32, 0.58),
             "raw_validity": (0.81, 0.85)},
    "gmc": {"proximity": 0.50, "diversity": 0.43, "categorical": (0.00, 0.70), "epsilon": (0.02, 0.62)},
}  # fmt: skip
"""The authors' table: proximity and diversity; sparsity and diversity of categories, and of numbers (epsilon)."""


def main() -> None:
    """Run a part and keep what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("run", "speed", "stream"))
    parser.add_argument("names", nargs="*", default=list(TARGETS))
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fitted", type=Path, help="a folder that keeps fitted explainers and lends them again")
    options = parser.parse_args()
    if options.part == "run":
        for name in options.names:
            setting = Setting(name, options.seed, options.fitted)
            keep(f"dicoflex_{name}", measure(setting, rows=options.rows or 500))
    elif options.part == "speed":
        keep("dicoflex_speed", speed(Setting("adult", options.seed, options.fitted)))
    else:
        setting = Setting("adult", options.seed, options.fitted)
        keep("dicoflex_stream", stream(setting, options.rows or 1_000_000))


class Setting:
    """A data set, its classifier, and an explainer that learned from both."""

    def __init__(self, name: str, seed: int, fitted: Path | None) -> None:
        self.name, self.seed = name, seed
        parts = (data_folder() / "dicoflex_splits" / f"{name}_{part}.csv.gz" for part in ("train", "test"))
        self.train, self.test = (read_table(part) for part in parts)
        self.schema = schema_of(self.train, TARGETS[name])
        self.codec = TableCodec(self.schema)
        features, labels = self.train.drop(columns=TARGETS[name]), self.train[TARGETS[name]]
        self.model = classifier(self.schema, seed)
        weights = (len(labels) / 2 / labels.map(labels.value_counts())).to_numpy()
        self.model.fit(features, labels, mlpclassifier__sample_weight=weights)
        self.seconds = None
        if fitted is not None and (fitted / name).exists():
            self.explainer = CounterfactualExplainer.load(fitted / name, model=self.model)
        else:
            began = time.perf_counter()
            explainer = CounterfactualExplainer(self.model, schema=self.schema, method=DiCoFlex(), random_state=seed)
            self.explainer = explainer.fit(features, tell=print)
            self.seconds = round(time.perf_counter() - began, 1)
            if fitted is not None:
                self.explainer.save(fitted / name)
        self.accuracy = float(self.model.score(self.test.drop(columns=TARGETS[name]), self.test[TARGETS[name]]))
        self.rows, self.fresh = (torch.from_numpy(self.codec.to_numbers(part)) for part in (self.train, self.test))
        self.classes = list(self.model.classes_)

    @property
    def skill(self) -> DiCoFlexSkill:
        """What was learned."""
        skill: Any = self.explainer.skill_
        return skill

    def decide(self, numbers: torch.Tensor) -> torch.Tensor:
        """The classifier's decisions, by its own predict."""
        frame = self.codec.to_frame(numbers.numpy(), like=self.train, rows=np.zeros(len(numbers), dtype=np.int64))
        return torch.tensor([self.classes.index(label) for label in self.model.predict(frame).tolist()])

    def asked(self, target: int, count: int) -> torch.Tensor:
        """The first test rows that are decided otherwise."""
        return self.fresh[self.decide(self.fresh) != target][:count]


def schema_of(table: Any, target: str) -> Schema:
    """As inferred; what looks like a code (a capital gain of 99,999) may change, as in the authors' setting."""
    schema = Schema.infer(table, target=target)
    for column in schema.columns:
        atoms = [Atom(a.value, kind=a.kind, may_change=True, allowed=True) for a in column.atoms]
        schema = schema.with_column(column.name, atoms=atoms) if atoms else schema
    return schema


def classifier(schema: Schema, seed: int) -> Any:
    """The reference's size of perceptron on standardized numbers and one-hot categories."""
    numbers = [column.name for column in schema.columns if column.numeric]
    labels = [column.name for column in schema.columns if not column.numeric]
    steps = [(StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), labels)]
    net = MLPClassifier((30, 30), early_stopping=True, max_iter=100, random_state=seed)
    return make_pipeline(make_column_transformer(*steps), net)


def measure(setting: Setting, *, rows: int) -> dict[str, Any]:
    """Everything that is claimed of one data set."""
    measures = Measures(setting.schema, setting.rows)
    result: dict[str, Any] = {
        "machine": machine(),
        "seed": setting.seed,
        "accuracy": setting.accuracy,
        "fit_seconds": setting.seconds,
        "settings": dataclasses.asdict(DiCoFlex()),
        "classes": [str(label) for label in setting.classes],
        "decided": setting.decide(setting.rows).bincount().tolist(),
        "reference": REFERENCE[setting.name],
        "directions": {},
    }
    for target, label in enumerate(setting.classes):
        asked = setting.asked(target, rows)
        found = {f"norm_{norm:g}": raw(setting, measures, asked, target, norm=norm) for norm in (2.0, 0.5, 0.1, 0.01)}
        found["unseen_masks"] = masked(setting, asked, target)
        found["ceiling"] = ceiling(setting, measures, target)
        found["explained"] = explained(setting, measures, target, rows)
        result["directions"][f"to {label}"] = found
        print(setting.name, f"to {label}", json.dumps(found, indent=1))
    return result


def raw(setting: Setting, measures: Measures, asked: torch.Tensor, target: int, *, norm: float) -> dict[str, Any]:
    """The draws as the flow makes them."""
    generator = torch.Generator().manual_seed(1)
    draws = setting.skill.draw(asked, target, norm=norm, count=DRAWS, generator=generator)
    valid = (setting.decide(draws.flatten(0, 1)) == target).unflatten(0, draws.shape[:2])
    some = draws.transpose(0, 1)[valid.T][:: max(1, int(valid.sum()) // 2000)]
    label = torch.full((len(some),), target)
    background = setting.explainer.background_
    shares = {
        f"{judge}_share": float((density.plausibility(density.log_density(some, label), label) >= 0.1).mean())
        for judge, density in (("plausible", background.search), ("witness", background.witness))
    }
    rules = Rules.compile(setting.schema, None, asked)
    return {
        "raw_validity": float(valid.double().mean()),
        "coverage": float(valid.any(0).double().mean()),
        "outside_the_box": measures.outside(draws, asked),
        "legal": float(rules.legal(draws).double().mean()),
        **measures.changes(asked, draws, valid),
        **measures.diversity(draws, valid),
        "lof_median": float(np.median(measures.outlier_factors(some))),
        **shares,
    }


def masked(setting: Setting, asked: torch.Tensor, target: int, *, masks: int = 20) -> dict[str, Any]:
    """Locks that no question of the training had: a quarter of the columns at random, or more of them."""
    generator = torch.Generator().manual_seed(setting.seed)
    unseen = unseen_locks(setting, masks, generator)
    if not unseen:
        return {"masks": 0}
    validity, coverage, kept = [], [], True
    for mask in unseen:
        draws = setting.skill.draw(asked[:100], target, norm=2.0, locked=mask, count=50, generator=generator)
        valid = (setting.decide(draws.flatten(0, 1)) == target).unflatten(0, draws.shape[:2])
        validity.append(float(valid.double().mean()))
        coverage.append(float(valid.any(0).double().mean()))
        kept = kept and bool((draws[..., mask] == asked[:100, mask]).all())
    return {
        "masks": len(unseen),
        "locked_columns": statistics.mean(int(mask.sum()) for mask in unseen),
        "locked_bit_by_bit": kept,
        "raw_validity_mean": statistics.mean(validity),
        "raw_validity_least": min(validity),
        "coverage_mean": statistics.mean(coverage),
        "coverage_least": min(coverage),
    }


def unseen_locks(setting: Setting, masks: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random locks that no question had, of the first size that has so many."""
    columns, found = len(setting.schema), []
    for size in range(max(2, columns // 4), columns - 2):
        drawn = [torch.randperm(columns, generator=generator) < size for _ in range(50 * masks)]
        found = [mask for mask in drawn if not setting.skill.has_seen(mask)][:masks]
        if len(found) == masks:
            break
    return found


def ceiling(setting: Setting, measures: Measures, target: int) -> dict[str, float]:
    """How different two real rows of the class are, and how usual a fresh one is: no honest draw can exceed it much."""
    own = setting.rows[setting.decide(setting.rows) == target]
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0))
    pairs = own[order[: len(own) // 2 * 2]].unflatten(0, (2, -1))
    fresh = setting.fresh[setting.decide(setting.fresh) == target][:2000]
    every = torch.ones(pairs.shape[:2], dtype=torch.bool)
    found = measures.diversity(pairs, every)
    return found | {"lof_median": float(np.median(measures.outlier_factors(fresh)))}


def explained(setting: Setting, measures: Measures, target: int, rows: int) -> dict[str, float]:
    """The same rows through the front door: judged by the model, one answer each and five."""
    decided = (setting.decide(setting.fresh) != target).numpy()
    frame = setting.test[decided].iloc[:rows].drop(columns=setting.schema.target)
    found: dict[str, float] = {}
    for count in (1, 5):
        began = time.perf_counter()
        answer = setting.explainer.explain(frame, setting.classes[target], count=count)
        seconds = time.perf_counter() - began
        metrics = answer.metrics()
        found |= {
            f"ms_per_row_{count}": 1000 * seconds / rows,
            **{
                f"{key}_{count}": float(metrics[key])
                for key in ("validity", "plausible_share", "witness_share", "actionability", "changed_features")
            },
        }
    return found


def speed(setting: Setting) -> dict[str, Any]:
    """Draws a second on two cores, in batches and for one row alone; the best and the median of several runs."""
    torch.set_num_threads(2)
    skill, rows = setting.skill, setting.fresh[:1000]
    target = torch.zeros(len(rows), dtype=torch.long)
    drafter, generator = skill.drafter, torch.Generator().manual_seed(0)
    rules = Rules.compile(setting.schema, None, rows)
    locked = torch.zeros(rows.shape, dtype=torch.bool)
    context = drafter.context(rows, target, locked=locked, norm=2.0)
    allowed = drafter.options.allowed(rules)

    def encoded() -> None:
        drafter.points(context, allowed=allowed, count=DRAWS, temperature=0.8, generator=generator)

    def decoded() -> None:
        skill.draw(rows, target, count=DRAWS, generator=generator)

    def one() -> None:
        skill.draw(rows[:1], target[:1], count=DRAWS, generator=generator)

    timings = {"encoded": timed(encoded, 7), "decoded": timed(decoded, 7), "one": timed(one, 60)}
    samples = DRAWS * len(rows)
    result: dict[str, Any] = {"machine": machine(), "load": os.getloadavg()[0], "data": "adult", "draws": DRAWS}
    for name, pick in (("best", min), ("median", statistics.median)):
        result[name] = {
            "encoded_samples_per_second": round(samples / pick(timings["encoded"])),
            "decoded_legal_rows_per_second": round(samples / pick(timings["decoded"])),
            "ms_for_100_answers_to_one_row": round(1000 * pick(timings["one"]), 2),
        }
    print(json.dumps(result, indent=1))
    return result


def timed(work: Any, runs: int) -> list[float]:
    """Seconds of each run, after one that warms up."""
    work()
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def stream(setting: Setting, rows: int) -> dict[str, Any]:
    """So many rows from Parquet to Parquet: drawn from the test rows with their ages moved, so that few are equal."""
    from counterflow.estimators.streaming import explain_stream

    generator = np.random.default_rng(0)
    setting.explainer.method = DiCoFlex(draws=16, sparse=False)
    with tempfile.TemporaryDirectory() as folder:
        table = setting.test.drop(columns=setting.schema.target)
        table = table.iloc[generator.integers(0, len(table), rows)].reset_index(drop=True)
        table["age"] = np.clip(table["age"] + generator.integers(-3, 4, rows), 17, 90).astype(table["age"].dtype)
        path = write_table(table, Path(folder, "rows.parquet"))
        del table
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.perf_counter()
        counts = explain_stream(
            setting.explainer, path, desired=setting.classes[1], out=Path(folder, "answers.parquet"), progress=True
        )
        seconds = time.perf_counter() - began
        size = Path(folder, "answers.parquet").stat().st_size
    return {
        "machine": machine(),
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_memory_before_mb": round(before),
        "answers_mb": round(size / 2**20, 1),
        "status": {status.value: count for status, count in counts.items()},
    }


def keep(name: str, result: dict[str, Any]) -> None:
    """Write a result."""
    results_path(f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

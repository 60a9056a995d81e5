"""Explain refusals of credit on HELOC, as a user would, and measure everything that is claimed of the answers.

    python -m experiments.heloc [--rows 3000] [--seed 0]

The explainer learns from 7,500 rows; the rest is explained. An *outside witness*, a spline flow of zuko trained on the
rows that are explained (which neither the search nor its own witness ever saw), gives a second opinion.
"""

import argparse
import json
import time
from collections import Counter

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterflow import Constraints, CounterfactualExplainer, Schema
from counterflow.models import TableClassifier, adapt
from counterflow.tables import Rules, TableCodec, read_table
from experiments.tables import data_folder, machine, results_path
from experiments.witness import OutsideWitness

CODES = [-7, -8, -9]
TARGET = "RiskPerformance"
LOCKED = ["MSinceOldestTradeOpen", "AverageMInFile"]


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000, help="how many of the held-out rows to explain")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = read_table(data_folder() / "heloc.csv.gz")
    schema = Schema.infer(table, target=TARGET, codes=CODES)
    order = np.random.default_rng(options.seed).permutation(len(table))
    known, fresh = table.iloc[order[:7500]], table.iloc[order[7500:]]
    rows = fresh.iloc[: options.rows]
    results = {"machine": machine(), "seed": options.seed, "models": {}}
    labels = (fresh[TARGET] == "Good").to_numpy().astype(int)
    outside = OutsideWitness(schema, TableCodec(schema).to_numbers(fresh), labels)
    for name, model in classifiers(schema, known).items():
        results["models"][name] = measure(name, model, schema, known, rows, outside)
    results_path("heloc.json").write_text(json.dumps(results, indent=2) + "\n")


def classifiers(schema: Schema, known: object) -> dict[str, object]:
    """A model that knows the codes, and two of scikit-learn's that read them as numbers."""
    features, labels = known.drop(columns=TARGET), known[TARGET]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(features, labels)
    network = make_pipeline(StandardScaler(), MLPClassifier((64, 64), early_stopping=True, random_state=0))
    return {
        "counterflow's logistic regression": TableClassifier.fit(schema, features, labels.tolist()),
        "scikit-learn's logistic regression": linear,
        "scikit-learn's MLP 64x64": network.fit(features, labels),
    }


def measure(name: str, model: object, schema: Schema, known: object, rows: object, outside: OutsideWitness) -> dict:
    """Fit an explainer of one model, and explain with and without locked columns."""
    features = known.drop(columns=TARGET)
    began = time.perf_counter()
    explainer = CounterfactualExplainer(model, schema=schema, random_state=0).fit(features, known[TARGET])
    result = {"fit_seconds": time.perf_counter() - began, "witness": explainer.background_.report.to_dict()}
    print(f"\n{name}: fitted in {result['fit_seconds']:.1f} s. {explainer.background_.report.sentence}")
    for label, constraints in {"free": None, "locked": Constraints(immutable=LOCKED)}.items():
        began = time.perf_counter()
        answer = explainer.explain(rows.drop(columns=TARGET), "Good", constraints=constraints)
        seconds = time.perf_counter() - began
        asked = answer.answered
        flippable = best_corner(model, schema, answer, constraints)[asked]
        valid = answer.valid[asked]
        metrics = answer.metrics()
        result[label] = {
            "asked": int(asked.sum()),
            "ms_per_row": 1000 * seconds / asked.sum(),
            "flippable": float(flippable.mean()),
            "valid_of_flippable": float(valid[flippable].mean()),
            "plausible_of_valid": metrics["plausible_share"],
            "witness_share": metrics["witness_share"],
            "outside_witness_share": outside.share(answer.numbers[asked][valid], np.ones(int(valid.sum()), int)),
            "kept": metrics["actionability"],
            "l2": metrics["proximity_l2"],
            "changed_features": metrics["changed_features"],
            "status": dict(Counter(status.value for status in answer.status)),
        }
        print(label, json.dumps(result[label]))
    return result


def best_corner(model: object, schema: Schema, answer: object, constraints: Constraints | None) -> np.ndarray:
    """Which rows can be flipped at all with their codes kept.

    For a linear model the best corner of the legal box decides. For others it is a lower bound: the corner that a
    linear stand-in of the model likes best, and whatever was found.
    """
    rules = Rules.compile(schema, constraints, answer.factual_numbers)
    adapted = adapt(model, schema, like=answer.factuals)
    numbers = torch.from_numpy(answer.factual_numbers).requires_grad_()
    logits = adapted.logits(numbers)
    good = adapted.class_index("Good")
    (slope,) = torch.autograd.grad((logits[:, good] - logits[:, 1 - good]).sum(), numbers)
    corner = torch.where(slope > 0, rules.upper, rules.lower)
    corner = torch.where(rules.movable, corner, torch.from_numpy(answer.factual_numbers))
    return (adapted.logits(corner).argmax(1) == good).numpy() | answer.valid


if __name__ == "__main__":
    main()

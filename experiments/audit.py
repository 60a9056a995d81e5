"""Recourse by group on Adult (sex, race) and COMPAS (sex, race), with intervals.

    python -m experiments.audit [--rows 600] [--training 6000] [--seed 0]

A logistic regression is fitted on the training rows without the columns that make the groups; the other rows are
answered, and put side by side by group. What is printed and written describes these models on these rows: it proves
nothing.
"""

import argparse
import json
import time

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from counterflow import CounterfactualExplainer
from counterflow.cli.audit import audit_text
from counterflow.counterfactuals import audit
from experiments.tables import load_table, machine, results_path

WISHES = {"adult": ">50K", "compas": "no"}
GROUPS = ("sex", "race")


def main() -> None:
    """Run everything, print it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600, help="how many held-out rows are answered")
    parser.add_argument("--training", type=int, default=6000, help="how many rows model and explainer learn from")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results = {"machine": machine(), "seed": options.seed, "training": options.training, "audits": {}}
    for name in WISHES:
        results["audits"][name] = audit_table(name, options)
        results_path("audit.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def audit_table(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Answer held-out rows of one table and compare its groups."""
    table = load_table(name)
    order = np.random.default_rng(options.seed).permutation(len(table.features))
    known, fresh = order[: options.training], order[options.training :][: options.rows]
    train, rows = table.features.iloc[known], table.features.iloc[fresh]
    numeric = [column.name for column in table.schema.columns if column.numeric]
    labeled = [column.name for column in table.schema.columns if not column.numeric and column.name not in GROUPS]
    encode = make_column_transformer(
        (StandardScaler(), numeric), (OneHotEncoder(handle_unknown="ignore"), labeled), remainder="drop"
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(train, table.labels[known])
    began = time.perf_counter()
    explainer = CounterfactualExplainer(model, schema=table.schema, random_state=options.seed)
    explainer.fit(train, table.labels[known])
    fitted = time.perf_counter()
    answer = explainer.explain(rows, WISHES[name])
    print(f"\n{name}: fitted in {fitted - began:.0f} s, {len(rows)} rows in {time.perf_counter() - fitted:.0f} s")
    print(explainer.background_.report.sentence)
    audits = {column: audit(answer, rows[column].tolist(), column=column) for column in GROUPS}
    for found in audits.values():
        print(audit_text(found))
    return {
        "desired": WISHES[name],
        "accuracy": float(model.score(rows, table.labels[fresh])),
        "witness": explainer.background_.report.to_dict(),
        "metrics": answer.metrics(),
        "by": {column: found.to_dict() for column, found in audits.items()},
    }


if __name__ == "__main__":
    main()

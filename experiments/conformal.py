"""The conformal promise, counted: how many fresh real rows pass a threshold that other held-out rows have set.

    python -m experiments.conformal heloc adult

An explainer learns from half of a table. The other half was seen by none of its flows; it is split fifty times into
rows that calibrate and fresh rows that are counted. With ``n`` rows to calibrate and a level ``a``, the chance that a
fresh row passes is Beta(n + 1 - k, k) over calibrations, with k = ceil(a (n + 1)) - 1, so the count of ``m`` fresh
rows is beta-binomial. The counts' places in that law (randomized, as counts are whole) have to be uniform: the
Kolmogorov-Smirnov test says how well they are. Splits of one table share rows, which is why few rows of many are
taken each time.
"""

import argparse
import json
import math

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression

from counterflow import CounterfactualExplainer
from counterflow.metrics import conformal_pvalue
from counterflow.tables import TableCodec
from experiments.ppcef import build
from experiments.tables import load_table, machine, results_path

LEVELS = (0.05, 0.1, 0.25, 0.5)
SPLITS, CALIBRATION, FRESH = 50, 300, 200


def main() -> None:
    """Count for each table and print a line for each level and class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--rows", type=int, default=10000)
    options = parser.parse_args()
    results: dict = {"machine": machine(), "splits": SPLITS, "calibration": CALIBRATION, "fresh": FRESH}
    for name in options.tables:
        results[name] = count_table(name, options.rows)
        results_path("conformal.json").write_text(json.dumps(results, indent=2) + "\n")


def count_table(name: str, rows: int) -> list[dict]:
    """Train, split, count."""
    table = load_table(name, rows=rows)
    half = len(table.features) // 2
    features, labels = table.features.iloc[:half], table.labels[:half]
    model: LogisticRegression = build(table, "linear").fit(features, labels)
    density = CounterfactualExplainer(model, schema=table.schema).fit(features, labels).background_.search
    numbers = torch.from_numpy(TableCodec(table.schema).to_numbers(table.features.iloc[half:]))
    index = torch.from_numpy(np.searchsorted(model.classes_, table.labels[half:]))
    scores = density.log_density(numbers, index)
    lines = []
    for k, label in enumerate(model.classes_.tolist()):
        own = scores[(index == k).numpy()]
        for level in LEVELS:
            lines.append({"class": str(label), **follow(own, level)})
            print(name, lines[-1], flush=True)
    return lines


def follow(scores: np.ndarray, level: float) -> dict[str, float]:
    """Fifty splits at one level: the mean share that passes, the law's mean, and how well the law is followed."""
    generator = np.random.default_rng(0)
    calibration, fresh = min(CALIBRATION, len(scores) // 3), min(FRESH, len(scores) // 3)
    below = math.ceil(level * (calibration + 1)) - 1
    law = stats.betabinom(fresh, calibration + 1 - below, below) if below else None
    counts = []
    for _ in range(SPLITS):
        order = generator.permutation(len(scores))
        known, new = scores[order[:calibration]], scores[order[calibration : calibration + fresh]]
        counts.append(int((conformal_pvalue(known, new) >= level).sum()))
    if law is None:
        return {"level": level, "share": float(np.mean(counts)) / fresh, "law": 1.0, "p_value": 1.0}
    places = law.cdf(np.array(counts) - 1) + generator.random(SPLITS) * law.pmf(counts)
    return {
        "level": level,
        "rows": len(scores),
        "share": float(np.mean(counts)) / fresh,
        "law": float(law.mean()) / fresh,
        "p_value": float(stats.kstest(places, "uniform").pvalue),
    }


if __name__ == "__main__":
    main()

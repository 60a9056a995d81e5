"""Laws of targets elsewhere: a law that is known, several targets at once, categories, and intervals that must hold.

    python -m experiments.regression_tables [bimodal conformal parkinsons wind bank]

- ``bimodal``: y under x has two modes whose distance, widths and weights move with x; log-likelihoods are compared with
  the law's own on fresh rows.
- ``conformal``: shares of fresh rows inside of calibrated intervals, over many calibrations, beside the beta-binomial
  law that they must follow; on the known law, and on concrete, energy, yacht and kin8nm.
- ``parkinsons`` and ``wind``: the sets of the TreeFlow paper with 2 and 6 targets, on their split.
- ``bank``: the balance of bank customers from sixteen columns, nine of which are categories.
"""

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from counterflow.estimators import FlowRegressor
from counterflow.metrics import interval_coverage
from counterflow.regression import ConditionalFlow, ContinuousHead, MixtureHead, RegFlow, SplineHead, TreeFlow, Trees
from experiments.tables import all_data, data_folder, machine, results_path
from experiments.uci_regression import gaussian_scores, split_of

COVERAGES = (0.5, 0.8, 0.95)
_ROWS = 6000
Scores = dict[str, float]


def bimodal_law(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and deviations of two normal laws under each x."""
    weight = 0.5 + 0.3 * np.sin(3 * x)
    means = np.stack([1 + 2 * x, -1 - np.sin(4 * x)], 1)
    return np.stack([weight, 1 - weight], 1), means, np.stack([0.3 + 0.2 * x, 0.5 - 0.2 * x], 1)


def bimodal(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y, and the true log-density of each y."""
    random = np.random.default_rng(seed)
    x = random.uniform(size=rows)
    weights, means, deviations = bimodal_law(x)
    chosen = (random.uniform(size=rows) > weights[:, 0]).astype(int)
    y = means[np.arange(rows), chosen] + deviations[np.arange(rows), chosen] * random.normal(size=rows)
    density = (weights * stats.norm.pdf(y[:, None], means, deviations)).sum(1)
    return x[:, None], y, np.log(density)


METHODS: dict[str, Any] = {
    "TreeFlow": TreeFlow(location=Trees(number=100, depth=3)),
    "spline flow": ConditionalFlow(head=SplineHead(bins=12)),
    "continuous flow (FiLM)": ConditionalFlow(head=ContinuousHead()),
    "RegFlow, rank 4": RegFlow(rank=4),
    "mixture, 5 components": "mixture",
    "Gaussian": "gaussian",
}


def judge_bimodal() -> dict[str, Any]:
    """How far each method stays behind the law itself, in nats."""
    x, y, _ = bimodal(_ROWS, 0)
    fresh, truth, log_density = bimodal(10_000, 1)
    found: dict[str, Any] = {"true log-density": float(log_density.mean())}
    for name, method in METHODS.items():
        began = time.process_time()
        members = 1 if "flow (" in name or name.startswith("RegFlow") else 3
        law = FlowRegressor(method, members=members, max_epochs=100, random_state=0).fit(x, y)
        gap = log_density - law.log_likelihood(fresh, truth)
        error = float(gap.std() / len(gap) ** 0.5)
        found[name] = {"behind": float(gap.mean()), "error": error, "seconds": time.process_time() - began}
        print("bimodal", name, found[name], flush=True)
    return found


def _law_of_coverage(inside: np.ndarray, calibrated: int, judged: int, coverage: float) -> Scores:
    """Counts beside the beta-binomial law: their mean, their spread, and a test of uniform ranks."""
    rank = int(np.ceil(coverage * (calibrated + 1)))
    law = stats.betabinom(judged, rank, calibrated + 1 - rank)
    place = law.cdf(inside - 1) + np.random.default_rng(0).uniform(size=len(inside)) * law.pmf(inside)
    return {
        "mean": float(inside.mean() / judged),
        "expected": law.mean() / judged,
        "deviation": float(inside.std() / judged),
        "expected deviation": law.std() / judged,
        "pvalue": float(stats.kstest(place, "uniform").pvalue),
    }


def judge_conformal() -> dict[str, Any]:
    """Coverage over calibrations: fresh rows of the known law, and random halves of real rows not learned from."""
    found: dict[str, Any] = {}
    x, y, _ = bimodal(500, 0)
    law = FlowRegressor("gaussian", members=1, max_epochs=20, random_state=0).fit(x, y)  # a wrong law, on purpose
    counts: dict[float, list[float]] = {coverage: [] for coverage in COVERAGES}
    for seed in range(400):
        rows, targets, _ = bimodal(300, 1000 + seed)
        law.calibrate(rows[:100], targets[:100])
        for coverage, inside in counts.items():
            inside.append(200 * interval_coverage(law.predict_interval(rows[100:], coverage=coverage), targets[100:]))
    found["known law, Gaussian fit"] = {
        str(c): _law_of_coverage(np.round(inside), 100, 200, c) for c, inside in counts.items()
    }
    print("conformal", found, flush=True)
    for name in ("yacht", "concrete", "energy", "kin8nm"):
        found[name] = _real_coverage(name)
        print("conformal", name, found[name], flush=True)
    return found


def _real_coverage(name: str) -> dict[str, Any]:
    """A law of half the rows; the others calibrate or judge by chance, 400 times."""
    x, y, more, rest = split_of(name, 0)
    x, y = np.concatenate([x, more]), np.concatenate([y, rest])
    order = np.random.default_rng(0).permutation(len(y))
    half = len(y) // 2
    trees = TreeFlow(location=Trees(number=300))
    law = FlowRegressor(trees, members=1, random_state=0).fit(x[order[:half]], y[order[:half]])
    x, y = x[order[half:]], y[order[half:]]
    calibrated = len(y) // 2
    scores = np.abs(law.pit(x, y) - 0.5)
    found: dict[str, Any] = {}
    for coverage in COVERAGES:
        rank, inside = int(np.ceil(coverage * (calibrated + 1))), []
        for seed in range(400):
            mixed = np.random.default_rng(seed).permutation(scores)
            inside.append((mixed[calibrated:] <= np.sort(mixed[:calibrated])[rank - 1]).sum())
        found[str(coverage)] = _law_of_coverage(np.array(inside), calibrated, len(y) - calibrated, coverage)
    return found


def judge_targets(name: str) -> dict[str, Any]:
    """Several targets at once."""
    x, y, fresh, truth = several_targets(name)
    methods: dict[str, Any] = {
        "TreeFlow": TreeFlow(head=SplineHead(layers=3)),
        "TreeFlow, leaves alone": TreeFlow(Trees(number=300, depth=2), location=None, head=SplineHead(layers=3)),
        "spline flow": ConditionalFlow(head=SplineHead(layers=3)),
        "MDN": MixtureHead(5),
        "Gaussian": MixtureHead(1),
    }
    found: dict[str, Any] = {"rows": [len(y), len(truth)], "targets": y.shape[1]}
    for label, method in methods.items():
        method = ConditionalFlow(head=method) if isinstance(method, MixtureHead) else method
        began = time.process_time()
        law = FlowRegressor(method, members=2, max_epochs=100, random_state=0, whole_numbers=False).fit(x, y)
        scores = law.log_likelihood(fresh, truth)
        found[label] = {
            "nll": float(-scores.mean()),
            "error": float(scores.std() / len(scores) ** 0.5),
            "seconds": time.process_time() - began,
        }
        print(name, label, found[label], flush=True)
    return found


def several_targets(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The rows of the paper's split."""
    data = np.load(all_data() / "uci_multitarget" / f"{name}_momogp.npz")
    if "x_train" in data:
        return data["x_train"], data["y_train"], data["x_test"], data["y_test"]
    x, y = data["x"][1:], data["y"][1:]  # the reference reads the first row as a header
    train = pd.DataFrame(x).sample(frac=0.8, random_state=58).index.to_numpy()
    held = np.setdiff1d(np.arange(len(y)), train)
    return x[train], y[train], x[held], y[held]


def judge_bank() -> dict[str, Any]:
    """A target in whole euros under mixed columns; everybody is scored by probabilities."""
    import catboost

    frame = pd.read_csv(data_folder() / "bank_marketing.csv.gz").iloc[:, 1:]
    frame = frame.sample(12_000, random_state=0).reset_index(drop=True)
    y, frame = frame.pop("balance"), frame.drop(columns="y")
    train, held = slice(0, 10_000), slice(10_000, None)
    found: dict[str, Any] = {"columns": frame.shape[1]}
    names = [name for name in frame if frame[name].dtype.kind not in "if"]
    tables = {"TreeFlow": TreeFlow(), "spline flow": "spline", "MDN": "mixture", "Gaussian": "gaussian"}
    for label, method in tables.items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "y holds whole numbers")
            law = FlowRegressor(method, members=2, max_epochs=60, random_state=0).fit(frame[train], y[train])
        scores = law.log_likelihood(frame[held], y[held])
        covered = interval_coverage(law.predict_interval(frame[held]), y[held].to_numpy(dtype=float))
        found[label] = {"nll": -scores.mean(), "crps": law.crps(frame[held], y[held]).mean(), "coverage_90": covered}
        found[label] |= {"seconds": time.process_time() - began}
        print("bank", label, found[label], flush=True)
    began = time.process_time()
    model = catboost.CatBoostRegressor(
        loss_function="RMSEWithUncertainty", iterations=2000, cat_features=names, random_seed=0, thread_count=1,
        verbose=False, allow_writing_files=False,
    )  # fmt: skip
    model.fit(frame[:9000], y[:9000], eval_set=(frame[9000:10_000], y[9000:10_000]), early_stopping_rounds=100)
    mean, variance = model.predict(frame[held]).T
    scores = gaussian_scores(mean, np.sqrt(variance), y[held].to_numpy(dtype=float), whole=True)
    found["CatBoost, Gaussian"] = {**scores, "seconds": time.process_time() - began}
    print("bank", found["CatBoost, Gaussian"], flush=True)
    return found


PARTS = {
    "bimodal": judge_bimodal,
    "conformal": judge_conformal,
    "parkinsons": lambda: judge_targets("parkinsons"),
    "wind": lambda: judge_targets("wind"),
    "bank": judge_bank,
}


def main() -> None:
    """Run the parts; each is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = results_path("regression_tables.json")
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for part in options.parts:
        result[part] = PARTS[part]()
        path.write_text(json.dumps(result | {"machine": machine()}, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()

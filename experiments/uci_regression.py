"""The law of a target on the tables of the papers: TreeFlow and plain flows beside what others offer, in one run.

    python -m experiments.uci_regression [concrete energy ...] [--peers PYTHON] [--splits 20]

The standard 20 random splits of concrete, energy, kin8nm, red wine, yacht and boston housing; mean negative
log-likelihood of held-out rows, CRPS, root mean squared error and seconds of the processor. CatBoost's own Gaussian
(``RMSEWithUncertainty``) and a mixture density network see the same rows; NGBoost and XGBDistribution too, with the
Python of an environment where they are installed. Wine's grades are whole numbers, on which densities have no limit:
there everybody is scored by the probability of the grade.
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from counterflow.estimators import FlowRegressor
from counterflow.metrics import crps
from counterflow.regression import TreeFlow, Trees
from experiments.tables import all_data, machine, results_path

SETS = {
    "yacht": "yacht",
    "energy": "energy",
    "concrete": "concrete",
    "boston": "bostonHousing",
    "wine": "wine-quality-red",
    "kin8nm": "kin8nm",
}
WHOLE = ("wine",)
PUBLISHED = {  # TreeFlow, and the best column, of the TreeFlow paper's table
    "concrete": (3.02, 2.75),
    "energy": (0.85, 0.62),
    "kin8nm": (-1.03, -1.20),
    "yacht": (0.72, 0.05),
}
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def split_of(name: str, number: int) -> Split:
    """The rows of one standard split: x and y to learn from, x and y to judge by."""
    data = np.load(all_data() / "uci_regression" / f"{SETS[name]}.npz")
    held = np.unpackbits(data["test_mask"], axis=1, count=int(data["n_rows"])).astype(bool)[number]
    return data["x"][~held], data["y"][~held], data["x"][held], data["y"][held]


def flow(method: Any, split: Split, *, seed: int) -> dict[str, float]:
    """One of our regressors."""
    x, y, fresh, truth = split
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y holds whole numbers")
        model = FlowRegressor(method, random_state=seed).fit(x, y)
    seconds = time.process_time() - began
    return {
        "nll": -model.score(fresh, truth),
        "crps": float(model.crps(fresh, truth).mean()),
        "rmse": float(np.sqrt(np.mean((model.predict(fresh) - truth) ** 2))),
        "seconds": seconds,
    }


def gaussian_scores(mean: np.ndarray, deviation: np.ndarray, truth: np.ndarray, *, whole: bool) -> dict[str, float]:
    """What a Gaussian prediction is worth."""
    law = stats.norm(mean, deviation)
    log_prob = np.log(np.maximum(law.cdf(truth + 0.5) - law.cdf(truth - 0.5), 1e-300)) if whole else law.logpdf(truth)
    points = law.ppf(((np.arange(200) + 0.5) / 200)[:, None]).T
    return {
        "nll": float(-log_prob.mean()),
        "crps": float(crps(points, truth).mean()),
        "rmse": float(np.sqrt(np.mean((mean - truth) ** 2))),
    }


def catboost_gaussian(split: Split, *, seed: int, whole: bool) -> dict[str, float]:
    """CatBoost's own Gaussian, stopped early by a tenth of the rows, with the best of six settings on nine splits."""
    import catboost

    x, y, fresh, truth = split
    order = np.random.default_rng(seed).permutation(len(y))
    held, train = order[: len(y) // 10], order[len(y) // 10 :]
    began = time.process_time()
    model = catboost.CatBoostRegressor(
        loss_function="RMSEWithUncertainty",
        iterations=2000,
        depth=4,
        learning_rate=0.03,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(x[train], y[train], eval_set=(x[held], y[held]), early_stopping_rounds=100)
    seconds = time.process_time() - began
    mean, variance = model.predict(fresh).T
    return {**gaussian_scores(mean, np.sqrt(variance), truth, whole=whole), "seconds": seconds}


def peers(split: Split, *, python: str, seed: int, whole: bool) -> dict[str, dict[str, float]]:
    """NGBoost and XGBDistribution, in an environment of their own."""
    x, y, fresh, truth = split
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, x=x, y=y, fresh=fresh, seed=seed)
        script = Path(__file__).parent / "regression_peers.py"
        subprocess.run([python, str(script), str(path)], check=True, capture_output=True)
        found = np.load(Path(folder) / "predictions.npz")
        return {
            name: {
                **gaussian_scores(found[f"{name} mean"], found[f"{name} deviation"], truth, whole=whole),
                "seconds": float(found[f"{name} seconds"]),
            }
            for name in ("NGBoost", "XGBDistribution")
        }


CONTESTANTS: dict[str, Any] = {
    "TreeFlow": TreeFlow(),
    "TreeFlow, leaves alone": TreeFlow(Trees(number=300, depth=2), location=None),
    "spline flow": "spline",
    "MDN": "mixture",
}


def judge(name: str, number: int, *, python: str | None, only: list[str]) -> dict[str, dict[str, float]]:
    """All contestants on one split, or some."""
    split, whole = split_of(name, number), name in WHOLE
    wanted = {label: method for label, method in CONTESTANTS.items() if label in only or not only}
    found = {label: flow(method, split, seed=number) for label, method in wanted.items()}
    if "CatBoost, Gaussian" in only or not only:
        found["CatBoost, Gaussian"] = catboost_gaussian(split, seed=number, whole=whole)
    return found | (peers(split, python=python, seed=number, whole=whole) if python else {})


def summary(splits: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Means over the splits, and the standard error of the log-likelihood."""
    return {
        label: {
            **{measure: float(np.mean([split[label][measure] for split in splits])) for measure in splits[0][label]},
            "nll_error": float(np.std([split[label]["nll"] for split in splits], ddof=1) / len(splits) ** 0.5),
            "nll_median": float(np.median([split[label]["nll"] for split in splits])),
        }
        for label in splits[0]
    }


def main() -> None:
    """Judge split by split; a set is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--peers", help="the Python of an environment with ngboost and xgboost-distribution")
    parser.add_argument("--only", nargs="*", default=[], help="contestants to run again; the others stay as they were")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = results_path("uci_regression.json")
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"sets": {}}
    for name in options.names:
        splits = []
        for number in range(options.splits):
            splits.append(judge(name, number, python=options.peers, only=options.only))
            print(name, number, {label: round(found["nll"], 3) for label, found in splits[-1].items()}, flush=True)
        known = result["sets"].get(name, {}) if options.only else {}
        result["sets"][name] = known | {"splits": len(splits), "published": PUBLISHED.get(name), **summary(splits)}
        print(name, json.dumps({k: v["nll"] for k, v in summary(splits).items()}), flush=True)
        path.write_text(json.dumps(result | {"machine": machine()}, indent=2) + "\n")


if __name__ == "__main__":
    main()

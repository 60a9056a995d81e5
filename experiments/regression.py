"""Counterfactuals of regressors: what must change so that the predicted value lies in an interval?

    python -m experiments.regression

Five folds of the diabetes table (bundled with scikit-learn) and of concrete strength; a linear model, a network and a
forest, the latter followed by a stand-in and judged by itself. Rows whose predicted value lies below the median wish to
rise above the upper quartile, the others to fall below the lower one.
"""

import argparse
import json

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterflow import CounterfactualExplainer, Schema
from experiments.tables import data_folder, machine, results_path

MODELS = {
    "linear": lambda: LinearRegression(),
    "mlp": lambda: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(64, 64), early_stopping=True, random_state=0)
    ),
    "forest": lambda: RandomForestRegressor(100, random_state=0),
}


def main() -> None:
    """Run both tables and print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    results: dict = {"machine": machine(), "folds": options.folds}
    for name, (features, values) in {"diabetes": diabetes(), "concrete": concrete()}.items():
        for kind in MODELS:
            folds = [run(features, values, kind, split) for split in list(KFold(5).split(features))[: options.folds]]
            results[f"{name}, {kind}"] = {key: float(np.mean([fold[key] for fold in folds])) for key in folds[0]}
            print(name, kind, {key: round(v, 3) for key, v in results[f"{name}, {kind}"].items()}, flush=True)
            results_path("regression.json").write_text(json.dumps(results, indent=2) + "\n")


def diabetes() -> tuple[pd.DataFrame, np.ndarray]:
    """Ten measurements in their own units, and the progression of the disease."""
    data = load_diabetes(as_frame=True, scaled=False)
    order = np.random.default_rng(0).permutation(len(data.target))
    return data.data.iloc[order].reset_index(drop=True), data.target.to_numpy()[order]


def concrete() -> tuple[pd.DataFrame, np.ndarray]:
    """Eight ingredients, and the strength."""
    frame = pd.read_csv(data_folder() / "regression_concrete.csv.gz").sample(frac=1.0, random_state=0)
    frame = frame.reset_index(drop=True)
    return frame.iloc[:, :-1], frame.iloc[:, -1].to_numpy()


def run(
    features: pd.DataFrame, values: np.ndarray, kind: str, split: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """One fold."""
    known, fresh = split
    model = MODELS[kind]().fit(features.iloc[known], values[known])
    explainer = CounterfactualExplainer(model, schema=Schema.infer(features)).fit(features.iloc[known])
    rows = features.iloc[fresh]
    low, middle, high = np.quantile(model.predict(features.iloc[known]), (0.25, 0.5, 0.75))
    wishes = [(high, None) if value < middle else (None, low) for value in model.predict(rows)]
    answer = explainer.explain(rows, wishes)
    found = answer.metrics()
    asked = answer.answered
    return {
        "rows": float(asked.sum()),
        "witness_share": found["witness_share"],
        "validity": found["validity"],
        "plausible_share": float((answer.plausible & answer.valid)[asked].mean()),
        "repaired": found["repaired_share"],
        "legal": float(answer.kept.mean()),
        "changed": found["changed_features"],
        "l2_standard_units": found["proximity_l2"],
        "ms_per_row": 1000 * answer.seconds / asked.sum(),
    }


if __name__ == "__main__":
    main()

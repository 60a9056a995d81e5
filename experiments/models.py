"""Explain models of six kinds on Adult, all of them black boxes, and measure what becomes of the answers.

    python -m experiments.models [--rows 200] [--known 8000] [--seed 0] [--only xgboost,onnx]

Each model learns from the same rows, and so does its explainer; refused people among the others ask what would make the
model decide ">50K". Race, sex and native country are protected. Baselines are nearest unlike neighbors, see
:func:`distances`.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from counterflow import PPCEF, Constraints, CounterfactualAnswer, CounterfactualExplainer, Schema, models
from counterflow.counterfactuals.baselines import nearest_rows
from counterflow.metrics import gower_distance, range_scale
from counterflow.tables import TableCodec
from experiments.tables import load_table, machine, results_path

REFUSED, APPROVED = "<=50K", ">50K"
NEAR = PPCEF(norm=1.0, cushion=0.0)
SETTINGS = {"default": PPCEF(), "near": NEAR, "gower": NEAR}
"""``near`` aims at no more plausibility than was asked; ``gower`` also counts changes as Gower's distance does."""
PACKAGES = ("xgboost-cpu", "lightgbm", "catboost", "onnxruntime", "scikit-learn")


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200, help="how many refused people to explain")
    parser.add_argument("--known", type=int, default=8000, help="how many rows the models and explainers learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fitted", type=Path, help="a folder for fitted explainers, which are then fitted once")
    parser.add_argument("--only", default=",".join(MODELS), help="some of " + ", ".join(MODELS))
    options = parser.parse_args()
    table = load_table("adult")
    order = np.random.default_rng(options.seed).permutation(len(table.features))
    known, fresh = order[: options.known], order[options.known :]
    data = Data(table.features.iloc[known], table.labels[known], table.features.iloc[fresh], table.schema)
    results = {"machine": machine(), "versions": {name: version(name) for name in PACKAGES}}
    results |= {"rows": options.rows, "known": options.known, "seed": options.seed, "models": {}}
    for name in options.only.split(","):
        results["models"][name] = measure(name, data, options)
        print(name, json.dumps(results["models"][name]), flush=True)
        results_path("models.json").write_text(json.dumps(results, indent=2) + "\n")


class Data:
    """The rows that are known, with their labels, and fresh ones."""

    def __init__(self, features: pd.DataFrame, labels: np.ndarray, fresh: pd.DataFrame, schema: Schema) -> None:
        self.features, self.labels, self.fresh, self.schema = features, labels, fresh, schema
        self.text = [column.name for column in schema.columns if column.labeled]
        self.numeric = [column.name for column in schema.columns if not column.labeled]

    def typed(self) -> pd.DataFrame:
        """The known rows with text as categories, all that the schema knows."""
        types = {name: pd.CategoricalDtype(list(self.schema[name].categories)) for name in self.text}
        return self.features.astype(types)

    def encoder(self) -> OneHotEncoder:
        """Indicators of all categories that the schema knows."""
        return OneHotEncoder(categories=[list(self.schema[name].categories) for name in self.text])


def xgboost_model(data: Data) -> object:
    """A booster whose classes are numbers, so that they are named."""
    import xgboost

    settings = {"n_estimators": 200, "max_depth": 6, "learning_rate": 0.1, "n_jobs": 1, "random_state": 0}
    model = xgboost.XGBClassifier(enable_categorical=True, **settings)
    return models.wrap(model.fit(data.typed(), data.labels == APPROVED), classes=[REFUSED, APPROVED])


def lightgbm_model(data: Data) -> object:
    """The classifier as it is; it knows its classes."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=200, n_jobs=1, verbose=-1, random_state=0)
    return model.fit(data.typed(), data.labels)


def catboost_model(data: Data) -> object:
    """Columns of text are native to it."""
    import catboost

    settings = {"iterations": 300, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    return catboost.CatBoostClassifier(cat_features=data.text, random_seed=0, **settings).fit(
        data.features, data.labels
    )


def forest_model(data: Data) -> object:
    """A pipeline that ends in a forest."""
    prepare = make_column_transformer((data.encoder(), data.text), ("passthrough", data.numeric))
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    return make_pipeline(prepare, forest).fit(data.features, data.labels)


def onnx_model(data: Data) -> object:
    """A file with an input for each column, of a pipeline with gradient boosting."""
    import onnxruntime
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    prepare = make_column_transformer((data.encoder(), data.text), ("passthrough", data.numeric))
    boosting = GradientBoostingClassifier(n_estimators=100, random_state=0)
    pipeline = make_pipeline(prepare, boosting).fit(data.features, data.labels)
    kinds = [(name, StringTensorType([None, 1])) for name in data.text]
    kinds += [(name, FloatTensorType([None, 1])) for name in data.numeric]
    exported = convert_sklearn(pipeline, initial_types=kinds, target_opset=17)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(exported.SerializeToString())
        return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def callable_model(data: Data) -> object:
    """A function that gives a label and nothing else: the vote of three boosters."""
    voters = [
        models.adapt(make(data), data.schema, like=data.features)
        for make in (xgboost_model, lightgbm_model, catboost_model)
    ]

    def decide(frame: pd.DataFrame) -> np.ndarray:
        votes = sum((voter.predict(frame) == APPROVED).astype(int) for voter in voters)
        return np.where(votes >= 2, APPROVED, REFUSED)

    return models.wrap(decide, output="labels", classes=[REFUSED, APPROVED])


MODELS = {
    "xgboost": xgboost_model,
    "lightgbm": lightgbm_model,
    "catboost": catboost_model,
    "forest": forest_model,
    "onnx": onnx_model,
    "callable": callable_model,
}


def measure(name: str, data: Data, options: argparse.Namespace) -> dict:
    """Fit an explainer of one model, explain refused people, and look at every answer."""
    model = MODELS[name](data)
    explainer, fit_seconds = fitted(name, model, data, options)
    adapted = explainer.model_
    asking = data.fresh[adapted.predict(data.fresh) == REFUSED][: options.rows]
    result = {"stand_in": adapted.stand_in_report.to_dict(), "fit_seconds": fit_seconds}
    for label, method in SETTINGS.items():
        constraints = Constraints(cost=gower_costs(explainer, data)) if label == "gower" else None
        result[label] = explained(explainer.set_params(method=method), asking, data, constraints)
    return result


def gower_costs(explainer: CounterfactualExplainer, data: Data) -> dict[str, float]:
    """What a standardized unit of each numeric column is of its range; another category counts as a whole range."""
    ranges = range_scale(TableCodec(data.schema).to_numbers(data.features))
    units = explainer.background_.scale.numpy() / ranges
    columns = zip(data.schema.columns, units.tolist(), strict=True)
    return {column.name: unit for column, unit in columns if column.numeric}


def explained(
    explainer: CounterfactualExplainer, asking: pd.DataFrame, data: Data, constraints: Constraints | None
) -> dict:
    """Explain refused people in one setting."""
    began = time.perf_counter()
    answer = explainer.explain(asking, APPROVED, constraints=constraints)
    seconds = time.perf_counter() - began
    metrics = answer.metrics()
    names = ("validity", "plausible_share", "witness_share", "repaired_share", "copied_share", "changed_features")
    gower = distances(answer, data, explainer)
    repaired = answer.repaired[answer.valid]
    return {
        "asked": int(answer.answered.sum()),
        **{name: metrics[name] for name in names},
        "judged_again": float((explainer.model_.predict(answer.frame) == APPROVED).mean()),
        "rules_kept": metrics["actionability"],
        "gower": {kind: float(np.nanmean(values)) for kind, values in gower.items()},
        "gower_below": {kind: below(gower["ours"], gower[kind]) for kind in gower if kind != "ours"},
        "gower_repaired": float(gower["ours"][repaired].mean()) if repaired.any() else None,
        "status": dict(Counter(status.value for status in answer.status)),
        "ms_per_row": 1000 * seconds / len(asking),
    }


def below(ours: np.ndarray, theirs: np.ndarray) -> float:
    """By what share our mean distance is below theirs, over the rows that have both."""
    known = ~np.isnan(theirs)
    return float(1 - ours[known].mean() / theirs[known].mean())


def fitted(
    name: str, model: object, data: Data, options: argparse.Namespace
) -> tuple[CounterfactualExplainer, float | None]:
    """The explainer of a model, and how long it took to fit; from a folder if it was fitted before."""
    folder = options.fitted and options.fitted / name
    if folder and folder.is_dir():
        return CounterfactualExplainer.load(folder, model), None
    began = time.perf_counter()
    explainer = CounterfactualExplainer(model, schema=data.schema, random_state=options.seed)
    explainer.fit(data.features, data.labels)
    seconds = time.perf_counter() - began
    if folder:
        explainer.save(folder)
    return explainer, seconds


def distances(answer: CounterfactualAnswer, data: Data, explainer: CounterfactualExplainer) -> dict[str, np.ndarray]:
    """Gower's distance of valid answers, and of their nearest unlike neighbors among the known rows.

    All of these are copies. ``real`` is the nearest row that the model accepts, whatever it changes; ``real_legal``
    the nearest with the same protected values; ``real_plausible`` the nearest of those that are as plausible as answers
    must be. NaN is none.
    """
    numbers = TableCodec(data.schema).to_numbers(data.features)
    accepted = numbers[explainer.model_.predict(data.features) == APPROVED]
    plausible = plausibility(accepted, explainer) >= answer.settings["min_plausibility"]
    columns = np.array([not column.numeric for column in data.schema.columns])
    scale = {"scale": range_scale(numbers), "categorical": columns}
    protected = [place for place, column in enumerate(data.schema.columns) if column.protected]
    factuals = answer.factual_numbers[answer.valid]

    def nearest(factual: np.ndarray, candidates: np.ndarray) -> float:
        if not len(candidates):
            return np.nan
        found = candidates[nearest_rows(factual[None], candidates, **scale)]
        return float(gower_distance(factual[None], found, **scale)[0])

    alike = [(accepted[:, protected] == factual[protected]).all(1) for factual in factuals]
    pairs = list(zip(factuals, alike, strict=True))
    return {
        "ours": gower_distance(factuals, answer.numbers[answer.valid], **scale),
        "real": np.array([nearest(factual, accepted) for factual in factuals]),
        "real_legal": np.array([nearest(factual, accepted[same]) for factual, same in pairs]),
        "real_plausible": np.array([nearest(factual, accepted[same & plausible]) for factual, same in pairs]),
    }


def plausibility(numbers: np.ndarray, explainer: CounterfactualExplainer) -> np.ndarray:
    """The conformal p-value of rows among accepted people, by the search's own density."""
    density = explainer.background_.search
    labels = torch.full((len(numbers),), explainer.model_.class_index(APPROVED))
    return density.plausibility(density.log_density(torch.from_numpy(numbers), labels), labels)


if __name__ == "__main__":
    main()

"""Boosters without their scikit-learn shell: XGBoost's and LightGBM's Booster, CatBoost's CatBoost."""

import json
import re
from typing import Any

import numpy as np

from counterflow.models.booster_frames import pandas_columns, table_names, with_categories
from counterflow.models.engine import Engine
from counterflow.models.setting import Setting
from counterflow.models.wrapping import Output

__all__ = ["catboost_engine", "lightgbm_engine", "xgboost_engine"]

_XGBOOST: dict[str, tuple[Output, bool]] = {  # what its predictions are, and whether to ask for margins
    "binary:logistic": ("probabilities", False),
    "binary:logitraw": ("logits", True),
    "multi:softprob": ("logits", True),
    "multi:softmax": ("logits", True),
}
_VALUES = ("reg:", "count:", "survival:", "rank:")
_LIGHTGBM: dict[str, Output] = {"binary": "probabilities", "multiclass": "logits"}
_LIGHTGBM_VALUES = (
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
    "lambdarank",
    "rank_xendcg",
)
_CATBOOST_CLASSES = ("Logloss", "CrossEntropy", "MultiClass")


def xgboost_engine(booster: Any, setting: Setting) -> Engine:
    """Open an ``xgboost.Booster``; its objective says what it answers."""
    name = "the XGBoost booster"
    names = table_names(booster.feature_names, setting.schema)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    output, margin = _XGBOOST.get(objective, ("value" if objective.startswith(_VALUES) else None, False))

    def prepare(frame: Any) -> Any:
        if names is None:
            return setting.codec.to_numbers(frame)
        columns = with_categories(pandas_columns(frame, names, name))
        return columns.set_axis(booster.feature_names, axis=1)

    def predict(rows: Any) -> np.ndarray:
        import xgboost

        return booster.predict(xgboost.DMatrix(rows, enable_categorical=True), output_margin=margin)

    content = bytes(booster.save_raw("ubj"))
    return Engine(name, prepare, predict, content, output=output, certain=output is not None)


def lightgbm_engine(booster: Any, setting: Setting) -> Engine:
    """Open a ``lightgbm.Booster``; its objective says what it answers."""
    name = "the LightGBM booster"
    names = table_names(booster.feature_name(), setting.schema)
    text = booster.model_to_string()
    found = re.search(r"^objective=(\S+)", text, re.MULTILINE)
    objective = found.group(1) if found else ""
    output: Output | None = "value" if objective in _LIGHTGBM_VALUES else _LIGHTGBM.get(objective)
    labels = bool(booster.pandas_categorical)

    def prepare(frame: Any) -> Any:
        if names is None:
            return setting.codec.to_numbers(frame)
        columns = pandas_columns(frame, names, name)
        return with_categories(columns) if labels else columns

    def predict(rows: Any) -> np.ndarray:
        return booster.predict(rows, raw_score=output == "logits")

    return Engine(name, prepare, predict, text, output=output, certain=output is not None)


def catboost_engine(model: Any, setting: Setting) -> Engine:
    """Open a bare ``catboost.CatBoost``, such as one from a file; it knows its loss, its columns and its classes."""
    name = "the CatBoost model"
    names = table_names(model.feature_names_, setting.schema)
    classifies = str(model.get_all_params().get("loss_function", "")).partition(":")[0] in _CATBOOST_CLASSES
    output: Output = "probabilities" if classifies else "value"

    def prepare(frame: Any) -> Any:
        return pandas_columns(frame, names or list(setting.schema.names), name)

    def predict(rows: Any) -> np.ndarray:
        return model.predict(rows, prediction_type="Probability" if classifies else "RawFormulaVal")

    classes = tuple(np.asarray(model.classes_).tolist()) if classifies and len(model.classes_) else None
    return Engine(name, prepare, predict, model, output=output, classes=classes, certain=True)

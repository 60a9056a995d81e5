"""Estimators with scikit-learn's methods, whoever made them; scikit-learn's own are converted where that is exact."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from counterflow.core.errors import ModelError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.agreement import disagreement
from counterflow.models.answers import ask, check_labels, check_probabilities, check_values, one_hot
from counterflow.models.booster_frames import with_categories
from counterflow.models.conversion import NotConvertible, convert_estimator
from counterflow.models.engine import Engine
from counterflow.models.fingerprints import fingerprint
from counterflow.models.formulas import OwnFormula, table_columns
from counterflow.models.setting import Setting, pick, row_count
from counterflow.tables.table import Table

__all__ = ["adapt_estimator", "describe", "estimator_engine", "reads"]

_BY_TYPE = ("xgboost", "lightgbm")
"""Libraries that know categories by the type of their column: text, as it comes from a file, must be made one."""


def adapt_estimator(model: Any, setting: Setting) -> AdaptedModel:
    """Adapt an estimator that has ``predict``.

    Args:
        model: Fitted.
        setting: The table it reads.

    Returns:
        The adapted model, differentiable if it could be converted exactly.

    Raises:
        ModelError: If it is not fitted, reads columns that are not there, or answers in a wrong form.
    """
    name = describe(model)
    predict, judge = _functions(model, name, setting)
    classes = _classes(model, name)
    own = AdaptedModel(
        name=name,
        fingerprint=fingerprint(model),
        classes=classes,
        predict=predict,
        judge=judge,
        probabilistic=classes is None or hasattr(model, "predict_proba"),
    )
    return _with_formula(own, model, setting)


def estimator_engine(model: Any, setting: Setting) -> Engine:
    """Open an estimator whose classes are to have other names than its own.

    Args:
        model: Fitted, with ``predict_proba``, or a regressor.
        setting: The table it reads.

    Returns:
        What feeds it and asks it.
    """
    name = describe(model)
    names = ask(name, reads, model, setting)
    judges = hasattr(model, "predict_proba")
    function = model.predict_proba if judges else model.predict
    return Engine(
        name,
        lambda frame: _input(model, frame, names, name),
        lambda rows: _quietly(function, rows),
        model,
        output="probabilities" if judges else None,
        classes=_classes(model, name) if judges else None,
        certain=judges,
    )


def describe(model: Any) -> str:
    """A model's name for a sentence: a pipeline is known by its last step.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> describe(LogisticRegression())
        'the model LogisticRegression'
    """
    steps = getattr(model, "steps", None)
    if type(model).__name__ == "Pipeline" and steps:
        return f"the pipeline that ends in {type(steps[-1][1]).__name__}"
    return f"the model {type(model).__name__}"


def reads(model: Any, setting: Setting) -> list[str] | None:
    """The columns that an estimator was fitted on, in its order; ``None`` if it does not say and takes the frame."""
    names = _own_names(model)
    if names is not None:
        return [str(name) for name in names]
    count = getattr(model, "n_features_in_", None)
    known = Table(setting.sample).names
    if count is None or count == len(known):
        return None if count is None else known
    if count == len(setting.schema):
        return list(setting.schema.names)
    raise ModelError(
        f"{describe(model)} was fitted on {count} columns without names, but the table has {len(known)} and the schema "
        f"{len(setting.schema)}. Fit it on a data frame, so that it knows its columns by name."
    )


def _own_names(model: Any) -> Any:
    """The names of its columns by scikit-learn's attribute, or by CatBoost's."""
    if type(model).__module__.startswith("catboost"):
        named = [str(name) for name in model.feature_names_]
        return None if named == [str(place) for place in range(len(named))] else named
    return getattr(model, "feature_names_in_", None)


def _input(model: Any, frame: Any, names: list[str] | None, name: str) -> Any:
    if names is None:
        return frame
    columns = pick(frame, names, name)
    if _own_names(model) is None:
        return columns.to_numpy() if hasattr(columns, "to_numpy") else columns
    return with_categories(columns) if type(model).__module__.startswith(_BY_TYPE) else columns


def _functions(model: Any, name: str, setting: Setting) -> tuple[Any, Any]:
    names = ask(name, reads, model, setting)
    classes = _classes(model, name)

    def predict(frame: Any) -> np.ndarray:
        answer = ask(name, _quietly, model.predict, _input(model, frame, names, name))
        rows = row_count(frame)
        if classes is None:
            return check_values(name, answer, rows=rows)
        return check_labels(name, answer, rows=rows, classes=classes)

    def judge(frame: Any) -> np.ndarray:
        if classes is None or not hasattr(model, "predict_proba"):
            return one_hot(predict(frame), classes or ())
        answer = ask(name, _quietly, model.predict_proba, _input(model, frame, names, name))
        return check_probabilities(name, answer, rows=row_count(frame), classes=len(classes))

    return predict, None if classes is None else judge


def _quietly(function: Any, frame: Any) -> Any:
    """Without the notice about column names of an array, and about categories that an encoder was told to ignore."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*feature names")
        warnings.filterwarnings("ignore", message="Found unknown categories")
        return function(frame)


def _classes(model: Any, name: str) -> tuple[Any, ...] | None:
    classes = getattr(model, "classes_", None)
    if classes is None or len(classes) == 0:
        _check_regressor(model, name)
        return None
    if isinstance(classes, list) and classes and isinstance(classes[0], np.ndarray):
        raise ModelError(f"{name} predicts several targets at once. Wrap a function that answers one.")
    return tuple(np.asarray(classes).tolist())


def _check_regressor(model: Any, name: str) -> None:
    from sklearn.base import is_regressor
    from sklearn.utils.validation import check_is_fitted

    if hasattr(model, "__sklearn_tags__"):
        ask(name, check_is_fitted, model)
    if hasattr(model, "predict_proba") or not (hasattr(model, "__sklearn_tags__") and is_regressor(model)):
        raise ModelError(
            f"{name} does not say whether it predicts classes or values: it has no classes_ and is no regressor of "
            "scikit-learn. Wrap its method: models.wrap(model.predict, output='value'), or with output= and classes=."
        )


def _with_formula(own: AdaptedModel, model: Any, setting: Setting) -> AdaptedModel:
    """Try the model on real rows, and put the formula beside it if it says the same there."""
    decided = own.predict(setting.sample)
    judged = None if own.judge is None else own.judge(setting.sample)
    try:
        module = _convert(model, setting)
    except NotConvertible as reason:
        return replace(own, why_not=f"{reason}.")
    formula = OwnFormula(module)
    problem = disagreement(
        formula,
        setting.numbers,
        probabilities=judged if own.probabilistic else None,
        values=decided if own.classes is None else None,
        decided=None if own.classes is None else np.array([own.classes.index(label) for label in decided.tolist()]),
        single=_is_single(model),
    )
    return replace(own, why_not=problem) if problem else replace(own, formula=formula)


def _convert(model: Any, setting: Setting) -> nn.Module:
    names = reads(model, setting)
    if names is None:
        raise NotConvertible(f"{describe(model)} does not say which columns it reads")
    columns = convert_estimator(model, table_columns(setting.schema, names))
    return columns.module(describe(model))


def _is_single(model: Any) -> bool:
    last = getattr(model, "steps", [("", model)])[-1][1]
    weights = getattr(last, "coefs_", [getattr(last, "coef_", None)])[0]
    return getattr(weights, "dtype", None) == np.float32

"""Which converter serves which class of scikit-learn. A new one is a function and one line in its table."""

from typing import Any

from counterflow.models.conversion.columns import Columns, NotConvertible
from counterflow.models.conversion.composites import column_transformer, feature_union, pipeline
from counterflow.models.conversion.predictors import PREDICTORS
from counterflow.models.conversion.transformers import TRANSFORMERS

__all__ = ["convert_estimator", "convert_transformer"]

COMPOSITES = {"Pipeline": pipeline, "ColumnTransformer": column_transformer, "FeatureUnion": feature_union}
SEARCHES = ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")


def convert_transformer(step: Any, columns: Columns) -> Columns:
    """The columns after a fitted transformer, exactly.

    Args:
        step: A fitted transformer of scikit-learn, ``None`` or ``"passthrough"``.
        columns: The columns before it.

    Returns:
        The columns after it.

    Raises:
        NotConvertible: If there is no exact converter for it or for one of its parts.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    name = _sklearn_name(step)
    if name in COMPOSITES:
        return COMPOSITES[name](step, columns, convert_transformer)
    if name not in TRANSFORMERS:
        raise NotConvertible(f"the step {type(step).__name__} has no exact conversion to torch")
    return TRANSFORMERS[name](step, columns)


def convert_estimator(model: Any, columns: Columns) -> Columns:
    """Logits (classifier) or values (regressor) of a fitted scikit-learn model, exactly.

    Args:
        model: A fitted estimator, a pipeline that ends in one, or a search over either.
        columns: The columns that it is given.

    Returns:
        (n, classes) logits or margins, or (n, 1) values.

    Raises:
        NotConvertible: If there is no exact converter for it or for one of its parts.
    """
    name = _sklearn_name(model)
    if name in SEARCHES:
        return convert_estimator(model.best_estimator_, columns)
    if name == "Pipeline":
        for _, part in model.steps[:-1]:
            columns = convert_transformer(part, columns)
        return convert_estimator(model.steps[-1][1], columns)
    if name not in PREDICTORS:
        raise NotConvertible(f"{type(model).__name__} has no exact conversion to torch")
    return PREDICTORS[name](model, columns)


def _sklearn_name(step: Any) -> str:
    """The name of a class of scikit-learn itself; a subclass may compute anything and has none."""
    kind = type(step)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""

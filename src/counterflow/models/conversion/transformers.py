"""Converters of fitted scikit-learn transformers."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterflow.models.conversion.columns import Category, Columns, NotConvertible
from counterflow.models.conversion.stages import FunctionStage, ImputeStage, PolynomialStage, PowerStage

__all__ = ["TRANSFORMERS"]

ELEMENTWISE = {
    np.log1p: torch.log1p,
    np.log: torch.log,
    np.sqrt: torch.sqrt,
    np.exp: torch.exp,
    np.expm1: torch.expm1,
    np.square: torch.square,
    np.abs: torch.abs,
    np.tanh: torch.tanh,
    np.arcsinh: torch.asinh,
    np.cbrt: lambda x: x.sign() * x.abs().pow(1.0 / 3.0),
}


def _name(step: Any) -> str:
    return type(step).__name__


def standard_scaler(step: Any, columns: Columns) -> Columns:
    """``(x - mean) / scale``, either part optional."""
    return columns.scaled(step.mean_ if step.with_mean else None, step.scale_, step=_name(step))


def min_max_scaler(step: Any, columns: Columns) -> Columns:
    """``(x - minimum) * scale + low``, clamped if so set."""
    low, high = step.feature_range
    scaled = columns.scaled(step.data_min_, 1.0 / step.scale_, step=_name(step))
    scaled = replace(scaled, bias=scaled.bias + low)
    if not step.clip:
        return scaled
    return scaled.then(FunctionStage(lambda x: x.clamp(low, high)), scaled.width, step=_name(step))


def max_abs_scaler(step: Any, columns: Columns) -> Columns:
    """``x / scale``."""
    if getattr(step, "clip", False):
        scaled = columns.scaled(None, step.scale_, step=_name(step))
        return scaled.then(FunctionStage(lambda x: x.clamp(-1.0, 1.0)), scaled.width, step=_name(step))
    return columns.scaled(None, step.scale_, step=_name(step))


def robust_scaler(step: Any, columns: Columns) -> Columns:
    """``(x - median) / interquartile range``, either part optional."""
    center = step.center_ if step.with_centering else None
    return columns.scaled(center, step.scale_ if step.with_scaling else None, step=_name(step))


def encoder(step: Any, columns: Columns) -> Columns:
    """Any encoder that treats each column on its own: asked for every category, so that all its options hold."""
    values = [_numbers(known) for known in step.categories_]
    refuses = getattr(step, "handle_unknown", "ignore") == "error"
    coded = columns.coded(values, refuses=refuses, step=_name(step))
    return coded.encoded(lambda labels: _ask(step, labels), step=_name(step))


def _numbers(known: np.ndarray) -> np.ndarray | None:
    """The categories as numbers, or ``None`` if one of them is something else."""
    numbers = known.dtype.kind in "iufb" or all(isinstance(one, int | float | np.number) for one in known)
    return known.astype(np.float64) if numbers else None


def _ask(step: Any, labels: np.ndarray) -> np.ndarray:
    for column, known in zip(labels.T, step.categories_, strict=True):
        if not any(category is None for category in known):
            column[[label is None for label in column]] = np.nan
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was fitted with column names; unknown categories become zeros
            outputs = step.transform(_typed(labels, step.categories_))
    except ValueError as error:
        raise NotConvertible(f"{_name(step)} refuses a category of the schema ({error})") from error
    return np.asarray(outputs.toarray() if hasattr(outputs, "toarray") else outputs, dtype=np.float64)


def _typed(labels: np.ndarray, categories: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers as numbers where every column holds numbers, as the step saw them."""
    return labels.astype(np.float64) if all(known.dtype.kind in "iufb" for known in categories) else labels


def simple_imputer(step: Any, columns: Columns) -> Columns:
    """The fill value for what is missing; nothing where nothing is missing."""
    if step.add_indicator or (isinstance(step.missing_values, float) is False and step.missing_values is not None):
        raise NotConvertible("SimpleImputer with an indicator, or with missing values other than NaN, is not converted")
    fill = step.statistics_
    if any(value is None or value != value for value in fill):
        raise NotConvertible("SimpleImputer drops a column that had no value at all")
    if all(category is None for category in columns.categories):
        return columns.then(ImputeStage(fill.astype(np.float64)), columns.width, step=_name(step))
    if any(category is None for category in columns.categories):
        raise NotConvertible("SimpleImputer on numbers and categories together is not converted")
    filled = [
        Category(category.position, tuple(value if _missing(label) else label for label in category.labels))
        for category, value in zip(columns.categories, fill, strict=True)
        if category is not None
    ]
    return replace(columns, categories=tuple(filled))


def _missing(label: Any) -> bool:
    return label is None or label != label


def function_transformer(step: Any, columns: Columns) -> Columns:
    """The identity, or one of numpy's elementwise functions."""
    if step.func is None:
        return columns
    if step.kw_args or step.func not in ELEMENTWISE:
        named = getattr(step.func, "__name__", "a function")
        raise NotConvertible(f"FunctionTransformer({named}) is code that cannot be read as a formula")
    return columns.then(FunctionStage(ELEMENTWISE[step.func]), columns.width, step=_name(step))


def polynomial_features(step: Any, columns: Columns) -> Columns:
    """Products of powers."""
    return columns.then(PolynomialStage(step.powers_), len(step.powers_), step=_name(step))


def power_transformer(step: Any, columns: Columns) -> Columns:
    """Yeo-Johnson or Box-Cox, then the scaler if there is one."""
    stage = PowerStage(np.asarray(step.lambdas_), box_cox=step.method == "box-cox")
    moved = columns.then(stage, columns.width, step=_name(step))
    return standard_scaler(step._scaler, moved) if step.standardize else moved


def normalizer(step: Any, columns: Columns) -> Columns:
    """Each row divided by its norm; a row of zeros stays."""
    order = {"l1": 1.0, "l2": 2.0, "max": float("inf")}[step.norm]

    def normalize(rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, ord=order, dim=-1, keepdim=True)
        return rows / torch.where(length == 0, 1.0, length)

    return columns.then(FunctionStage(normalize), columns.width, step=_name(step))


def pca(step: Any, columns: Columns) -> Columns:
    """``(x - mean) @ components.T``, whitened if so set."""
    components = step.components_
    if step.whiten:
        components = components / np.sqrt(step.explained_variance_)[:, None]
    return columns.linear(components.T, -(step.mean_ @ components.T), step=_name(step))


def truncated_svd(step: Any, columns: Columns) -> Columns:
    """``x @ components.T``."""
    return columns.linear(step.components_.T, step=_name(step))


def selector(step: Any, columns: Columns) -> Columns:
    """Those columns that the step keeps."""
    return columns.select(step.get_support(indices=True))


TRANSFORMERS = {
    "StandardScaler": standard_scaler,
    "MinMaxScaler": min_max_scaler,
    "MaxAbsScaler": max_abs_scaler,
    "RobustScaler": robust_scaler,
    "OneHotEncoder": encoder,
    "OrdinalEncoder": encoder,
    "TargetEncoder": encoder,
    "SimpleImputer": simple_imputer,
    "FunctionTransformer": function_transformer,
    "PolynomialFeatures": polynomial_features,
    "PowerTransformer": power_transformer,
    "Normalizer": normalizer,
    "PCA": pca,
    "TruncatedSVD": truncated_svd,
    "VarianceThreshold": selector,
    "SelectKBest": selector,
    "SelectPercentile": selector,
    "SelectFromModel": selector,
    "RFE": selector,
    "RFECV": selector,
}

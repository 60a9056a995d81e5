"""The one door for users' models."""

from collections.abc import Callable
from typing import Any

from torch import nn

from counterflow.core.errors import ModelError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.engines import adapt_engine, is_engine
from counterflow.models.estimators import adapt_estimator
from counterflow.models.functions import adapt_bare_function, adapt_function
from counterflow.models.networks import adapt_network
from counterflow.models.setting import Setting
from counterflow.models.table_classifier import TableClassifier, adapt_table_classifier
from counterflow.models.table_regressor import TableRegressor, adapt_table_regressor
from counterflow.models.wrapping import WrappedModel
from counterflow.tables.codec import TableCodec
from counterflow.tables.schema import Schema

__all__ = ["ADAPTERS", "adapt"]


def _refuse_bare_network(model: Any, setting: Setting) -> AdaptedModel:
    raise ModelError(
        f"the network {type(model).__name__} does not say what it answers. Wrap it: "
        "models.wrap(net, encode=..., output='logits' | 'probabilities' | 'value', classes=[...])."
    )


def _is_wrapped_network(model: Any) -> bool:
    return isinstance(model, WrappedModel) and isinstance(model.model, nn.Module)


# The first test that holds decides. A new kind of model is one file and one line here.
ADAPTERS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Setting], AdaptedModel]], ...] = (
    (lambda model: isinstance(model, TableClassifier), adapt_table_classifier),
    (lambda model: isinstance(model, TableRegressor), adapt_table_regressor),
    (_is_wrapped_network, adapt_network),
    (is_engine, adapt_engine),
    (lambda model: isinstance(model, WrappedModel), adapt_function),
    (lambda model: isinstance(model, nn.Module), _refuse_bare_network),
    (lambda model: hasattr(model, "predict") and not isinstance(model, type), adapt_estimator),
    (lambda model: callable(model) and not isinstance(model, type), adapt_bare_function),
)


def adapt(model: Any, schema: Schema, *, like: Any, codec: TableCodec | None = None) -> AdaptedModel:
    """Put a user's model behind one face, and try it on some of the user's rows.

    Args:
        model: A fitted estimator with ``predict`` (and ``predict_proba``), a booster, an ONNX session, the path of a
            file of these, a function on the user's frame, or what :func:`wrap` gives.
        schema: The columns of the table.
        like: A frame of the user's rows, of the kind and types that the model reads; up to some hundred are tried.
        codec: The codec of ``schema``, if there is one already.

    Returns:
        The adapted model. Its formula, if it has one, agreed with the model on the rows tried; otherwise ``why_not``
        says in a sentence why it is a black box.

    Raises:
        ModelError: If the model is not fitted, fails, answers in a wrong form, or does not say what it answers.
        MissingExtra: If it is a file, and the library that reads it is not installed.
        DataError: If ``like`` does not fit the schema.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from counterflow.tables import Column, Schema
        >>> import numpy as np, torch
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = adapt(LogisticRegression().fit(x, ["no", "no", "yes", "yes"]), Schema((Column("x0"),)), like=x)
        >>> model.classes, model.differentiable
        (('no', 'yes'), True)
        >>> torch.softmax(model.logits(torch.tensor([[1.5]], dtype=torch.float64)), dim=-1).round(decimals=3)
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    if isinstance(model, AdaptedModel):
        return model
    setting = Setting.of(schema, codec or TableCodec(schema), like)
    for applies, adapter in ADAPTERS:
        if applies(model):
            return adapter(model, setting)
    raise ModelError(
        f"a model must be a fitted estimator, a booster, the path of an ONNX file, a function on the frame or "
        f"models.wrap(...), got {type(model).__name__}."
    )

"""The models that counterflow fits itself, in and out of saved folders."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from counterflow.models.table_classifier import TableClassifier
from counterflow.models.table_linear import LinearTableModel
from counterflow.models.table_regressor import TableRegressor

__all__ = ["own_parts", "restore_own"]


def own_parts(model: Any) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The settings and tensors of a model of our own; ``None`` for a user's, which is never saved.

    Example:
        >>> own_parts("a model of yours") is None
        True
    """
    return model.to_parts() if isinstance(model, LinearTableModel) else None


def restore_own(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LinearTableModel:
    """The model that :func:`own_parts` took apart: a classifier has classes, a regressor none."""
    kind = TableClassifier if "classes" in config else TableRegressor
    return kind.from_parts(config, tensors)

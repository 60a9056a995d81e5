"""What every ensemble of trees becomes: leaves, predictions, and plain data to save."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.regression.leaves.catboost_leaves import CatBoostLeaves
from counterflow.regression.leaves.forest_leaves import ForestLeaves
from counterflow.regression.leaves.lightgbm_leaves import LightGBMLeaves
from counterflow.regression.leaves.xgboost_leaves import XGBoostLeaves

__all__ = ["LeafModel", "as_leaf_model", "leaf_model_from_parts"]


@runtime_checkable
class LeafModel(Protocol):
    """Fitted trees of any library.

    Rows are numbers in schema order: categories as their codes, missing values as NaN.
    """

    kind: ClassVar[str]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many leaf numbers each tree uses: all lie below."""
        ...

    def leaves(self, rows: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows trees"]:
        """The number of the leaf that each row falls into, tree by tree."""
        ...

    def predict(self, rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows targets"]:
        """What the trees predict."""
        ...

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder; nothing is pickled."""
        ...


_KINDS: dict[str, Any] = {form.kind: form for form in (CatBoostLeaves, LightGBMLeaves, XGBoostLeaves, ForestLeaves)}


def as_leaf_model(model: Any, *, columns: int, categorical: tuple[int, ...] = ()) -> LeafModel:
    """Put a fitted booster or forest behind the one face.

    Args:
        model: A regressor of CatBoost, LightGBM or XGBoost (or a bare booster), or a forest or gradient boosting of
            scikit-learn; fitted on the columns in the same order, categories as their codes.
        columns: How many columns the rows have.
        categorical: The places of columns of categories.

    Returns:
        The model as leaves.

    Raises:
        ArgumentError: If it is none of these, is not fitted, or was fitted on another number of columns.
    """
    for form in _KINDS.values():
        if form.reads(model):
            return form.wrap(model, columns=columns, categorical=categorical)
    raise ArgumentError(
        "trees must be a fitted regressor of CatBoost, LightGBM or XGBoost, or a random forest, extra trees or "
        f"gradient boosting of scikit-learn, got {type(model).__name__}. Or say how to fit them: Trees('catboost')."
    )


def leaf_model_from_parts(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LeafModel:
    """Read what :meth:`LeafModel.to_parts` gave."""
    return _KINDS[config["kind"]].from_parts(config, tensors)

"""XGBoost as leaves."""

import re
from typing import Any, ClassVar

import numpy as np

from counterflow.regression.leaves.boosters import AbstractBoosterLeaves

__all__ = ["XGBoostLeaves", "xgboost_matrix"]


class XGBoostLeaves(AbstractBoosterLeaves):
    """Trees of XGBoost, one booster for each target."""

    kind: ClassVar[str] = "xgboost"

    @classmethod
    def reads(cls, model: Any) -> bool:
        """Whether a model is of this library."""
        return type(model).__module__.partition(".")[0] == "xgboost"

    @classmethod
    def _open(cls, model: Any) -> Any:
        return model.get_booster() if hasattr(model, "get_booster") else model

    @classmethod
    def _reads_columns(cls, booster: Any) -> int:
        return booster.num_features()

    @classmethod
    def _sizes(cls, booster: Any) -> list[int]:
        nodes = [re.findall(r"^\s*(\d+):", tree, re.MULTILINE) for tree in booster.get_dump()]
        return [1 + max(map(int, numbers)) for numbers in nodes]

    def _prepared(self, rows: np.ndarray) -> Any:
        return xgboost_matrix(rows, self.categorical)

    @classmethod
    def _leaves(cls, booster: Any, data: Any) -> np.ndarray:
        return booster.predict(data, pred_leaf=True).reshape(data.num_row(), -1)

    @classmethod
    def _predict(cls, booster: Any, data: Any) -> np.ndarray:
        return booster.predict(data)

    @classmethod
    def _to_bytes(cls, booster: Any) -> bytes:
        return bytes(booster.save_raw("ubj"))

    @classmethod
    def _from_bytes(cls, content: bytes) -> Any:
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        return booster


def xgboost_matrix(rows: np.ndarray, categorical: tuple[int, ...]) -> Any:
    """Rows as XGBoost takes them, with the columns of categories named as such."""
    import xgboost

    types = ["c" if place in categorical else "q" for place in range(rows.shape[1])]
    return xgboost.DMatrix(rows, feature_types=types, enable_categorical=bool(categorical))

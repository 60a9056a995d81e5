"""CatBoost as leaves."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from counterflow.regression.leaves.boosters import AbstractBoosterLeaves

__all__ = ["CatBoostLeaves", "catboost_rows"]


class CatBoostLeaves(AbstractBoosterLeaves):
    """Trees of CatBoost, which handles several targets in one model."""

    kind: ClassVar[str] = "catboost"

    @classmethod
    def reads(cls, model: Any) -> bool:
        """Whether a model is of this library."""
        return type(model).__module__.partition(".")[0] == "catboost"

    @classmethod
    def _open(cls, model: Any) -> Any:
        if not model.is_fitted():
            raise ValueError("call fit first.")
        return model

    @classmethod
    def _reads_columns(cls, booster: Any) -> int:
        return len(booster.feature_names_)

    @classmethod
    def _sizes(cls, booster: Any) -> list[int]:
        return [int(size) for size in booster.get_tree_leaf_counts()]

    def _prepared(self, rows: np.ndarray) -> Any:
        return catboost_rows(rows, self.categorical)

    @classmethod
    def _leaves(cls, booster: Any, data: Any) -> np.ndarray:
        return np.asarray(booster.calc_leaf_indexes(data))

    @classmethod
    def _predict(cls, booster: Any, data: Any) -> np.ndarray:
        return booster.predict(data, prediction_type="RawFormulaVal")

    @classmethod
    def _to_bytes(cls, booster: Any) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.cbm"
            booster.save_model(str(path), format="cbm")
            return path.read_bytes()

    @classmethod
    def _from_bytes(cls, content: bytes) -> Any:
        import catboost

        return catboost.CatBoost().load_model(blob=content)


def catboost_rows(rows: np.ndarray, categorical: tuple[int, ...]) -> Any:
    """Rows as CatBoost takes them: categories as whole numbers among objects; a missing one is a category."""
    if not categorical:
        return rows
    mixed = rows.astype(object)
    for place in categorical:
        mixed[:, place] = np.nan_to_num(rows[:, place], nan=-1).astype(np.int64)
    return mixed

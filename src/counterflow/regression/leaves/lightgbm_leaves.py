"""LightGBM as leaves."""

from typing import Any, ClassVar

import numpy as np

from counterflow.regression.leaves.boosters import AbstractBoosterLeaves

__all__ = ["LightGBMLeaves"]


class LightGBMLeaves(AbstractBoosterLeaves):
    """Trees of LightGBM, one booster for each target."""

    kind: ClassVar[str] = "lightgbm"

    @classmethod
    def reads(cls, model: Any) -> bool:
        """Whether a model is of this library."""
        return type(model).__module__.partition(".")[0] == "lightgbm"

    @classmethod
    def _open(cls, model: Any) -> Any:
        return getattr(model, "booster_", model)

    @classmethod
    def _reads_columns(cls, booster: Any) -> int:
        return booster.num_feature()

    @classmethod
    def _sizes(cls, booster: Any) -> list[int]:
        return [tree["num_leaves"] for tree in booster.dump_model()["tree_info"]]

    def _prepared(self, rows: np.ndarray) -> Any:
        return rows

    @classmethod
    def _leaves(cls, booster: Any, data: Any) -> np.ndarray:
        return np.asarray(booster.predict(data, pred_leaf=True)).reshape(len(data), -1)

    @classmethod
    def _predict(cls, booster: Any, data: Any) -> np.ndarray:
        return booster.predict(data)

    @classmethod
    def _to_bytes(cls, booster: Any) -> bytes:
        return booster.model_to_string().encode()

    @classmethod
    def _from_bytes(cls, content: bytes) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=content.decode())

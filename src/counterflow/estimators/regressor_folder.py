"""What a regressor leaves in a folder, and how it comes back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from counterflow.estimators.inputs import columns_from_plain, columns_to_plain
from counterflow.estimators.regressor_intervals import Conformal
from counterflow.estimators.regressor_law import TableLaw
from counterflow.estimators.regressor_rows import RowReader
from counterflow.persistence import join_parts, load_folder, save_folder
from counterflow.regression import DensityRegression
from counterflow.tables import Schema

if TYPE_CHECKING:
    from counterflow.estimators.flow_regressor import FlowRegressor

__all__ = ["load_regressor", "save_regressor"]

_KIND = "regressor"


def save_regressor(estimator: "FlowRegressor", folder: str | Path) -> Path:
    """Save a fitted regressor, all or nothing."""
    law = estimator.law_
    regression, tensors = law.regression.to_parts()
    rows, units = law.rows.to_parts()
    conformal = estimator.conformal_
    scores = {} if conformal is None else {"conformal": {"scores": torch.from_numpy(conformal.scores)}}
    config = {
        "params": _params(estimator),
        "regression": regression,
        "rows": rows,
        "flat": law.flat,
        "whole": list(law.whole),
        "names": None if law.names is None else list(law.names),
        "calibrated": conformal is not None,
        "columns": columns_to_plain(estimator),
    }
    return save_folder(folder, _KIND, config=config, tensors=join_parts({**tensors, "rows": units, **scores}))


def load_regressor(estimator: "FlowRegressor", folder: str | Path, *, embedding: Any) -> "FlowRegressor":
    """Fill a regressor with what :func:`save_regressor` wrote."""
    saved = load_folder(folder, _KIND)
    config = saved.config
    regression = DensityRegression.from_parts(config["regression"], saved, embedding=embedding)
    rows = RowReader.from_parts(config["rows"], saved.part("rows"))
    conformal = Conformal(saved.part("conformal")["scores"].numpy()) if config["calibrated"] else None
    params = config["params"]
    schema = None if params["schema"] is None else Schema.from_dict(params["schema"])
    estimator.set_params(**{**params, "schema": schema, "method": regression.method})
    columns_from_plain(estimator, config["columns"])
    names = None if config["names"] is None else tuple(config["names"])
    law = TableLaw(regression, rows, flat=config["flat"], whole=tuple(config["whole"]), names=names)
    estimator._keep(law, conformal)
    return estimator


def _params(estimator: "FlowRegressor") -> dict[str, Any]:
    """The constructor's arguments as plain data; the method is saved with what it learned."""
    params = {**estimator.get_params(deep=False), "method": None}
    seed = params["random_state"]
    return {
        **params,
        "schema": None if params["schema"] is None else params["schema"].to_dict(),
        "device": str(params["device"]),
        "random_state": int(seed) if isinstance(seed, int | np.integer) else None,
    }

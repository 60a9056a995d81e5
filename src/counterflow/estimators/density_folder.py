"""What a density estimator leaves in a folder, and how it comes back: plain settings, and tensors."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from counterflow.core.errors import PersistenceError
from counterflow.core.outcomes import FitOutcome
from counterflow.estimators.table_density import TableDensity
from counterflow.tables import Schema, backend_of, empty_frame
from counterflow.training import EpochRecord, FitReport

__all__ = [
    "blank_to_plain",
    "params_from_plain",
    "params_to_plain",
    "plain_to_blank",
    "report_from_plain",
    "report_to_plain",
]


def params_to_plain(params: Mapping[str, Any], density: TableDensity) -> dict[str, Any]:
    """The constructor's arguments as plain data; a function that built a flow becomes the name of its recipe.

    Raises:
        PersistenceError: A function composed the flow by hand, so that nothing can build it again.
    """
    config = density.flow.config
    if config is None:
        raise PersistenceError(
            "only a density whose flow a recipe built can be saved to a folder, got one composed by hand. "
            "Build it from a recipe such as flows.maf, or keep density_.flow.state_dict()."
        )
    seed = params["random_state"]
    return {
        **params,
        "flow": params["flow"] if isinstance(params["flow"], str) else config["recipe"],
        "hidden": [int(width) for width in params["hidden"]],
        "schema": None if params["schema"] is None else params["schema"].to_dict(),
        "checkpoint": None,
        "device": str(params["device"]),
        "random_state": int(seed) if isinstance(seed, int | np.integer) else None,
    }


def params_from_plain(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Read what :func:`params_to_plain` gave."""
    schema = None if plain["schema"] is None else Schema.from_dict(plain["schema"])
    return {**plain, "hidden": tuple(plain["hidden"]), "schema": schema}


def report_to_plain(report: FitReport) -> dict[str, Any]:
    """A training report as plain data; NaN, which JSON cannot hold, becomes ``None``."""
    history = [[None if math.isnan(value) else value for value in record] for record in report.history]
    return {
        "best_validation": None if math.isnan(report.best_validation) else report.best_validation,
        "best_epoch": report.best_epoch,
        "epochs": report.epochs,
        "seconds": report.seconds,
        "outcome": report.outcome.value,
        "history": history,
    }


def report_from_plain(plain: Mapping[str, Any]) -> FitReport:
    """Read what :func:`report_to_plain` gave."""
    records: list[list[Any]] = [
        [math.nan if value is None else value for value in record] for record in plain["history"]
    ]
    best = math.nan if plain["best_validation"] is None else plain["best_validation"]
    outcome = FitOutcome(plain["outcome"])
    history = tuple(EpochRecord(*record) for record in records)
    return FitReport(best, plain["best_epoch"], plain["epochs"], plain["seconds"], outcome, history)


def blank_to_plain(blank: Any) -> dict[str, Any]:
    """What kind of frame was fitted, as plain data."""
    kind = backend_of(blank)
    return {"backend": kind, "dtype": blank.dtype.str if kind == "numpy" else None}


def plain_to_blank(plain: Mapping[str, Any], schema: Schema) -> Any:
    """A frame without rows of the kind that was fitted; labels of polars and pyarrow come as text."""
    if plain["backend"] == "numpy":
        return np.zeros((0, len(schema)), dtype=np.dtype(plain["dtype"]))
    known = {column.name: column.dtype or "Float64" for column in schema.columns}
    blank = empty_frame(known, plain["backend"])
    if plain["backend"] == "pandas":
        for column in schema.columns:
            if column.dtype in ("Categorical", "Enum"):
                labels = blank[column.name].astype("category").cat.set_categories(list(column.categories))
                blank[column.name] = labels.cat.as_ordered() if column.dtype == "Enum" else labels
    return blank

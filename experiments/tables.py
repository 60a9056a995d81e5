"""The tables of the counterfactual experiments: frames, schemas, and what the papers did with them."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import counterflow
from counterflow import Schema

__all__ = ["TABLES", "TableData", "all_data", "data_folder", "load_table", "machine", "results_path"]


def all_data() -> Path:
    """Where all data lie: the folder named by COUNTERFLOW_DATA, else ``shared/data`` beside the repository."""
    return Path(os.environ.get("COUNTERFLOW_DATA", Path(__file__).parents[1] / "../shared/data"))


def data_folder() -> Path:
    """Where the tables lie."""
    return all_data() / "tabular_cf"


def results_path(name: str) -> Path:
    """The file of a result."""
    path = Path(__file__).parent / "results" / name
    path.parent.mkdir(exist_ok=True)
    return path


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "counterflow": counterflow.__version__,
    }


@dataclass(frozen=True)
class TableData:
    """A table to explain.

    Args:
        name: What it is called.
        features: The rows.
        labels: Their classes.
        schema: The columns, with the target named.
    """

    name: str
    features: pd.DataFrame
    labels: np.ndarray
    schema: Schema


def load_table(name: str, *, rows: int | None = None) -> TableData:
    """Load one of :data:`TABLES`; ``rows`` takes so many at random (seed 0)."""
    frame, target, settings = TABLES[name]()
    if rows is not None and rows < len(frame):
        frame = frame.iloc[np.random.default_rng(0).permutation(len(frame))[:rows]].reset_index(drop=True)
    schema = Schema.infer(frame, target=target, **settings)
    return TableData(name, frame.drop(columns=target), frame[target].to_numpy(), schema)


def _read(name: str, **options: object) -> pd.DataFrame:
    return pd.read_csv(data_folder() / f"{name}.csv.gz", **options)


def _moons() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("moons", header=None, skiprows=1)
    frame.columns = ["x0", "x1", "class"]
    return frame.assign(**{"class": frame["class"].astype(int).astype(str)}), "class", {}


def _wine() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("wine")
    return frame.assign(Target=frame["Target"].astype(str)), "Target", {}


def _digits() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("digits")
    return frame.assign(target=frame["target"].astype(int).astype(str)), "target", {}


def _heloc() -> tuple[pd.DataFrame, str, dict]:
    return _read("heloc"), "RiskPerformance", {"codes": [-7, -8, -9]}


def _adult() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("adult_raw", skipinitialspace=True).drop(columns=["fnlwgt", "education-num"])
    return frame.drop_duplicates(ignore_index=True), "class", {"protected": ["race", "sex", "native-country"]}


def _bank() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("bank_marketing", index_col=0)
    return frame.reset_index(drop=True), "y", {}


def _credit() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("give_me_some_credit_full", index_col=0).dropna().reset_index(drop=True)
    return frame.assign(SeriousDlqin2yrs=frame["SeriousDlqin2yrs"].astype(str)), "SeriousDlqin2yrs", {}


_COMPAS = [
    "age", "sex", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count", "c_charge_degree",
    "two_year_recid",
]  # fmt: skip


def _compas() -> tuple[pd.DataFrame, str, dict]:
    frame = _read("compas_two_years_deidentified")
    usual = frame["days_b_screening_arrest"].abs().le(30) & frame["is_recid"].ne(-1) & frame["c_charge_degree"].ne("O")
    frame = frame.loc[usual & frame["score_text"].ne("N/A"), _COMPAS].reset_index(drop=True)
    frame = frame.assign(two_year_recid=frame["two_year_recid"].map({0: "no", 1: "yes"}))
    return frame, "two_year_recid", {"protected": ["sex", "race"]}


TABLES = {
    "moons": _moons,
    "wine": _wine,
    "digits": _digits,
    "heloc": _heloc,
    "adult": _adult,
    "bank": _bank,
    "credit": _credit,
    "compas": _compas,
}
"""For each name what reads it: a frame, its target, and what to tell :meth:`Schema.infer`."""

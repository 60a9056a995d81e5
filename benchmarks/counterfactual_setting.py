"""The classifier of the comparison of counterfactual methods, fitted alike in every environment.

This file imports no counterflow: the peers' environments read it too.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

__all__ = ["TARGET", "Setting", "fit_classifier", "read_setting", "write_setting"]

TARGET = "wished"


@dataclass(frozen=True)
class Setting:
    """One data set and one seed.

    Args:
        name: The data set.
        seed: Of the split, the classifier and the methods.
        continuous: The numeric columns; all others are categories.
        vary: The columns that may change.
        count: Answers for each row.
        rows: How many of the rows each method of the peer explains.
    """

    name: str
    seed: int
    continuous: list[str]
    vary: list[str]
    count: int
    rows: dict[str, int]


def write_setting(setting: Setting, folder: Path, *, train: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Write what a peer needs: the setting, the training rows with their labels, and the rows to explain."""
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    rows.to_csv(folder / "rows.csv", index=False)
    (folder / "setting.json").write_text(json.dumps(asdict(setting), indent=1) + "\n", encoding="utf-8")


def read_setting(folder: Path) -> tuple[Setting, pd.DataFrame, pd.DataFrame]:
    """The setting, the training rows and the rows to explain."""
    setting = Setting(**json.loads((folder / "setting.json").read_text(encoding="utf-8")))
    train, rows = (_read(folder / name, setting) for name in ("train.csv", "rows.csv"))
    return setting, train, rows


def fit_classifier(setting: Setting, train: pd.DataFrame) -> Pipeline:
    """A network of 32 units on standardized numbers and one-hot categories; 1 is the wished class."""
    categorical = [name for name in train.columns if name not in (*setting.continuous, TARGET)]
    encode = make_column_transformer(
        (StandardScaler(), setting.continuous), (OneHotEncoder(handle_unknown="ignore"), categorical)
    )
    network = MLPClassifier((32,), alpha=1e-2, early_stopping=True, random_state=setting.seed)
    return make_pipeline(encode, network).fit(train.drop(columns=TARGET), train[TARGET])


def _read(path: Path, setting: Setting) -> pd.DataFrame:
    frame = pd.read_csv(path, keep_default_na=False)
    labels = [name for name in frame.columns if name not in (*setting.continuous, TARGET)]
    return frame.astype({name: object for name in labels})

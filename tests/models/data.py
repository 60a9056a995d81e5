"""Real rows that scikit-learn bundles, as the frames that users have."""

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from counterflow.models import adapt
from counterflow.tables import Column, Kind, Schema, TableCodec

LEVELS = ("low", "middle", "high")


@cache
def _numeric(name: str):
    loaded = {"cancer": load_breast_cancer, "iris": load_iris, "wine": load_wine, "diabetes": load_diabetes}[name]
    data = loaded(as_frame=True)
    return data.data.iloc[:, :6], data.target


def numeric(name: str):
    """Six numeric columns (or fewer) and the target."""
    rows, target = _numeric(name)
    return rows.copy(), target.to_numpy()


def mixed(kind: str = "pandas"):
    """Wine with a text, a Boolean and a whole-number column beside two numeric ones; three classes."""
    wine, target = _numeric("wine")
    frame = pd.DataFrame(
        {
            "alcohol": wine["alcohol"],
            "ash": [LEVELS[level] for level in pd.cut(wine["ash"], 3, labels=False)],
            "sour": wine["malic_acid"] > 2,
            "magnesium": wine["magnesium"].astype(int),
            "tens": (wine["alcalinity_of_ash"] // 5).astype(int),
        }
    )
    labels = np.array(["barolo", "grignolino", "barbera"])[target]
    return (frame if kind == "pandas" else pl.from_pandas(frame)), labels


def mixed_schema() -> Schema:
    return Schema(
        (
            Column("alcohol"),
            Column("ash", Kind.ORDINAL, categories=LEVELS),
            Column("sour", Kind.BINARY, categories=(False, True)),
            Column("magnesium", Kind.INTEGER),
            Column("tens", Kind.INTEGER),
        )
    )


def schema_of(frame) -> Schema:
    return Schema(tuple(Column(str(name)) for name in frame.columns))


def numbers_of(schema, frame) -> torch.Tensor:
    return torch.from_numpy(TableCodec(schema).to_numbers(frame))


def adapted(model, frame, schema=None):
    schema = schema or schema_of(frame)
    return adapt(model, schema, like=frame), numbers_of(schema, frame)


def softmax(logits: torch.Tensor) -> np.ndarray:
    return torch.softmax(logits, dim=-1).numpy()

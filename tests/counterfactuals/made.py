"""A made-up loan table of every kind of column, models of it, and one explainer trained on it for all tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import torch
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from counterflow import CounterfactualExplainer
from counterflow.counterfactuals import background
from counterflow.tables import Atom, Column, Schema, TableCodec

HOUSING = ("own", "rent", "free")
SCHOOL = ("basic", "trade", "college", "degree")
APPROVED, REFUSED = "approved", "refused"
ROWS = 700


def loan_schema() -> Schema:
    """Every kind of column; ``accounts`` has a special code, ``gain`` an inflated zero, ``sex`` is protected."""
    return Schema(
        (
            Column("sex", "binary", categories=("f", "m"), protected=True),
            Column("age", "integer", lower=18, upper=90, direction="increase"),
            Column("income", lower=0.0, decimals=1),
            Column("debt", lower=0.0),
            Column("accounts", "integer", lower=0, upper=20, atoms=(Atom(-9.0),), verb="close"),
            Column("gain", lower=0.0, decimals=2, atoms=(Atom(0.0, kind="inflation"),)),
            Column("housing", "categorical", categories=HOUSING),
            Column("school", "ordinal", categories=SCHOOL),
        ),
        target="loan",
    )


def loan_frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Rows in which the columns hang together: who earns more owes more, owns more and has learned longer."""
    random = np.random.default_rng(seed)
    wealth = random.normal(size=rows)
    school = np.clip(np.round(1.5 + wealth + random.normal(size=rows) * 0.8), 0, 3).astype(int)
    accounts = np.clip(np.round(4 - wealth + random.normal(size=rows) * 1.5), 0, 20).astype(int)
    gain = np.round(np.exp(2 + 0.5 * wealth + 0.3 * random.normal(size=rows)), 2)
    housing = np.clip(np.round(1 - 0.7 * wealth + 0.6 * random.normal(size=rows)), 0, 2).astype(int)
    return pd.DataFrame(
        {
            "sex": np.array(["f", "m"])[random.integers(2, size=rows)],
            "age": np.clip(np.round(42 + 11 * random.normal(size=rows) + 3 * wealth), 18, 90).astype(int),
            "income": np.round(1000 * np.exp(0.35 * wealth + 0.2 * random.normal(size=rows)), 1),
            "debt": 300 * np.exp(0.4 * wealth + 0.4 * random.normal(size=rows)),
            "accounts": np.where(random.random(rows) < 0.08, -9, accounts),
            "gain": np.where(random.random(rows) < 0.55, 0.0, gain),
            "housing": np.array(HOUSING)[housing],
            "school": np.array(SCHOOL)[school],
        }
    )


def loan_labels(frame: pd.DataFrame) -> np.ndarray:
    """Who was approved: by income, debt, accounts, housing and schooling, with chance."""
    score = (
        (frame["income"] - 1000) / 350
        - (frame["debt"] - 320) / 250
        - 0.35 * (frame["accounts"].clip(lower=0) - 4)
        + 0.7 * (frame["housing"] == "own")
        + 0.4 * (frame["school"].map(SCHOOL.index) - 1.5)
        + 0.5 * (frame["gain"] > 0)
        + 0.01 * (frame["age"] - 42)
    )
    chance = np.random.default_rng(1).logistic(size=len(frame)) * 0.4
    return np.where(score + chance > 0.2, APPROVED, REFUSED)


@cache
def loan_numbers() -> np.ndarray:
    """The training table as numbers."""
    return TableCodec(loan_schema()).to_numbers(loan_frame())


@cache
def loan_model():
    """What a user brings: a scikit-learn pipeline on the frame's own columns."""
    encode = ColumnTransformer(
        [
            ("labels", OneHotEncoder(), ["sex", "housing", "school"]),
            ("numbers", StandardScaler(), ["age", "income", "debt", "accounts", "gain"]),
        ]
    )
    frame = loan_frame()
    return make_pipeline(encode, LogisticRegression(C=10.0, max_iter=1000)).fit(frame, loan_labels(frame))


@contextmanager
def short_schooling(epochs: int = 12) -> Iterator[None]:
    """Train flows for few epochs: what the engine promises does not hang on good flows."""
    usual = background.schooling

    def hasty(plan, rows, **kind):
        return replace(usual(plan, rows, **kind), max_epochs=epochs, batch_size=64, learning_rate=3e-3)

    with mock.patch.object(background, "schooling", hasty):
        yield


@cache
def loan_explainer() -> CounterfactualExplainer:
    """Trained once a process."""
    frame = loan_frame()
    explainer = CounterfactualExplainer(loan_model(), schema=loan_schema(), random_state=3)
    with short_schooling():
        return explainer.fit(frame, loan_labels(frame))


def variant(explainer: CounterfactualExplainer, method) -> CounterfactualExplainer:
    """The same trained explainer with another method."""
    other = copy(explainer)
    other.method = method
    return other


def refused_rows(count: int, seed: int = 7) -> pd.DataFrame:
    """Fresh rows that the model refuses."""
    fresh = loan_frame(8 * count + 40, seed)
    return fresh[loan_model().predict(fresh) == REFUSED].head(count).reset_index(drop=True)


def same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Equal, where a missing value equals a missing value."""
    return (a == b) | (a.isnan() & b.isnan())

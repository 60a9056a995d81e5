"""One small real answer for all tests of this room: a mixed table, two classes, two answers a row."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from counterflow.counterfactuals import PPCEF, Question, background, explain, learn_background
from counterflow.models import adapt
from counterflow.tables import Constraints, Schema, TableCodec


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """Figures that pyplot keeps, of this test or of those before it, are closed."""
    plt.close("all")
    yield
    plt.close("all")


def applicants(rows: int = 120) -> tuple[pd.DataFrame, np.ndarray]:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": generator.normal(1000, 250, rows).round(),
            "accounts": generator.integers(0, 7, rows),
            "home": generator.choice(["own", "rent"], rows),
            "age": generator.integers(20, 60, rows),
        }
    )
    score = frame.income - 90 * frame.accounts + 500 * (frame.home == "own")
    return frame, np.where(score > 1000, "approved", "refused")


@pytest.fixture(scope="session")
def answer():
    frame, decisions = applicants()
    schema = Schema.infer(frame).edit({"income": {"unit": "$"}, "age": {"direction": "increase"}})
    encode = make_column_transformer((StandardScaler(), ["income", "accounts", "age"]), (OneHotEncoder(), ["home"]))
    model = adapt(make_pipeline(encode, LogisticRegression()).fit(frame, decisions), schema, like=frame)
    labels = np.array([model.classes.index(label) for label in decisions])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_SMALL_TABLE_EPOCHS", 3, raising=False)  # lightly trained: only pictures are tested
        learned = learn_background(schema, TableCodec(schema).to_numbers(frame), labels, classes=2, seed=0)
    rows = pd.concat([frame[decisions == "refused"].iloc[:7], frame[decisions == "approved"].iloc[:2]])
    question = Question(
        ["approved"] * len(rows),
        count=2,
        constraints=Constraints(immutable=["age"], ranges={"income": (0, 3000)}, max_changes=3),
    )
    hashes = {
        "model": "0123456789abcdef" * 4,
        "model_name": "LogisticRegression",
        "seed": 0,
        "versions": {"counterflow": "0.1.0"},
    }
    return explain(question, rows, method=PPCEF(max_steps=30), background=learned, model=model, provenance=hashes)


@pytest.fixture
def ax():
    """Axes of a figure that pyplot never hears of."""
    return Figure(figsize=(8, 4), layout="constrained").add_subplot()

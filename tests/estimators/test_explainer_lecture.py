"""The lecture's loan: age 28, income 800, debt 200, five accounts; the model approves at 1000 and three accounts.

The model is a logistic regression that learns the rule "income less 100 for each account must exceed 650" from a
made-up table. One standard deviation is 200 of income and two accounts, so both roads cost the same and the rule asks
for two standard deviations: the shortest way, in the Euclidean sense, goes half of each road.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterflow import Constraints, CounterfactualExplainer
from counterflow.core.outcomes import RowStatus
from counterflow.tables import Column, Schema
from tests.counterfactuals.made import short_schooling

PERSON = pd.DataFrame({"age": [28], "income": [800], "debt": [200], "accounts": [5]})
RULES = Constraints(immutable=["age"], increase_only=["income"], decrease_only=["accounts"])
SCHEMA = Schema(
    (
        Column("age", "integer", lower=18, upper=99),
        Column("income", "integer", lower=0, step=100),
        Column("debt", lower=0, decimals=0),
        Column("accounts", "integer", lower=0, verb="close"),
    ),
    target="loan",
)


def table(rows=900):
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.clip(np.round(random.normal(38, 11, rows)), 18, 80).astype(int),
            "income": (np.clip(np.round(random.normal(10, 2, rows)), 3, 18) * 100).astype(int),
            "debt": np.clip(np.round(random.normal(220, 60, rows)), 0, 500),
            "accounts": np.clip(np.round(random.normal(4, 2, rows)), 0, 10).astype(int),
        }
    )


@pytest.fixture(scope="module")
def explainer():
    frame = table()
    approved = frame["income"] - 100 * frame["accounts"] > 650
    labels = np.where(approved, "approved", "refused")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1000.0)).fit(frame, labels)
    with short_schooling(20):
        return CounterfactualExplainer(model, schema=SCHEMA, random_state=0).fit(frame, labels)


def test_the_model_decides_as_in_the_lecture(explainer):
    assert explainer.model.predict(PERSON).tolist() == ["refused"]
    assert explainer.model.predict(PERSON.assign(income=1000, accounts=3)).tolist() == ["approved"]
    for income, accounts in ((1000, 4), (900, 3), (1100, 5), (800, 2)):
        assert explainer.model.predict(PERSON.assign(income=income, accounts=accounts)).tolist() == ["refused"]


def test_no_other_legal_row_is_as_near(explainer):
    """Brute force over all incomes and accounts: (1000, 3) is the nearest approved row, and the only one so near."""
    rows = pd.DataFrame([(28, i, 200, a) for i in range(800, 1900, 100) for a in range(6)], columns=PERSON.columns)
    rows = rows[explainer.model.predict(rows) == "approved"]
    unit = explainer.background_.scale.numpy()
    length = np.hypot((rows["income"] - 800) / unit[1], (rows["accounts"] - 5) / unit[3])
    best = rows.loc[length.sort_values().index[:1]]
    assert best[["income", "accounts"]].to_numpy().tolist() == [[1000, 3]]


def test_the_answer_is_the_lectures(explainer):
    answer = explainer.explain(PERSON, "approved", constraints=RULES)
    assert answer.status == (RowStatus.FOUND,)
    assert answer.frame.to_dict("records") == [{"age": 28, "income": 1000, "debt": 200, "accounts": 3}]
    (sentence,) = answer.sentences()
    assert sentence.endswith("if income rose by 200 and two accounts were closed.")
    assert sentence.startswith("The model would decide 'approved' for a row like this")


def test_another_question_gets_another_answer(explainer):
    """Where income may not change, four accounts are closed: the answer follows the model, not the test."""
    held = Constraints(immutable=["age", "income"], decrease_only=["accounts"])
    answer = explainer.explain(PERSON, "approved", constraints=held, min_plausibility=0.01)
    assert answer.valid.all()
    assert answer.frame["accounts"].tolist() == [1]
    assert "four accounts were closed" in answer.sentences()[0]

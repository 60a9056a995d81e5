"""Every mistake that an explainer foresees, and the sentence that it says."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from counterflow import PPCEF, Constraints, CounterfactualExplainer, models
from counterflow.core.errors import (
    ArgumentError,
    ConstraintError,
    CounterflowError,
    DataError,
    ModelError,
)
from counterflow.estimators.labels import intervals
from counterflow.tables import Column, Schema
from tests.counterfactuals.made import (
    APPROVED,
    loan_explainer,
    loan_frame,
    loan_labels,
    loan_model,
    loan_schema,
    variant,
)

QUESTIONS = {
    "unknown class": ({"desired": "aproved"}, ArgumentError, r"'aproved' is no class of .*Did you mean 'approved'\?"),
    "no class": ({"desired": None}, ArgumentError, "desired must be the class that the model shall decide, got None"),
    "too few": ({"desired": [APPROVED]}, ArgumentError, "one class, or one for each of the 3 rows, got 1"),
    "one is unknown": ({"desired": [APPROVED, "x", APPROVED]}, ArgumentError, "'x' is no class of"),
    "probability": ({"probability": (0.9, 0.7)}, ArgumentError, r"0 <= low < high <= 1, got \(0\.9, 0\.7\)"),
    "percent": ({"probability": (70.0, 100.0)}, ArgumentError, r"0 <= low < high <= 1, got \(70\.0, 100\.0\)"),
    "count": ({"count": 0}, ArgumentError, "count must be at least 1, got 0"),
    "plausibility": ({"min_plausibility": 1.0}, ArgumentError, r"min_plausibility must lie in \[0, 1\), got 1\.0"),
    "negative": ({"min_plausibility": -0.1}, ArgumentError, r"min_plausibility must lie in \[0, 1\), got -0\.1"),
    "norm": ({"norm": 0.0}, ArgumentError, r"norm must be a finite number above 0, got 0\.0"),
    "endless norm": ({"norm": np.inf}, ArgumentError, "norm must be a finite number above 0, got inf"),
    "contradiction": (
        {"constraints": Constraints(increase_only=["income"], decrease_only=["income"])},
        ConstraintError,
        "'income' may only increase and only decrease",
    ),
    "against the schema": (
        {"constraints": Constraints(decrease_only=["age"])},
        ConstraintError,
        "'age' may only decrease here, but only increase in the schema",
    ),
    "no such column": (
        {"constraints": Constraints(immutable=["incme"])},
        ConstraintError,
        r"a constraint names 'incme', which is no column\. Did you mean 'income'\?",
    ),
    "empty range": (
        {"constraints": Constraints(ranges={"income": (900, 100)})},
        ConstraintError,
        "the range of 'income' is empty",
    ),
    "no such category": (
        {"constraints": Constraints(allowed={"housing": ["tent"]})},
        ConstraintError,
        "'tent' is no category of 'housing'",
    ),
}
ROWS = {
    "missing value": ({"income": [800.0, np.nan, 900.0]}, "column 'income' has missing values"),
    "infinite": ({"debt": [1.0, np.inf, 2.0]}, "column 'debt' holds infinite numbers"),
    "unseen category": ({"housing": ["own", "tent", "rent"]}, "column 'housing' holds 'tent'"),
    "broken number": ({"age": [30.5, 31, 32]}, r"column 'age' is integer, but holds 30\.5"),
    "text": ({"debt": ["12", "a lot", "3"]}, "debt"),
}


@pytest.fixture(scope="module")
def explainer():
    return variant(loan_explainer(), PPCEF(max_steps=1, starts=0))


@pytest.mark.parametrize("name", QUESTIONS)
def test_wrong_questions(explainer, name):
    question, kind, sentence = QUESTIONS[name]
    with pytest.raises(kind, match=sentence) as caught:
        explainer.explain(loan_frame(3, 1), **({"desired": APPROVED} | question))
    assert isinstance(caught.value, CounterflowError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ROWS)
def test_wrong_rows(explainer, name):
    values, sentence = ROWS[name]
    with pytest.raises(DataError, match=sentence):
        explainer.explain(loan_frame(3, 1).assign(**values), APPROVED)


def test_missing_columns_and_no_rows(explainer):
    with pytest.raises(DataError, match=r"the table has no column 'income', which the schema needs"):
        explainer.explain(loan_frame(3, 1).rename(columns={"income": "pay"}), APPROVED)
    with pytest.raises(DataError, match="the table holds no rows"):
        explainer.explain(loan_frame(3, 1).head(0), APPROVED)


def explain_with(model, frame=None, labels=None, **settings):
    frame = loan_frame(200) if frame is None else frame
    return CounterfactualExplainer(model, schema=loan_schema(), **settings).fit(frame, labels)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("ppcf", r"method must be one of .*'ppcef'.*, got 'ppcf'\. Did you mean 'ppcef'\?"),
        (3, r"method must be a name, a config such as PPCEF\(\), or an object .*, got int"),
        (PPCEF, r"method must be a name, a config such as PPCEF\(\), or an object .*, got type"),
    ],
)
def test_unknown_methods(method, sentence):
    explainer = CounterfactualExplainer(loan_model(), schema=loan_schema()).set_params(method=method)
    with pytest.raises(ArgumentError, match=sentence):
        explainer.fit(loan_frame(200))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weight": -1.0}, r"weight must lie in \[0, inf\), got -1\.0"),
        ({"margin": 0.5}, r"margin must lie in \[0, 0\.5\), got 0\.5"),
        ({"cushion": 1.0}, r"cushion must lie in \[0, 1\), got 1\.0"),
        ({"norm": np.inf}, r"norm must lie in \[0, inf\), got inf"),
        ({"norm": 0.0}, r"norm must be above 0, got 0"),
    ],
)
def test_settings_out_of_range(settings, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        PPCEF(**settings)


def test_unknown_words_in_settings(run_unhooked):
    """Where no shape check comes first, as with users."""
    script = """
        from counterflow import PPCEF
        for settings in ({"preset": "papers"}, {"validity": "odds"}):
            try:
                PPCEF(**settings)
            except ValueError as error:
                print(error)
    """
    first, second = run_unhooked(script, warnings="default").splitlines()
    assert first == "preset must be one of ['default', 'paper'], got 'papers'."
    assert second == "validity must be 'log-odds' or 'probability', got 'odds'."


def numeric(model):
    frame = loan_frame(200)
    x = frame[["income", "debt"]].to_numpy()
    return model.fit(x, loan_labels(frame)), x


@pytest.mark.parametrize(
    ("desired", "sentence"),
    [
        (3.0, r"a regressor needs desired=\(low, high\), .*, got 3.0"),
        ((None, None), r"a regressor needs desired=\(low, high\), .*, got \(None, None\)"),
        ((2.0, 1.0), r"the interval desired=\(2, 1\) is empty"),
        ([(0.0, 1.0)] * 3, "one for each of the 2 rows, got 3"),
    ],
)
def test_a_regressor_needs_an_interval(desired, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        intervals(desired, 2)


def test_a_regressor_that_says_one_thing_only_is_refused():
    x = np.random.default_rng(0).normal(size=(60, 1))
    with pytest.raises(DataError, match="the regressor gives all rows the same value"):
        CounterfactualExplainer(LinearRegression().fit(x, np.ones(60))).fit(x)


def test_models_that_are_none_or_not_ready():
    with pytest.raises(ModelError, match="a model must be a fitted estimator, .*a function on the frame"):
        explain_with(None)
    with pytest.raises(ModelError, match="does not say what it answers. Wrap it"):
        explain_with(torch.nn.Linear(8, 2))
    with pytest.raises(ModelError, match="fitted"):
        CounterfactualExplainer(LogisticRegression()).fit(np.zeros((50, 2)) + np.arange(50)[:, None])


def test_a_model_without_probabilities_has_no_range_of_them(explainer):
    frame = loan_frame(200)
    numbers = ["age", "income", "debt"]
    schema = Schema(tuple(Column(name) for name in numbers))
    ridge = RidgeClassifier().fit(frame[numbers], loan_labels(frame))
    other = variant(explainer, PPCEF(max_steps=1))
    adapted = models.adapt(ridge, schema, like=frame)
    assert not adapted.probabilistic
    other.model_ = adapted
    with pytest.raises(ModelError, match="has no probabilities"):
        other.explain(frame.head(2), APPROVED, probability=(0.7, 1.0))


def test_labels_that_do_not_fit():
    frame = loan_frame(200)
    labels = loan_labels(frame)
    with pytest.raises(DataError, match="y must have one label for each of the 200 rows, got 199"):
        explain_with(loan_model(), frame, labels[:-1])
    wrong = labels.copy().astype(object)
    wrong[7] = "maybe"
    with pytest.raises(DataError, match=r"y holds 'maybe', which is no class of .*: it knows 'approved', 'refused'"):
        explain_with(loan_model(), frame, wrong)
    with pytest.raises(DataError, match="all rows are of one class, 'approved': a counterfactual needs rows of"):
        explain_with(loan_model(), frame, [APPROVED] * 200)
    few = np.where(np.arange(200) < 19, "refused", APPROVED)
    with pytest.raises(DataError, match="class 'refused' has 19 rows; the density of a class needs at least 20"):
        explain_with(loan_model(), frame, pd.Series(few))


def test_tables_that_do_not_fit():
    with pytest.raises(DataError, match="column 'housing' holds 'tent'"):
        explain_with(loan_model(), loan_frame(200).assign(housing="tent"))
    with pytest.raises(DataError, match="column 'debt' has missing values"):
        explain_with(loan_model(), loan_frame(200).assign(debt=np.nan))


def test_nothing_is_half_fitted_after_a_mistake():
    explainer = CounterfactualExplainer(loan_model(), schema=loan_schema())
    with pytest.raises(DataError):
        explainer.fit(loan_frame(200), [APPROVED] * 200)
    with pytest.raises(NotFittedError):
        explainer.explain(loan_frame(2), APPROVED)

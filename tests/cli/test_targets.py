"""Whether a target holds classes or a number, what else it is refused for, and models that take it otherwise."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score

from counterflow.cli.own_models import agreement, r_squared, split_rows, train_own
from counterflow.cli.parsing import METHOD_NAMES, as_wish
from counterflow.cli.targets import Target, read_target
from counterflow.core.errors import ArgumentError, CounterflowError, DataError
from counterflow.estimators.methods import METHODS
from counterflow.models import adapt
from counterflow.tables import Column, Schema
from counterflow.tables.frames import frame_of

SCHEMA = Schema((Column("x"),), target="y")
WHERE = Path("t.csv")


def read(values, *, regression=False):
    frame = frame_of({"x": [float(place) for place in range(len(values))], "y": values}, "pandas")
    return read_target(frame, SCHEMA, WHERE, regression=regression)


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ([1, 2, 3] * 10, False),
        (list(range(20)), False),
        (list(range(21)), True),
        ([0.5, 1.0, 1.0], True),
        ([1.0, 2.0, 2.0], False),
        (["a", "b", "b"], False),
        ([True, False, True], False),
    ],
)
def test_few_whole_values_are_classes(values, number):
    assert read(values).number is number


def test_a_flag_makes_them_numbers():
    assert read([1, 2, 3] * 10, regression=True).number
    with pytest.raises(DataError, match=r"'t.csv': the target 'y' holds 'a', which is no number"):
        read(["a", "b", "b"], regression=True)


def test_what_is_neither_is_refused():
    with pytest.raises(DataError, match=r"has 30 different values that are no numbers, such as 'person 0'"):
        read([f"person {place}" for place in range(30)])
    with pytest.raises(DataError, match=r"holds infinite numbers"):
        read([1.5, float("inf"), 2.5])


def test_a_model_says_how_it_takes_the_target():
    x = np.arange(40.0)[:, None]
    counts = [place % 4 for place in range(40)]
    regressor = adapt(LinearRegression().fit(x, counts), Schema((Column("x0"),)), like=x)
    classifier = adapt(LogisticRegression().fit(x, np.array(counts) > 1), Schema((Column("x0"),)), like=x)
    assert Target("y", counts, number=False).read_by(regressor).number
    with pytest.raises(ArgumentError, match=r"LinearRegression predicts a value, and the target 'y' holds 'yes'"):
        Target("y", ["yes", "no"], number=False).read_by(adapt(regressor, SCHEMA, like=x))
    with pytest.raises(ArgumentError, match=r"decides classes, and the target 'y' holds numbers to predict, such as 0"):
        Target("y", [0.5, 1.5], number=True).read_by(classifier)


def test_schemas_have_classes_for_classes_only():
    schema = Schema((Column("x"),), target="y", classes=(1, 2))
    assert Target("y", [1, 2], number=True).schema(schema).classes == ()
    assert Target("y", [1, 2], number=False).schema(schema).classes == (1, 2)


def test_r_squared_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    true, predicted = random.normal(size=50), random.normal(size=50)
    assert r_squared(predicted, true.tolist()) == pytest.approx(r2_score(true, predicted))


def test_the_regressor_trained_is_judged_on_rows_it_never_saw():
    x = np.random.default_rng(0).normal(size=(100, 1))
    y = (3 * x[:, 0] + np.random.default_rng(1).normal(size=100)).tolist()
    model, words = train_own(Schema((Column("x0"),)), x, Target("y", y, number=True), seed=0)
    train, test = split_rows([0] * 100, 0)
    assert not set(train) & set(test)
    assert len(test) == 20
    share = r2_score([y[row] for row in test], model.predict(x[test]))
    assert f"explains {share:.1%} of the variance of the other 20 rows" in words
    refit = LinearRegression().fit(x[train], np.array(y)[train])
    np.testing.assert_allclose(model.predict(x), refit.predict(x), atol=0.1)
    everything = agreement(adapt(model, Schema((Column("x0"),)), like=x), x, Target("y", y, number=True))
    assert f"explains {r2_score(y, model.predict(x)):.1%}" in everything


@pytest.fixture(scope="module")
def models():
    """A regressor, and a classifier that has a class with a colon."""
    x = np.arange(10.0)[:, None]
    schema = Schema((Column("x0"),))
    regressor = LinearRegression().fit(x, x[:, 0])
    classifier = LogisticRegression().fit(x, np.where(x[:, 0] > 5, "1:2", "no"))
    return adapt(regressor, schema, like=x), adapt(classifier, schema, like=x)


def test_wishes_of_each_kind(models):
    regressor, classifier = models
    assert as_wish("200:", regressor) == (200.0, None)
    assert as_wish("-5:1e3", regressor) == (-5.0, 1000.0)
    assert as_wish("1:2", classifier) == "1:2"


@pytest.mark.parametrize("word", ["yes", "200", ":", "5:5", "9:1", "a:"])
def test_what_cannot_be_asked_of_a_regressor(models, word):
    with pytest.raises(CounterflowError, match=r"--desired"):
        as_wish(word, models[0])


def test_an_interval_asked_of_a_classifier(models):
    with pytest.raises(ArgumentError, match=r"--desired 200:: .* decides classes .* '1:2', 'no'"):
        as_wish("200:", models[1])


def test_help_names_every_method():
    assert tuple(METHODS) == METHOD_NAMES

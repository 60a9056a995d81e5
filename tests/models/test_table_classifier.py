"""Our own classifier against scikit-learn's on the same features, and what special codes do to it."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from counterflow.core.errors import DataError
from counterflow.models import TableClassifier, adapt
from counterflow.tables import Atom, Column, Schema, TableCodec

SCHEMA = Schema(
    (
        Column("income", decimals=1),
        Column("accounts", "integer", atoms=(Atom(-9.0), Atom(-8.0))),
        Column("gain", lower=0.0, atoms=(Atom(0.0, kind="inflation"),)),
        Column("home", "categorical", categories=("own", "rent", "free")),
        Column("school", "ordinal", categories=("low", "mid", "high")),
    )
)


def table(rows=400, seed=0):
    random = np.random.default_rng(seed)
    codes = random.choice([0, -9, -8], size=rows, p=[0.7, 0.2, 0.1])
    return pd.DataFrame(
        {
            "income": np.round(random.normal(1000, 300, rows), 1),
            "accounts": np.where(codes < 0, codes, random.integers(0, 9, rows)),
            "gain": np.where(random.random(rows) < 0.6, 0.0, random.gamma(2.0, 30.0, rows)),
            "home": random.choice(["own", "rent", "free"], rows),
            "school": random.choice(["low", "mid", "high"], rows),
        }
    )


def labels_of(frame, names=("no", "yes")):
    score = (frame["income"] - 1000) / 300 + 1.5 * (frame["accounts"] == -9) - 1.5 * (frame["accounts"] == -8)
    score = score + (frame["home"] == "own") - 0.2 * frame["accounts"].clip(lower=0)
    noise = np.random.default_rng(3).logistic(size=len(frame)) * 0.5
    edges = np.quantile(score + noise, np.linspace(0, 1, len(names) + 1)[1:-1])
    return [names[k] for k in np.searchsorted(edges, score + noise)]


def design(frame, fitted):
    """The same features in pandas: numbers standardized by those that are no codes, an indicator for each level."""
    parts = {}
    for name in ("income", "accounts", "gain"):
        codes = [atom.value for atom in SCHEMA[name].atoms]
        usual = ~frame[name].isin(codes)
        center, spread = (
            fitted[name][~fitted[name].isin(codes)].mean(),
            fitted[name][~fitted[name].isin(codes)].std(ddof=0),
        )
        parts[name] = np.where(usual, (frame[name] - center) / spread, 0.0)
        parts |= {f"{name}={code}": (frame[name] == code).astype(float) for code in codes}
    for name in ("home", "school"):
        parts |= {f"{name}={label}": (frame[name] == label).astype(float) for label in SCHEMA[name].categories}
    return pd.DataFrame(parts).to_numpy()


@pytest.mark.parametrize("names", [("no", "yes"), ("a", "b", "c")])
@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_equals_scikit_learn_on_the_same_features(names, strength):
    frame, fresh = table(), table(60, seed=9)
    labels = labels_of(frame, names)
    ours = TableClassifier.fit(SCHEMA, frame, labels, strength=strength)
    theirs = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(design(frame, frame), labels)
    expected = theirs.predict_proba(design(fresh, frame))
    assert ours.classes == tuple(theirs.classes_)
    np.testing.assert_allclose(ours.predict_proba(fresh), expected, atol=2e-4)
    sure = np.sort(expected, axis=1)[:, -1] - np.sort(expected, axis=1)[:, -2] > 1e-3
    assert (ours.predict(fresh) == theirs.predict(design(fresh, frame)))[sure].all()


def test_every_code_has_a_weight_of_its_own():
    """-9 makes approval likelier and -8 less likely: no number line through both could say so."""
    frame = table(1500)
    model = TableClassifier.fit(SCHEMA, frame, labels_of(frame))
    row = frame.iloc[[0]].assign(income=1000.0, home="rent", gain=0.0, school="mid")
    nine, eight, four = (model.predict_proba(row.assign(accounts=value))[0, 1] for value in (-9, -8, 4))
    assert nine > four + 0.1
    assert eight < nine - 0.3


def test_a_code_is_not_read_as_a_number():
    frame = table()
    model = TableClassifier.fit(SCHEMA, frame, labels_of(frame))
    numbers = torch.from_numpy(TableCodec(SCHEMA).to_numbers(frame))
    at_code = numbers[:, 1] < 0
    features = model.features(numbers)
    assert features.shape == (400, 3 + 3 + 6)  # numbers, atoms, labels
    accounts = features[:, 1]
    assert (accounts[at_code] == 0).all()
    assert accounts[~at_code].mean().item() == pytest.approx(0.0, abs=1e-12)
    assert accounts[~at_code].std(correction=0).item() == pytest.approx(1.0, rel=1e-12)


def test_a_missing_value_with_an_atom_has_a_weight_too():
    schema = Schema((Column("x", atoms=(Atom(float("nan")),)), Column("y")))
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    gone = random.random(300) < 0.3
    frame = pd.DataFrame({"x": np.where(gone, np.nan, x), "y": random.normal(size=300)})
    labels = np.where(gone, "unknown", np.where(x > 0, "high", "low"))
    model = TableClassifier.fit(schema, frame, labels)
    assert model.predict(frame).tolist()[:50] == labels.tolist()[:50]
    assert np.isfinite(model.predict_proba(frame)).all()


def test_its_gradient_is_that_of_finite_differences():
    frame = table()
    model = TableClassifier.fit(SCHEMA, frame, labels_of(frame, ("a", "b", "c")))
    numbers = torch.from_numpy(TableCodec(SCHEMA).to_numbers(frame.iloc[:8]))
    income = (numbers[:, :1] / 300).requires_grad_()

    def logits(units):
        return model.logits(torch.cat((units * 300, numbers[:, 1:]), 1))

    assert torch.autograd.gradcheck(logits, (income,))


def test_parts_round_trip_bit_for_bit():
    frame = table()
    model = TableClassifier.fit(SCHEMA, frame, labels_of(frame))
    again = TableClassifier.from_parts(*model.to_parts())
    assert again.classes == model.classes
    np.testing.assert_array_equal(again.predict_proba(frame), model.predict_proba(frame))


def test_adapted_it_is_its_own_formula():
    frame = table()
    model = TableClassifier.fit(SCHEMA, frame, labels_of(frame))
    adapted = adapt(model, SCHEMA, like=frame)
    numbers = torch.from_numpy(TableCodec(SCHEMA).to_numbers(frame))
    assert adapted.differentiable
    assert adapted.classes == ("no", "yes")
    np.testing.assert_allclose(adapted.logits(numbers).softmax(1).numpy(), adapted.probabilities(frame), atol=1e-12)
    assert (adapted.predict(frame) == model.predict(frame)).all()
    assert (
        adapted.fingerprint
        != adapt(TableClassifier.fit(SCHEMA, frame, labels_of(frame), strength=0.5), SCHEMA, like=frame).fingerprint
    )


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([0, 1]), (0, 1)),
        (np.array(["b", "a"]), ("a", "b")),
        ([True, False], (False, True)),
        (pd.Series([2, 10]), (2, 10)),
    ],
)
def test_classes_are_plain_sorted_labels(labels, classes):
    """What a saved folder or an answer holds must be plain data, whatever array the labels came in."""
    repeated = labels * 5 if isinstance(labels, list) else labels.repeat(5)
    model = TableClassifier.fit(Schema((Column("x0"),)), np.array([[0.0]] * 5 + [[1.0]] * 5), repeated)
    assert model.classes == classes
    assert [type(label) for label in model.classes] == [type(label) for label in classes]


def test_one_class_is_refused():
    with pytest.raises(DataError, match="a classifier needs rows of two classes at least, got only 'yes'"):
        TableClassifier.fit(Schema((Column("x0"),)), np.array([[0.0], [1.0]]), ["yes", "yes"])

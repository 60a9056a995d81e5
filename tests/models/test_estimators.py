"""Estimators and functions as black boxes, their errors in one sentence, and fingerprints."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterflow.core.errors import ArgumentError, DataError, ModelError
from counterflow.models import AdaptedModel, adapt, fingerprint, wrap
from counterflow.models.adapting import ADAPTERS
from tests.models.data import adapted, mixed, mixed_schema, numeric, schema_of


@pytest.mark.parametrize("model", [RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=3)])
def test_trees_are_black_boxes_that_judge(model):
    x, y = numeric("iris")
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    model.fit(x, labels)
    ours, _ = adapted(model, x)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))
    np.testing.assert_array_equal(ours.probabilities(x), model.predict_proba(x))
    assert ours.classes == ("setosa", "versicolor", "virginica")
    assert ours.class_index("virginica") == 2
    assert ours.why_not == f"{type(model).__name__} has no exact conversion to torch."


def test_a_regressor_without_formula():
    x, y = numeric("diabetes")
    model = RandomForestRegressor(3, random_state=0).fit(x, y)
    ours, _ = adapted(model, x)
    np.testing.assert_array_equal(ours.predict(x), model.predict(x))
    assert ours.classes is None
    assert not ours.differentiable


def test_labels_keep_their_kind():
    x, y = numeric("cancer")
    for labels in (y.astype(bool), y, y.astype(float), np.array(["b", "m"])[y], np.array(["b", "m"], dtype=object)[y]):
        ours, _ = adapted(LogisticRegression(max_iter=5000).fit(x / 100, labels), x / 100)
        assert set(map(type, ours.classes)) == {type(labels.tolist()[0])}
        assert set(ours.predict(x / 100).tolist()) <= set(ours.classes)


def test_unknown_class_and_adapting_twice():
    x, y = numeric("cancer")
    ours, _ = adapted(LogisticRegression().fit(x / 100, np.array(["benign", "malign"])[y]), x / 100)
    with pytest.raises(ArgumentError, match=r"choose among 'benign', 'malign'. Did you mean 'malign'"):
        ours.class_index("malin")
    assert adapt(ours, schema_of(x), like=x) is ours


class Booster:
    """What a stranger's library looks like: no tags, no names, classes and probabilities."""

    classes_ = np.array([0, 1])

    def predict(self, frame):
        return (frame["alcohol"].to_numpy() > 13).astype(int)

    def predict_proba(self, frame):
        high = np.where(frame["alcohol"].to_numpy() > 13, 0.9, 0.2)
        return np.stack([1 - high, high], axis=1)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_strangers_estimator_gets_the_users_frame(kind):
    frame, _ = mixed(kind)
    ours, _ = adapted(Booster(), frame, mixed_schema())
    assert ours.probabilities(frame).sum() == pytest.approx(len(frame))
    assert not ours.differentiable


def test_estimators_that_do_not_say_what_they_are():
    class Silent:
        def predict(self, frame):
            return np.zeros(len(frame))

    x, y = numeric("iris")
    for model in (Silent(), IsolationForest(n_estimators=2).fit(x)):
        with pytest.raises(ModelError, match="does not say whether it predicts classes or values"):
            adapted(model, x)
    several = MultiOutputClassifier(DummyClassifier()).fit(x, np.stack([y, y], axis=1))
    with pytest.raises(ModelError, match="predicts several targets at once"):
        adapted(several, x)


@pytest.mark.parametrize("model", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()),
                                   RandomForestRegressor()])  # fmt: skip
def test_not_fitted(model):
    x, _ = numeric("iris")
    with pytest.raises(ModelError, match=r"is not fitted. Call its fit on the training rows"):
        adapted(model, x)


def test_columns_that_are_not_there():
    x, y = numeric("cancer")
    model = LogisticRegression(max_iter=5000).fit(x / 100, y)
    renamed = (x / 100).rename(columns={"mean radius": "mean radios"})
    with pytest.raises(ModelError, match="the table does not have. Did you mean 'mean radios'"):
        adapted(model, renamed)
    ours, _ = adapted(model, x / 100)
    with pytest.raises(ModelError, match="needs the column 'mean area'"):
        ours.predict((x / 100).drop(columns="mean area"))


def test_a_column_outside_of_the_schema_makes_it_a_black_box():
    x, y = numeric("cancer")
    model = LogisticRegression(max_iter=5000).fit(x / 100, y)
    ours, _ = adapted(model, x / 100, schema_of(x.iloc[:, :5]))
    assert not ours.differentiable
    assert "which the schema does not have" in ours.why_not


def test_another_number_of_columns_without_names():
    x, y = numeric("cancer")
    model = LogisticRegression(max_iter=5000).fit(x.to_numpy()[:, :3] / 100, y)
    with pytest.raises(ModelError, match="fitted on 3 columns without names, but the table has 6"):
        adapted(model, x)


def test_the_models_own_error_is_told():
    x, y = numeric("iris")

    class Moody(LogisticRegression):
        def predict(self, rows):
            raise ValueError("not\ntoday")

    with pytest.raises(ModelError, match="the model Moody failed on the table, with ValueError: not today"):
        adapted(Moody(max_iter=5000).fit(x, y), x)


def test_a_frame_that_does_not_fit_the_schema():
    frame, y = mixed()
    with pytest.raises(DataError, match="'ash'"):
        adapt(Booster(), mixed_schema(), like=frame.drop(columns="ash"))


@pytest.mark.parametrize("model", [7, LogisticRegression, None])
def test_what_is_no_model(model):
    x, _ = numeric("iris")
    with pytest.raises(ModelError, match="must be a fitted estimator, a booster, the path of an ONNX file"):
        adapt(model, schema_of(x), like=x)


# ---------------------------------------------------------------------------------------------------------- functions
def high(frame):
    return np.where(np.asarray(frame["alcohol"]) > 13, 0.9, 0.2)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize(
    ("function", "output"),
    [
        (high, "probabilities"),
        (lambda frame: np.stack([1 - high(frame), high(frame)], axis=1), "probabilities"),
        (lambda frame: np.log(high(frame) / (1 - high(frame))), "logits"),
        (lambda frame: np.log(np.stack([1 - high(frame), high(frame)], axis=1)) + 7, "logits"),
        (lambda frame: torch.tensor(high(frame)), "probabilities"),
    ],
)
def test_functions_on_the_users_frame(function, output, kind):
    frame, _ = mixed(kind)
    ours, _ = adapted(wrap(function, output=output, classes=["no", "yes"]), frame, mixed_schema())
    np.testing.assert_allclose(ours.probabilities(frame)[:, 1], high(frame))
    np.testing.assert_array_equal(ours.predict(frame), np.where(high(frame) > 0.5, "yes", "no"))
    assert ours.why_not == "a function is code that cannot be read as a formula."


def test_functions_that_answer_labels_or_values():
    frame, _ = mixed()
    label = wrap(lambda rows: np.where(high(rows) > 0.5, "yes", "no"), output="labels", classes=["yes", "no"])
    ours, _ = adapted(label, frame, mixed_schema())
    assert not ours.probabilistic
    np.testing.assert_array_equal(ours.probabilities(frame)[:, 0], high(frame) > 0.5)
    ours, _ = adapted(wrap(high, output="value"), frame, mixed_schema())
    np.testing.assert_array_equal(ours.predict(frame), high(frame))
    encoded = wrap(lambda array: array[:, 0], encode=lambda rows: rows[["alcohol"]].to_numpy(), output="value")
    ours, _ = adapted(encoded, frame, mixed_schema())
    np.testing.assert_array_equal(ours.predict(frame), frame["alcohol"])


def test_bare_functions_whose_answer_leaves_no_doubt():
    from dataclasses import replace

    frame, _ = mixed()
    table = lambda rows: np.stack([1 - high(rows), high(rows)], axis=1)  # noqa: E731
    schema = mixed_schema()
    assert adapted(table, frame, schema)[0].classes == (0, 1)
    named = replace(schema, target="y", classes=("no", "yes"))
    assert adapted(table, frame, named)[0].classes == ("no", "yes")
    words = lambda rows: np.where(high(rows) > 0.5, "yes", "no")  # noqa: E731
    assert adapted(words, frame, named)[0].predict(frame)[0] == words(frame)[0]
    assert adapted(high, frame, replace(schema, target="y"))[0].classes is None
    for function, place in ((high, named), (high, schema), (words, schema)):
        with pytest.raises(ModelError, match="could mean several things. Say what it is"):
            adapted(function, frame, place)


TWO_LABELS = {"output": "labels", "classes": ["a", "b"]}
TWO_CHANCES = {"output": "probabilities", "classes": ["a", "b"]}


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (
            lambda rows: np.full(len(rows), "maybe"),
            TWO_LABELS,
            "'maybe', which is none",
        ),
        (lambda rows: np.zeros((2, 2)), TWO_CHANCES, r"must answer \(89, 2\)"),
        (lambda rows: np.zeros((2, 2)), TWO_LABELS, "one label per row"),
        (lambda rows: np.zeros((2, 2)), {"output": "logits", "classes": ["a", "b"]}, r"must answer \(89, 2\) logits"),
        (
            lambda rows: np.full((len(rows), 2), np.inf),
            TWO_CHANCES,
            "NaN or infinity",
        ),
        (lambda rows: ["x"] * len(rows), {"output": "value"}, "must answer numbers, got list"),
        (lambda rows: rows.nothing, {"output": "value"}, "AttributeError"),
    ],
)
def test_functions_that_answer_otherwise_than_stated(function, arguments, words):
    frame, _ = mixed()
    with pytest.raises(ModelError, match=words):
        adapted(wrap(function, **arguments), frame, mixed_schema())


# -------------------------------------------------------------------------------------------------------- fingerprints
def test_fingerprints_tell_models_apart_and_know_them_again():
    x, y = numeric("iris")
    fitted = [LogisticRegression(C=c, max_iter=5000).fit(x, y) for c in (1.0, 2.0, 1.0)]
    assert fingerprint(fitted[0]) == fingerprint(fitted[2]) != fingerprint(fitted[1])
    forests = [RandomForestClassifier(3, random_state=seed).fit(x, y) for seed in (0, 0, 1)]
    assert fingerprint(forests[0]) == fingerprint(forests[1]) != fingerprint(forests[2])
    boosted = [HistGradientBoostingClassifier(max_iter=n, random_state=0).fit(x, y) for n in (2, 2, 3)]
    assert fingerprint(boosted[0]) == fingerprint(boosted[1]) != fingerprint(boosted[2])
    predicted = fingerprint(forests[0])
    forests[0].predict(x)
    assert fingerprint(forests[0]) == predicted


def test_fingerprints_of_networks_functions_and_files(tmp_path):
    net = torch.nn.Linear(2, 1)
    first = fingerprint(net)
    assert first == fingerprint(net.eval())
    with torch.no_grad():
        net.weight[0, 0] += 1
    assert first != fingerprint(net)

    def threshold(limit):
        return lambda frame: frame["x"] > limit

    assert fingerprint(threshold(1)) == fingerprint(threshold(1)) != fingerprint(threshold(2))
    assert fingerprint(lambda x: x + 1) != fingerprint(lambda x: x + 2)
    file = tmp_path / "model.onnx"
    file.write_bytes(b"one")
    first = fingerprint(file)
    file.write_bytes(b"two")
    assert first != fingerprint(file)
    loop = []
    loop.append(loop)
    assert len(fingerprint(loop, {"a": {1, 2}}, np.random.default_rng(0), print, int, None)) == 64


def test_fingerprints_are_the_same_in_another_process(run_unhooked):
    script = """
        import numpy as np
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from counterflow.models import fingerprint
        x = np.random.default_rng(0).normal(size=(50, 3))
        model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(x, x[:, 0] > 0)
        print(fingerprint(model))
    """
    x = np.random.default_rng(0).normal(size=(50, 3))
    model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(x, x[:, 0] > 0)
    assert run_unhooked(script).strip() == fingerprint(model)


def test_every_adapter_comes_after_what_it_must_not_shadow():
    x, y = numeric("iris")
    model = LogisticRegression(max_iter=5000).fit(x, y)
    applying = [adapter.__name__ for applies, adapter in ADAPTERS if applies(model)]
    assert applying == ["adapt_estimator"]
    assert isinstance(adapt(model, schema_of(x), like=x), AdaptedModel)


def test_rows_dropped_by_the_schema_are_not_tried():
    from dataclasses import replace

    x, y = numeric("iris")
    model = LogisticRegression(max_iter=5000).fit(x, y)
    holes = x.copy()
    holes.iloc[::3, 0] = np.nan
    ours = adapt(model, replace(schema_of(x), missing="drop"), like=holes)
    assert ours.differentiable
    assert pd.isna(holes).any(axis=None)

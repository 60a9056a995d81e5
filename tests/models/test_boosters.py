"""Boosters in every shape that users have them, against what the libraries themselves answer."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer

from counterflow import models
from counterflow.core.errors import ArgumentError, MissingExtra, ModelError
from counterflow.tables import Schema, TableCodec
from tests.models.data import mixed, mixed_schema, numeric, schema_of

CATEGORICAL = ["ash"]
NAMES = ("barbera", "barolo", "grignolino")


def wine(classes=3):
    """Mixed columns with text as a categorical type; two or three classes as numbers."""
    frame, labels = mixed()
    kept = np.isin(labels, NAMES[:classes])
    frame = frame[kept].reset_index(drop=True)
    frame["ash"] = pd.Categorical(frame["ash"])
    return frame, np.searchsorted(NAMES, labels[kept])


def adapted(model, frame):
    schema = mixed_schema() if "ash" in frame.columns else schema_of(frame)
    return models.adapt(model, schema, like=frame)


def check(model, frame, expected):
    """The adapted model answers as the library does, in every kind of frame and order of rows."""
    ours = adapted(model, frame)
    assert not ours.differentiable
    assert ours.why_not.endswith(".")
    np.testing.assert_allclose(ours.probabilities(frame), expected, rtol=1e-6, atol=1e-7)
    assert (ours.predict(frame) == np.array(ours.classes)[expected.argmax(1)]).all()
    np.testing.assert_allclose(ours.probabilities(frame[5:9]), expected[5:9], rtol=1e-6, atol=1e-7)
    return ours


class TestXGBoost:
    @pytest.fixture(autouse=True)
    def _library(self):
        self.xgboost = pytest.importorskip("xgboost")

    def fitted(self, classes=3, **settings):
        frame, labels = wine(classes)
        model = self.xgboost.XGBClassifier(
            n_estimators=8, max_depth=3, n_jobs=1, enable_categorical=True, random_state=0, **settings
        )
        return model.fit(frame, labels), frame

    def test_the_classifier(self):
        model, frame = self.fitted()
        ours = check(model, frame, model.predict_proba(frame))
        assert ours.classes == (0, 1, 2)

    def test_text_from_a_file_is_read_as_categories(self):
        model, frame = self.fitted()
        text = frame.assign(ash=frame["ash"].astype(str))
        np.testing.assert_allclose(adapted(model, text).probabilities(text), model.predict_proba(frame))

    @pytest.mark.parametrize("classes", [2, 3])
    def test_the_bare_booster_with_named_classes(self, classes):
        model, frame = self.fitted(classes)
        wrapped = models.wrap(model.get_booster(), classes=NAMES[:classes])
        ours = check(wrapped, frame, model.predict_proba(frame))
        assert ours.classes == NAMES[:classes]
        text = frame.assign(ash=frame["ash"].astype(str))[["tens", "magnesium", "sour", "ash", "alcohol"]]
        np.testing.assert_allclose(ours.probabilities(text), model.predict_proba(frame), rtol=1e-6, atol=1e-7)
        other = pl.from_pandas(text)
        np.testing.assert_allclose(ours.probabilities(other), model.predict_proba(frame), rtol=1e-6, atol=1e-7)

    def test_a_booster_that_is_not_told_its_classes_asks_for_them(self):
        model, frame = self.fitted(2)
        with pytest.raises(ModelError, match=r"does not know what they are called. Name them .*classes=\[...\]"):
            adapted(model.get_booster(), frame)

    def test_the_classes_of_the_target_are_named_in_the_hint(self):
        model, frame = self.fitted(2)
        schema = Schema(mixed_schema().columns, target="wine", classes=("barbera", "barolo"))
        with pytest.raises(ModelError, match="'barbera', 'barolo'; which is its class 0"):
            models.adapt(model.get_booster(), schema, like=frame)

    def test_a_target_of_whole_numbers_needs_no_names(self):
        model, frame = self.fitted(2)
        schema = Schema(mixed_schema().columns, target="wine", classes=(0, 1))
        assert models.adapt(model.get_booster(), schema, like=frame).classes == (0, 1)

    @pytest.mark.parametrize("suffix", [".json", ".ubj"])
    def test_files(self, tmp_path, suffix):
        model, frame = self.fitted()
        path = tmp_path / f"model{suffix}"
        model.save_model(path)
        ours = check(models.wrap(path, classes=NAMES), frame, model.predict_proba(frame))
        again = check(models.wrap(str(path), classes=NAMES), frame, model.predict_proba(frame))
        assert ours.fingerprint == again.fingerprint

    def test_logits_are_stated_by_the_objective(self):
        model, frame = self.fitted(2, objective="binary:logitraw")
        margin = model.predict(frame, output_margin=True)
        expected = 1 / (1 + np.exp(-margin.astype(float)))
        ours = adapted(models.wrap(model.get_booster(), classes=NAMES[:2]), frame)
        np.testing.assert_allclose(ours.probabilities(frame)[:, 1], expected, rtol=1e-6)

    def test_another_word_than_the_objective_is_refused(self):
        model, frame = self.fitted(2)
        with pytest.raises(ModelError, match="answers probabilities, but output='logits' was stated"):
            adapted(models.wrap(model.get_booster(), output="logits", classes=NAMES[:2]), frame)

    def test_the_classifier_with_other_names_for_its_classes(self):
        model, frame = self.fitted(2)
        ours = check(models.wrap(model, classes=["cheap", "dear"]), frame, model.predict_proba(frame))
        assert ours.predict(frame)[0] in ("cheap", "dear")

    def test_columns_without_names_are_those_of_the_schema(self):
        frame, labels = numeric("cancer")
        matrix = self.xgboost.DMatrix(frame.to_numpy(), labels)
        booster = self.xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 5)
        ours = adapted(models.wrap(booster, classes=["malignant", "benign"]), frame)
        np.testing.assert_allclose(ours.probabilities(frame)[:, 1], booster.predict(matrix), rtol=1e-6)

    def test_regressors(self):
        frame, target = numeric("diabetes")
        model = self.xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(frame, target)
        for ours in (adapted(model, frame), adapted(model.get_booster(), frame)):
            assert ours.regression
            np.testing.assert_allclose(ours.predict(frame), model.predict(frame), rtol=1e-6)

    def test_a_column_that_is_not_there(self):
        model, frame = self.fitted(2)
        with pytest.raises(ModelError, match="needs the column 'sour', which the table does not have"):
            models.adapt(
                models.wrap(model.get_booster(), classes=NAMES[:2]),
                mixed_schema().without(["sour"]),
                like=frame.drop(columns="sour"),
            )

    def test_fingerprints_are_those_of_the_trees(self):
        model, frame = self.fitted(2)
        before = adapted(model, frame).fingerprint
        model.predict_proba(frame)
        assert adapted(model, frame).fingerprint == before
        assert adapted(self.fitted(2)[0], frame).fingerprint == before
        assert adapted(self.fitted(2, learning_rate=0.1)[0], frame).fingerprint != before


class TestLightGBM:
    @pytest.fixture(autouse=True)
    def _library(self):
        self.lightgbm = pytest.importorskip("lightgbm")

    def fitted(self, classes=3):
        frame, labels = wine(classes)
        model = self.lightgbm.LGBMClassifier(n_estimators=8, min_child_samples=5, n_jobs=1, verbose=-1, random_state=0)
        return model.fit(frame, np.array(NAMES)[labels]), frame

    def test_the_classifier_knows_its_classes(self):
        model, frame = self.fitted()
        assert check(model, frame, model.predict_proba(frame)).classes == NAMES

    @pytest.mark.parametrize("classes", [2, 3])
    def test_the_file_in_text(self, classes, tmp_path):
        model, frame = self.fitted(classes)
        path = tmp_path / "model.txt"
        model.booster_.save_model(path)
        check(models.wrap(path, classes=NAMES[:classes]), frame, model.predict_proba(frame))
        ours = check(models.wrap(model.booster_, classes=NAMES[:classes]), frame, model.predict_proba(frame))
        text = frame.assign(ash=frame["ash"].astype(str))
        np.testing.assert_allclose(ours.probabilities(text), model.predict_proba(frame))

    def test_a_booster_that_is_not_told_its_classes_asks_for_them(self):
        model, frame = self.fitted(2)
        with pytest.raises(ModelError, match="the LightGBM booster numbers its classes"):
            adapted(model.booster_, frame)

    def test_regressors(self):
        frame, target = numeric("diabetes")
        model = self.lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(frame, target)
        for ours in (adapted(model, frame), adapted(model.booster_, frame)):
            np.testing.assert_allclose(ours.predict(frame), model.predict(frame))

    def test_names_with_blanks(self):
        data = load_breast_cancer(as_frame=True)
        frame = data.data.iloc[:, :4]
        model = self.lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(frame, data.target)
        assert model.booster_.feature_name()[0] == "mean_radius"
        ours = adapted(models.wrap(model.booster_, classes=[0, 1]), frame)
        np.testing.assert_allclose(ours.probabilities(frame)[:, 1], model.predict_proba(frame)[:, 1])


class TestCatBoost:
    @pytest.fixture(autouse=True)
    def _library(self):
        self.catboost = pytest.importorskip("catboost")

    def fitted(self, classes=3):
        frame, labels = mixed()
        kept = np.isin(labels, NAMES[:classes])
        frame = frame[kept].reset_index(drop=True)
        model = self.catboost.CatBoostClassifier(
            iterations=8, depth=3, cat_features=CATEGORICAL, thread_count=1, verbose=False, allow_writing_files=False
        )
        return model.fit(frame, labels[kept]), frame

    @pytest.mark.parametrize("classes", [2, 3])
    def test_the_classifier_and_its_file(self, classes, tmp_path):
        model, frame = self.fitted(classes)
        path = tmp_path / "model.cbm"
        model.save_model(str(path))
        ours = check(model, frame, model.predict_proba(frame))
        from_file = check(path, frame, model.predict_proba(frame))
        assert ours.classes == from_file.classes == NAMES[:classes]
        shuffled = frame[["tens", "magnesium", "sour", "ash", "alcohol"]]
        np.testing.assert_allclose(ours.probabilities(shuffled), model.predict_proba(frame))
        np.testing.assert_allclose(from_file.probabilities(pl.from_pandas(shuffled)), model.predict_proba(frame))

    def test_regressors(self):
        frame, target = numeric("diabetes")
        model = self.catboost.CatBoostRegressor(iterations=5, thread_count=1, verbose=False, allow_writing_files=False)
        model.fit(frame, target)
        np.testing.assert_allclose(adapted(model, frame).predict(frame), model.predict(frame))


def test_a_stand_in_for_a_booster():
    xgboost = pytest.importorskip("xgboost")
    frame, labels = wine(2)
    model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1, enable_categorical=True).fit(frame, labels)
    ours = adapted(model, frame)
    schema = mixed_schema()
    given = models.distill(ours, schema, TableCodec(schema).to_numbers(frame), like=frame, questions=2000)
    assert given.stand_in_report.agreement >= 0.8


@pytest.mark.parametrize("suffix", ["json", "txt", "cbm"])
def test_a_missing_library_says_what_to_install(suffix, monkeypatch, tmp_path):
    library = {"json": "xgboost", "txt": "lightgbm", "cbm": "catboost"}[suffix]
    monkeypatch.setitem(sys.modules, library, None)
    path = tmp_path / f"model.{suffix}"
    path.write_text("{}")
    with pytest.raises(MissingExtra, match=rf"needs the package '{library}': pip install 'counterflow\[trees\]'"):
        models.read_model(path)


def test_a_file_that_is_none_of_these(tmp_path):
    with pytest.raises(ArgumentError, match="Files that run code when they are opened, such as pickles, are not read"):
        models.read_model(tmp_path / "model.pkl")
    with pytest.raises(ArgumentError, match="there is no file"):
        models.read_model(tmp_path / "model.json")


def test_a_damaged_file(tmp_path):
    pytest.importorskip("xgboost")
    path = tmp_path / "model.json"
    path.write_text("{}")
    with pytest.raises(ModelError, match=r"'.*model.json' cannot be read as a model, with "):
        models.read_model(path)


def test_no_library_is_imported_to_find_out():
    script = (
        "import sys, counterflow.models; print({'xgboost', 'lightgbm', 'catboost', 'onnxruntime'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

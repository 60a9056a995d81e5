"""``counterflow fit --model FILE``: the file is kept in the folder, and the folder explains it from then on."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

NAMES = ["income", "accounts", "housing", "sex"]


def training(table):
    frame = pd.read_csv(table)
    return frame[NAMES], frame["loan"]


def saved_xgboost(table, path, *, turned=False):
    xgboost = pytest.importorskip("xgboost")
    frame, loan = training(table)
    frame = frame.assign(**{name: frame[name].astype("category") for name in ("housing", "sex")})
    model = xgboost.XGBClassifier(n_estimators=15, max_depth=3, n_jobs=1, enable_categorical=True)
    model.fit(frame, (loan == ("no" if turned else "yes")).astype(int)).save_model(path)
    return model.predict_proba(frame)[:, 1]


def saved_lightgbm(table, path):
    lightgbm = pytest.importorskip("lightgbm")
    frame, loan = training(table)
    frame = frame.assign(**{name: frame[name].astype("category") for name in ("housing", "sex")})
    model = lightgbm.LGBMClassifier(n_estimators=15, n_jobs=1, verbose=-1).fit(frame, loan)
    model.booster_.save_model(path)
    return model.predict_proba(frame)[:, 1]


def saved_catboost(table, path):
    catboost = pytest.importorskip("catboost")
    frame, loan = training(table)
    settings = {"iterations": 15, "depth": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(cat_features=["housing", "sex"], **settings).fit(frame, loan)
    model.save_model(str(path))
    return model.predict_proba(frame)[:, 1]


def saved_onnx(table, path):
    pytest.importorskip("onnx")
    from tests.models.test_onnx import network_file

    frame, _ = training(table)
    weights = np.array([[0.01], [-0.4], [-1.0], [0.0]], np.float32)
    bias = np.array([-9.0], np.float32)
    network_file(path, weights, bias)
    numbers = frame.assign(housing=frame["housing"] == "rent", sex=frame["sex"] == "m").to_numpy(float)
    return 1 / (1 + np.exp(-(numbers @ weights + bias)[:, 0]))


KINDS = {
    "model.json": (saved_xgboost, [], "Note: 'model.json' numbers its classes; taken as 0 is 'no', 1 is 'yes'."),
    "model.txt": (saved_lightgbm, ["--model-classes", "no,yes"], ""),
    "model.cbm": (saved_catboost, [], ""),
    "model.onnx": (saved_onnx, ["--model-output", "logits", "--model-classes", "no,yes"], ""),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_in_a_folder_answers_as_the_file_does(table, tmp_path, monkeypatch, name):
    from counterflow import models
    from counterflow.cli.user_models import _model_of, open_model
    from counterflow.tables import Schema, read_table

    monkeypatch.chdir(tmp_path)
    save, options, _ = KINDS[name]
    expected = save(table, tmp_path / name)
    rows = read_table(table)
    schema = Schema.infer(rows, target="loan")
    named = dict(zip(options[::2], options[1::2], strict=True))
    output, classes = named.get("--model-output"), named.get("--model-classes")
    opened = open_model(name, schema, frame=rows, output=output, classes=classes and [classes])
    (tmp_path / "f").mkdir()
    record = json.loads(json.dumps(opened.keep(tmp_path / "f")))
    (tmp_path / name).unlink()
    model = models.adapt(_model_of(record, tmp_path / "f", None), schema, like=rows)
    np.testing.assert_allclose(model.probabilities(rows)[:, 1], expected, rtol=1e-4)


def fitted(run, table, name):
    """Fit on a file and remove it; what the model answers, and what was said."""
    save, options, note = KINDS[name]
    expected = save(table, Path(name))
    ended = run("fit", table, "--target", "loan", "--model", name, "--out", "f", *options)
    assert ended.code == 0, ended.err
    assert note in ended.err
    Path(name).unlink()
    return expected


@pytest.mark.parametrize("name", ["model.json", "model.onnx"])
def test_the_folder_keeps_the_file(run, quick, table, name):
    from counterflow.cli.user_models import load_explainer

    expected = fitted(run, table, name)
    explainer = load_explainer(Path("f"), None)
    frame, _ = training(table)
    np.testing.assert_allclose(explainer.model_.probabilities(frame)[:, 1], expected, rtol=1e-4)
    assert explainer.model_.stand_in
    assert json.loads(Path("f", "fit.json").read_text(encoding="utf-8"))["model"]["file"] == name


def test_explain_needs_the_folder_alone(run, quick, table, rows):
    fitted(run, table, "model.json")
    shutil.move("f", "elsewhere")
    ended = run("explain", "elsewhere", rows, "--desired", "yes", "--out", "cfs.csv")
    assert ended.code == 0, ended.err
    assert "not the very model" not in ended.err
    with open("cfs.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 6
    saved_xgboost(table, Path("other.json"), turned=True)
    ended = run("explain", "elsewhere", rows, "--desired", "yes", "--out", "cfs.csv", "--model", "other.json")
    assert "is not the very model that 'elsewhere' was fitted with" in ended.err


def test_classes_in_another_order(table, tmp_path):
    from counterflow import models
    from counterflow.cli.user_models import open_model
    from counterflow.tables import Schema, read_table

    expected = saved_xgboost(table, tmp_path / "m.json", turned=True)
    rows = read_table(table)
    schema = Schema.infer(rows, target="loan")
    opened = open_model(str(tmp_path / "m.json"), schema, frame=rows, classes=["yes", "no"])
    model = models.adapt(opened.model, schema, like=rows)
    np.testing.assert_allclose(model.probabilities(rows)[:, model.class_index("no")], expected, rtol=1e-5)


def parted(whole, path):
    """The same model with its weights in a file beside it."""
    import onnx

    save = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0, "convert_attribute": True}
    onnx.save(onnx.load(str(whole)), str(path), **save)


def refused(ended, *words):
    assert ended.code == 2
    assert all(word in ended.err for word in words), ended.err
    assert "Traceback" not in ended.err


def test_what_cannot_be(run, table, tmp_path):
    def fit(*words):
        return run("fit", table, "--target", "loan", "--out", "f", *words)

    saved_onnx(table, tmp_path / "m.onnx")
    refused(fit("--model", "m.onnx"), "does not say what it answers", "output='logits'")
    refused(fit("--model", "gone.onnx"), "there is no file 'gone.onnx'")
    parted(tmp_path / "m.onnx", tmp_path / "parted.onnx")
    refused(fit("--model", "parted.onnx"), "'parted.onnx' keeps its weights in other files ('weights.bin')", "one file")
    wrong = ["--model", "m.onnx", "--model-output", "logits", "--model-classes", "no,maybe"]
    refused(fit(*wrong), "'maybe'", "'no', 'yes'")
    refused(fit("--model-output", "logits"), "say how to read a --model, and none was given")
    refused(fit("--model", "math:pi", "--model-output", "logits"), "are for files of models")
    assert not Path("f").exists()

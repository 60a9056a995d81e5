"""ONNX files as torch and scikit-learn export them, against the models that were exported."""

import sys

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from counterflow import models
from counterflow.core.errors import ArgumentError, MissingExtra, ModelError
from tests.models.data import mixed, mixed_schema, numeric, schema_of

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def network_file(path, weights, bias, *, name="logits"):
    """A linear layer as torch exports one: a matrix of float32 in, one tensor out."""
    from onnx import TensorProto, helper, numpy_helper

    inputs = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, weights.shape[0]])
    outputs = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, weights.shape[1]])
    constants = [numpy_helper.from_array(array, label) for array, label in ((weights, "w"), (bias, "b"))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], [name])]
    graph = helper.make_graph(nodes, "net", [inputs], [outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def pieces(outputs, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(6, outputs)).astype(np.float32), random.normal(size=outputs).astype(np.float32)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("outputs", [1, 2])
def test_logits_of_a_network(tmp_path, outputs):
    frame, _ = numeric("wine")
    weights, bias = pieces(outputs)
    path = network_file(tmp_path / "net.onnx", weights / 100, bias)
    logits = torch.from_numpy(frame.to_numpy(np.float32) @ (weights / 100) + bias).double()
    pair = logits if outputs == 2 else torch.cat((torch.zeros_like(logits), logits), 1)
    wrapped = models.wrap(path, output="logits", classes=["no", "yes"])
    ours = models.adapt(wrapped, schema_of(frame), like=frame)
    np.testing.assert_allclose(ours.probabilities(frame), pair.softmax(1), atol=1e-5)
    again = models.adapt(
        models.wrap(session(path), output="logits", classes=["no", "yes"]), schema_of(frame), like=frame
    )
    assert again.fingerprint == ours.fingerprint
    assert not ours.differentiable


def test_an_output_that_is_not_stated_is_an_error(tmp_path):
    frame, _ = numeric("wine")
    path = network_file(tmp_path / "net.onnx", *pieces(2))
    for model in (path, str(path), session(path), models.wrap(path, classes=["no", "yes"])):
        with pytest.raises(ModelError, match="the ONNX model does not say what it answers. Wrap it: models.wrap"):
            models.adapt(model, schema_of(frame), like=frame)
    with pytest.raises(ArgumentError, match="output must be stated as one of"):
        models.wrap(path, output="scores")


def test_logits_stated_as_probabilities_are_found_out(tmp_path):
    frame, _ = numeric("wine")
    path = network_file(tmp_path / "net.onnx", *pieces(2))
    with pytest.raises(ModelError, match="If it answers logits, state output='logits'"):
        models.adapt(models.wrap(path, output="probabilities", classes=[0, 1]), schema_of(frame), like=frame)


def test_classes_that_are_not_stated_are_an_error(tmp_path):
    frame, _ = numeric("wine")
    path = network_file(tmp_path / "net.onnx", *pieces(2))
    with pytest.raises(ModelError, match="numbers its classes and does not know what they are called"):
        models.adapt(models.wrap(path, output="logits"), schema_of(frame), like=frame)


def test_an_encoding_before_the_network(tmp_path):
    frame, _ = mixed()
    encode = make_column_transformer(
        (StandardScaler(), ["alcohol", "magnesium", "tens"]), (OneHotEncoder(), ["ash"])
    ).fit(frame)
    weights, bias = pieces(3)
    path = network_file(tmp_path / "net.onnx", weights, bias)
    wrapped = models.wrap(path, encode=encode, output="logits", classes=["a", "b", "c"])
    ours = models.adapt(wrapped, mixed_schema(), like=frame)
    logits = torch.from_numpy(encode.transform(frame).astype(np.float32) @ weights + bias).double()
    np.testing.assert_allclose(ours.probabilities(frame), logits.softmax(1), atol=1e-5)


def test_a_width_that_does_not_fit(tmp_path):
    frame, _ = mixed()
    path = network_file(tmp_path / "net.onnx", *pieces(2))
    with pytest.raises(ModelError, match=r"takes 6 numbers a row, and got 5. Say how .*encode="):
        models.adapt(models.wrap(path, output="logits", classes=[0, 1]), mixed_schema(), like=frame)


def test_values(tmp_path):
    frame, target = numeric("diabetes")
    line = LinearRegression().fit(frame, target)
    weights, bias = line.coef_[:, None].astype(np.float32), np.array([line.intercept_], np.float32)
    path = network_file(tmp_path / "net.onnx", weights, bias, name="value")
    ours = models.adapt(models.wrap(path, output="value"), schema_of(frame), like=frame)
    np.testing.assert_allclose(ours.predict(frame), line.predict(frame), rtol=1e-4)


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_pipeline_with_an_input_for_each_column_and_classes_of_its_own(tmp_path, zipmap):
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    frame, labels = mixed()
    numbers, columns = ["alcohol", "magnesium", "tens"], ["ash", "alcohol", "magnesium", "tens"]
    prepare = make_column_transformer((OneHotEncoder(), ["ash"]), (StandardScaler(), numbers))
    pipeline = make_pipeline(prepare, GradientBoostingClassifier(n_estimators=5, random_state=0))
    pipeline.fit(frame[columns], labels)
    kinds = [("ash", StringTensorType([None, 1])), *((name, FloatTensorType([None, 1])) for name in numbers)]
    exported = skl2onnx.convert_sklearn(
        pipeline, initial_types=kinds, options={id(pipeline): {"zipmap": zipmap}}, target_opset=17
    )
    path = tmp_path / "pipeline.onnx"
    path.write_bytes(exported.SerializeToString())
    for model in (path, onnxruntime.InferenceSession(exported.SerializeToString())):
        ours = models.adapt(model, mixed_schema(), like=frame)
        assert ours.classes == ("barbera", "barolo", "grignolino")
        np.testing.assert_allclose(ours.probabilities(frame), pipeline.predict_proba(frame[columns]), atol=1e-5)


def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch):
    path = network_file(tmp_path / "net.onnx", *pieces(2))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"needs the package 'onnxruntime': pip install 'counterflow\[onnx\]'"):
        models.read_model(path)

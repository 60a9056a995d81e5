"""ONNX files as torch modules: onnxruntime computes the same, and so does the network that was exported."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from counterflow.core.errors import ArgumentError, MissingExtra, ModelError
from counterflow.models import read_network
from counterflow.models.onnx_operators import OPERATORS

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def random_like(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.4


def same_as_onnxruntime(path, x):
    """Our answer, after it was found to be onnxruntime's."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    ours = read_network(path)(x)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-5)
    return ours


class Network(nn.Module):
    """A little of everything, and a shape that is read off the input."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(6), nn.MaxPool2d(2, padding=1), nn.ELU()
        )
        self.second = nn.Sequential(nn.Conv2d(6, 4, 3, padding=1, groups=2, dilation=1), nn.GELU(), nn.Dropout())
        self.head = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 3), nn.Softmax(1))

    def forward(self, x):
        x = self.second(self.first(x))
        x = x * torch.sigmoid(x)
        x = nn.functional.avg_pool2d(x, 2, padding=1, count_include_pad=False)
        return self.head(x.amax((2, 3)).view(x.size(0), -1).clamp(-1.0, 4.0))


def exported(path, net, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces another exporter, which needs a package more
        torch.onnx.export(net.eval(), (x,), str(path), dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
    return path


def test_a_network_that_torch_exported(tmp_path):
    net, x = Network(), random_like(5, 1, 12, 12)
    generator = torch.Generator().manual_seed(1)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
    path = exported(tmp_path / "net.onnx", net, x[:2])
    ours = same_as_onnxruntime(path, x)
    torch.testing.assert_close(ours, net(x).detach(), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_network(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)).eval()
    x = random_like(2, 3, 6, 6)
    loaded = read_network(exported(tmp_path / "net.onnx", net, x))
    slopes = []
    for model in (net, loaded):
        points = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(points)[:, 0].sum(), points)
        slopes.append(slope)
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)
    assert not list(loaded.parameters())
    assert loaded.double()(x.double()).dtype == torch.float64


TENSOR = random_like(2, 3, 4, 6)
POOL = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 0, 0, 2]}
CASES = {
    "AveragePool": (POOL, {}),
    "AveragePool counting pads": (POOL | {"count_include_pad": 1}, {}),
    "BatchNormalization": ({"epsilon": 0.1}, {name: 1 + random_like(3, seed=3) for name in "sbmv"}),
    "Clip": ({}, {"low": torch.tensor(-0.1), "high": torch.tensor(0.2)}),
    "Clip below": ({}, {"low": torch.tensor(-0.1)}),
    "Concat": ({"axis": 1}, {"other": random_like(2, 1, 4, 6)}),
    "Conv": ({"pads": [1, 0, 2, 1], "strides": [2, 1]}, {"w": random_like(4, 3, 2, 2), "b": random_like(4)}),
    "Conv without bias": ({"dilations": [2, 2]}, {"w": random_like(4, 3, 2, 2)}),
    "Div": ({}, {"by": torch.tensor(3.0)}),
    "Dropout": ({}, {}),
    "Elu": ({"alpha": 0.5}, {}),
    "Erf": ({}, {}),
    "Flatten": ({"axis": 2}, {}),
    "Flatten from the end": ({"axis": -1}, {}),
    "Gather": ({"axis": 1}, {"places": torch.tensor([[0, -1]])}),
    "Gelu": ({}, {}),
    "Gelu by tanh": ({"approximate": "tanh"}, {}),
    "GlobalAveragePool": ({}, {}),
    "GlobalMaxPool": ({}, {}),
    "Identity": ({}, {}),
    "LeakyRelu": ({}, {}),
    "LogSoftmax": ({"axis": 1}, {}),
    "MatMul": ({}, {"w": random_like(6, 5)}),
    "MaxPool": (POOL, {}),
    "MaxPool ceil": ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, {}),
    "Pow": ({}, {"by": torch.tensor(2.0)}),
    "ReduceMax": ({}, {"axes": torch.tensor([-1])}),
    "ReduceMean": ({"keepdims": 0}, {"axes": torch.tensor([1, 3])}),
    "ReduceMean of all": ({}, {}),
    "ReduceSum": ({"keepdims": 0}, {"axes": torch.tensor([1])}),
    "Reshape": ({}, {"shape": torch.tensor([0, -1, 2])}),
    "Softmax": ({}, {}),
    "Softplus": ({}, {}),
    "Sub": ({}, {"by": random_like(6)}),
    "Tanh": ({}, {}),
    "Transpose": ({"perm": [0, 2, 3, 1]}, {}),
    "Transpose of all": ({}, {}),
    "Unsqueeze": ({}, {"axes": torch.tensor([0, -1])}),
}


def graph_file(path, kind, settings, others, *, shape=TENSOR.shape):
    """A file of one operator."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node(kind, ["x", *others], ["y"], **settings)
    weights = [numpy_helper.from_array(value.numpy(), name) for name, value in others.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [source], [answer], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    return path


@pytest.mark.parametrize("case", CASES)
def test_every_operator_is_onnxruntimes(tmp_path, case):
    settings, others = CASES[case]
    same_as_onnxruntime(graph_file(tmp_path / "one.onnx", case.split()[0], settings, others), TENSOR)


def test_matrices_and_squeezing(tmp_path):
    others = {"w": random_like(5, 3), "c": random_like(5)}
    settings = {"alpha": 0.5, "beta": 2.0, "transB": 1}
    path = graph_file(tmp_path / "one.onnx", "Gemm", settings, others, shape=(2, 3))
    same_as_onnxruntime(path, random_like(2, 3))
    path = graph_file(tmp_path / "one.onnx", "Squeeze", {}, {"axes": torch.tensor([1, -1])}, shape=(2, 1, 3, 1))
    assert same_as_onnxruntime(path, random_like(2, 1, 3, 1)).shape == (2, 3)
    path = graph_file(tmp_path / "one.onnx", "Squeeze", {}, {}, shape=(2, 1, 3, 1))
    same_as_onnxruntime(path, random_like(2, 1, 3, 1))


def test_every_operator_was_tried():
    inside_the_network = {"Add", "Gemm", "Mul", "Relu", "Shape", "Sigmoid", "Sqrt", "Squeeze"}
    assert set(OPERATORS) == {case.split()[0] for case in CASES} | inside_the_network


def test_what_is_not_known_is_named(tmp_path):
    path = graph_file(tmp_path / "one.onnx", "Sin", {}, {})
    with pytest.raises(ModelError, match="operators that are not known here: 'Sin'"):
        read_network(path)
    path = graph_file(tmp_path / "one.onnx", "MaxPool", {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}, {})
    with pytest.raises(ModelError, match="auto_pad='SAME_UPPER' is not known here"):
        read_network(path)(TENSOR)
    path = graph_file(tmp_path / "one.onnx", "AveragePool", {"kernel_shape": [2, 2], "ceil_mode": 1}, {})
    with pytest.raises(ModelError, match="AveragePool with ceil_mode or dilations"):
        read_network(path)(TENSOR)


def test_files_that_are_no_networks(tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match="there is no file"):
        read_network(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"text.onnx' cannot be read as a model"):
        read_network(tmp_path / "text.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'counterflow\[onnx\]'"):
        read_network(tmp_path / "text.onnx")


def test_onnxruntime_judges_what_was_read(tmp_path, monkeypatch):
    path = graph_file(tmp_path / "one.onnx", "Tanh", {}, {})
    assert read_network(path, like=TENSOR)(TENSOR).shape == TENSOR.shape
    with pytest.raises(ModelError, match=r"fails on an input of shape \(2, 3\)"):
        read_network(path, like=TENSOR[:, :, 0, 0])
    monkeypatch.setitem(OPERATORS, "Tanh", lambda node, x: 1.01 * x.tanh())
    with pytest.raises(ModelError, match="answers otherwise in torch than in onnxruntime"):
        read_network(path, like=TENSOR)


def test_two_inputs_are_too_many(tmp_path):
    from onnx import TensorProto, helper

    sources = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab"]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "two", sources, [answer])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), tmp_path / "two.onnx"
    )
    with pytest.raises(ModelError, match="must have one input, the images, got 'a', 'b'"):
        read_network(tmp_path / "two.onnx")

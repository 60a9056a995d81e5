"""Wrapped torch networks: the network itself is the witness, and it is given back as it came."""

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

from counterflow.core.errors import ArgumentError, ModelError
from counterflow.models import Loan, adapt, wrap
from tests.models.data import LEVELS, adapted, mixed, mixed_schema, numbers_of, numeric, schema_of, softmax


def network(inputs, outputs, *, dtype=torch.float32, seed=0):
    """Batch norm and dropout: in training mode it would answer otherwise, and change itself."""
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, outputs))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net.to(dtype)


def answer_of(net, inputs):
    with torch.no_grad():
        return net.eval()(inputs).double()


NAMES = ["setosa", "versicolor", "virginica"]


@pytest.fixture
def iris():
    rows, _ = numeric("iris")
    return rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_of_three_classes(iris, dtype):
    net = network(4, 3, dtype=dtype)
    ours, numbers = adapted(wrap(net, output="logits", classes=NAMES), iris)
    expected = answer_of(net, torch.tensor(iris.to_numpy(), dtype=dtype))
    torch.testing.assert_close(ours.logits(numbers), expected)
    assert ours.logits(numbers).dtype == torch.float64
    np.testing.assert_allclose(ours.probabilities(iris), softmax(expected), atol=1e-7)
    assert ours.predict(iris).tolist() == [NAMES[k] for k in expected.argmax(dim=1)]
    assert ours.differentiable
    assert ours.probabilistic


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_is_a_sigmoid(iris, flat):
    net = network(4, 1)
    module = nn.Sequential(net, nn.Flatten(0)) if flat else net
    ours, numbers = adapted(wrap(module, output="logits", classes=["no", "yes"]), iris)
    expected = torch.sigmoid(answer_of(net, numbers.float())[:, 0])
    np.testing.assert_allclose(ours.probabilities(iris)[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(softmax(ours.logits(numbers))[:, 1], expected, atol=1e-6)


@pytest.mark.parametrize(("outputs", "last"), [(2, nn.Softmax(dim=1)), (1, nn.Sigmoid())])
def test_probabilities(iris, outputs, last):
    net = nn.Sequential(network(4, outputs, dtype=torch.float64), last)
    ours, numbers = adapted(wrap(net, output="probabilities", classes=["no", "yes"]), iris)
    expected = answer_of(net, numbers)
    np.testing.assert_allclose(ours.probabilities(iris)[:, -1], expected[:, -1], atol=1e-12)
    np.testing.assert_allclose(softmax(ours.logits(numbers))[:, -1], expected[:, -1], atol=1e-12)


def test_saturated_probabilities_have_finite_logits_and_gradients(iris):
    class Step(nn.Module):
        def forward(self, x):
            one = torch.sigmoid(1e5 * (x[:, :1] - 5.0))
            return torch.cat([1 - one, one], dim=1)

    ours, numbers = adapted(wrap(Step(), output="probabilities", classes=[0, 1]), iris)
    leaf = numbers.clone().requires_grad_(True)
    logits = ours.logits(leaf)
    (gradient,) = torch.autograd.grad(logits.sum(), leaf)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(gradient).all()


def test_regression(iris):
    net = network(4, 1)
    ours, numbers = adapted(wrap(net, output="value", name="the price"), iris)
    expected = answer_of(net, numbers.float())
    np.testing.assert_allclose(ours.predict(iris), expected[:, 0])
    torch.testing.assert_close(ours.logits(numbers), expected)
    assert ours.classes is None
    with pytest.raises(ModelError, match="the price is a regressor and has no probabilities"):
        ours.probabilities(iris)
    with pytest.raises(ArgumentError, match="has no classes"):
        ours.class_index("yes")


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_encoded_by_a_fitted_transformer(kind):
    frame, _ = mixed(kind)
    encode = make_column_transformer((StandardScaler(), ["alcohol", "magnesium"]), (OneHotEncoder(), ["ash"]))
    encode.fit(frame)
    net = network(5, 3)
    ours, numbers = adapted(wrap(net, encode=encode, output="logits", classes=[0, 1, 2]), frame, mixed_schema())
    expected = answer_of(net, torch.tensor(encode.transform(frame), dtype=torch.float32))
    assert ours.differentiable, ours.why_not
    np.testing.assert_allclose(ours.probabilities(frame), softmax(expected), atol=1e-6)
    torch.testing.assert_close(ours.logits(numbers), expected, atol=1e-5, rtol=1e-5)


def test_encoded_by_a_module(iris):
    encode = nn.Sequential(nn.Linear(4, 2, dtype=torch.float64), nn.Dropout())
    net = network(2, 3)
    ours, numbers = adapted(wrap(net, encode=encode, output="logits", classes=NAMES), iris)
    with torch.no_grad():
        expected = answer_of(net, encode.eval()(numbers).float())
    np.testing.assert_allclose(ours.probabilities(iris), softmax(expected), atol=1e-6)
    torch.testing.assert_close(ours.logits(numbers), expected, atol=1e-5, rtol=1e-5)


def test_categories_arrive_as_codes():
    frame, _ = mixed()
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x[:, :3]

    adapted(wrap(Spy(), output="logits", classes=[0, 1, 2]), frame, mixed_schema())
    codes = [LEVELS.index(level) for level in frame["ash"].iloc[:: max(1, len(frame) // 64)]]
    assert seen[0][:, 1].tolist() == codes
    assert seen[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("encode", "words"),
    [
        (lambda frame: frame.to_numpy() * 2.0, "its encoding is a function"),
        (FunctionTransformer(lambda x: x * 2.0).fit(np.zeros((1, 4))), "FunctionTransformer"),
    ],
)
def test_an_encoding_that_is_code_makes_a_black_box(iris, encode, words):
    net = network(4, 3)
    ours, numbers = adapted(wrap(net, encode=encode, output="logits", classes=NAMES), iris)
    expected = answer_of(net, torch.tensor(iris.to_numpy() * 2.0, dtype=torch.float32))
    np.testing.assert_allclose(ours.probabilities(iris), softmax(expected), atol=1e-6)
    assert not ours.differentiable
    assert words in ours.why_not
    with pytest.raises(ModelError, match="cannot be differentiated"):
        ours.logits(numbers)


def test_gradients_against_finite_differences(iris):
    net = network(4, 3, dtype=torch.float64)
    ours, numbers = adapted(wrap(net, output="logits", classes=NAMES), iris)
    assert torch.autograd.gradcheck(ours.logits, numbers[:3].clone().requires_grad_(True))


def furniture(net):
    return (
        [(name, part.training) for name, part in net.named_modules()],
        [(name, parameter.requires_grad, parameter.grad is None) for name, parameter in net.named_parameters()],
        {name: tensor.clone() for name, tensor in net.state_dict().items()},
    )


def same_furniture(before, after):
    assert before[:2] == after[:2]
    assert all(torch.equal(before[2][name], after[2][name]) for name in before[2])


def guest():
    net = network(4, 3).train()
    net[1].eval()  # someone froze the batch norm
    net[0].bias.requires_grad_(False)
    return net


def test_the_guests_furniture(iris):
    net = guest()
    before = furniture(net)
    ours, numbers = adapted(wrap(net, output="logits", classes=NAMES), iris)
    leaf = numbers.clone().requires_grad_(True)
    ours.logits(leaf).sum().backward()
    ours.predict(iris)
    with ours.borrowed():
        assert not any(part.training for part in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
        ours.logits(numbers)
        assert not net.training  # an inner call does not give back what the outer one holds
    same_furniture(before, furniture(net))
    assert leaf.grad.abs().sum() > 0


def test_the_furniture_after_an_error(iris):
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = guest()

        def forward(self, x):
            if x.shape[0] == 3:
                raise RuntimeError("three rows are too many")
            return self.net(x)

    net = Fragile()
    before = furniture(net)
    ours, numbers = adapted(wrap(net, output="logits", classes=NAMES), iris)
    with pytest.raises(ModelError, match="RuntimeError: three rows are too many"):
        ours.predict(iris[:3])
    with pytest.raises(RuntimeError, match="three rows"):
        ours.logits(numbers[:3])
    same_furniture(before, furniture(net))


def test_a_loan_shared_by_threads():
    net = guest()
    before = furniture(net)
    first = Loan(net)
    with first:
        first.__enter__()
    assert not net[2].training
    first.__exit__(None, None, None)
    same_furniture(before, furniture(net))


@pytest.mark.parametrize(
    ("outputs", "arguments", "words"),
    [
        (
            2,
            {"output": "logits", "classes": NAMES},
            r"\(50, 3\) logits for 50 rows and 3 classes, got \(50, 2\)",
        ),
        (3, {"output": "logits", "classes": [0, 1]}, r"\(or one column, of the second class\), got \(50, 3\)"),
        (
            3,
            {"output": "probabilities", "classes": NAMES},
            "If it answers logits, state output='logits'",
        ),
        (3, {"output": "value"}, r"must answer one value per row, shape \(50,\), got \(50, 3\)"),
    ],
)
def test_networks_that_answer_otherwise_than_stated(iris, outputs, arguments, words):
    with pytest.raises(ModelError, match=words):
        adapted(wrap(network(4, outputs), **arguments), iris[:50])


def test_nan_and_wrong_input_size(iris):
    net = network(4, 3)
    with torch.no_grad():
        net[-1].bias[1] = float("nan")
    with pytest.raises(ModelError, match="answers NaN or infinity for row 0"):
        adapted(wrap(net, output="logits", classes=NAMES), iris)
    with pytest.raises(ModelError, match="the network Sequential failed on the table, with RuntimeError: mat1"):
        adapted(wrap(network(7, 3), output="logits", classes=NAMES), iris)


def test_a_network_that_answers_a_tuple(iris):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ModelError, match="must answer a tensor, got tuple"):
        adapted(wrap(Pair(), output="logits", classes=NAMES), iris)


def test_an_encoding_of_another_kind(iris):
    with pytest.raises(ModelError, match="must be a fitted transformer, a torch module or a function, got 7"):
        adapted(wrap(network(4, 3), encode=7, output="logits", classes=NAMES), iris)
    with pytest.raises(ModelError, match="must give an array of numbers, got list"):
        adapted(wrap(network(4, 3), encode=lambda frame: [["a"]], output="logits", classes=NAMES), iris)


def test_a_bare_network_must_be_wrapped(iris):
    with pytest.raises(ModelError, match="Linear does not say what it answers. Wrap it"):
        adapt(nn.Linear(4, 3), schema_of(iris), like=iris)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": NAMES}, "output must be stated as one of 'logits', 'probabilities', 'value', 'labels', got None"),
        ({"output": "softmax", "classes": NAMES}, "got 'softmax'"),
        ({"output": "logits"}, "needs classes"),
        ({"output": "logits", "classes": ["a"]}, "at least two labels"),
        ({"output": "logits", "classes": ["a", "a"]}, "must differ"),
        ({"output": "value", "classes": ["a", "b"]}, "regression, which has no classes"),
        ({"output": "labels", "classes": ["a", "b"]}, "a torch module answers numbers"),
    ],
)
def test_what_must_be_stated(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        wrap(nn.Linear(4, 3), **arguments)


def test_a_number_is_no_model():
    with pytest.raises(ArgumentError, match="an estimator, an ONNX session or the path of a file, got int"):
        wrap(7, output="logits", classes=NAMES)


def test_the_network_stays_in_its_own_precision(iris):
    net = network(4, 3)
    ours, numbers = adapted(wrap(net, output="logits", classes=NAMES), iris)
    ours.logits(numbers)
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    assert numbers_of(schema_of(iris), iris).dtype == torch.float64

"""An ONNX file as a torch module, so that gradients pass through it: what latent ascent needs of a classifier."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, MissingExtra, ModelError
from counterflow.models.files import read_model
from counterflow.models.onnx_operators import OPERATORS, Node
from counterflow.tables.hints import listed

__all__ = ["OnnxNetwork", "read_network"]


class OnnxNetwork(nn.Module):
    """The graph of an ONNX file, computed by torch node by node.

    Its weights are buffers: there is nothing to train. Networks of convolutions and dense layers are known, and what
    exporters put around them; see :data:`~counterflow.models.onnx_operators.OPERATORS`.

    Args:
        nodes: The nodes, in the order in which they are computed.
        constants: The weights by name.
        source: The name of the input.
        answer: The name of the output.

    Example:
        >>> double = Node("Add", ["x", "x"], ["y"], {})
        >>> OnnxNetwork([double], {}, source="x", answer="y")(torch.tensor([3.0]))
        tensor([6.])
    """

    def __init__(self, nodes: list[Node], constants: dict[str, Tensor], *, source: str, answer: str) -> None:
        super().__init__()
        self.nodes, self.source, self.answer = nodes, source, answer
        self._places = {name: f"constant_{place}" for place, name in enumerate(constants)}
        for name, place in self._places.items():
            self.register_buffer(place, constants[name])

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output."""
        values: dict[str, Any] = {name: getattr(self, place) for name, place in self._places.items()}
        values |= {self.source: x, "": None}
        for node in self.nodes:
            made = OPERATORS[node.kind](node, *(values[name] for name in node.inputs))
            values[node.outputs[0]] = made
        return values[self.answer]


def read_network(path: str | Path, *, like: Tensor | None = None) -> OnnxNetwork:
    """Read a network from an ONNX file and make a torch module of it.

    Args:
        path: The file: one input, and the first output counts.
        like: Images, or whatever it takes, to ask both onnxruntime and the torch module: they must say the same.

    Returns:
        The network, in evaluation mode, in float32 as a rule.

    Raises:
        ArgumentError: There is no such file.
        MissingExtra: The package onnx, or with ``like`` onnxruntime, is not installed.
        ModelError: The file cannot be read, has several inputs, holds an operator that is not known, or answers
            otherwise in torch.

    Example:
        >>> read_network("nowhere.onnx")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ArgumentError: there is no file 'nowhere.onnx'. Check the path.
    """
    path = Path(path)
    if not path.is_file():
        raise ArgumentError(f"there is no file '{path}'. Check the path.")
    graph = _graph(path)
    constants = {each.name: _tensor(each) for each in graph.initializer}
    sources = [each.name for each in graph.input if each.name not in constants]
    if len(sources) != 1:
        raise ModelError(f"'{path}' must have one input, the images, got {listed(sources)}.")
    constants |= {each.output[0]: _constant(each) for each in graph.node if each.op_type == "Constant"}
    nodes = [_node(each) for each in graph.node if each.op_type != "Constant"]
    if unknown := sorted({node.kind for node in nodes} - set(OPERATORS)):
        raise ModelError(
            f"'{path}' holds operators that are not known here: {listed(unknown)}. Give the network itself in place of "
            "the file, as module:attribute."
        )
    network = OnnxNetwork(nodes, constants, source=sources[0], answer=graph.output[0].name).eval()
    if like is not None:
        _check_same(network, path, like)
    return network


@torch.no_grad()
def _check_same(network: OnnxNetwork, path: Path, x: Tensor) -> None:
    session: Any = read_model(path)
    try:
        expected = torch.from_numpy(session.run([network.answer], {network.source: x.numpy()})[0])
        ours = network(x)
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise ModelError(f"'{path}' fails on an input of shape {tuple(x.shape)}: {words}") from error
    if ours.shape != expected.shape or not torch.allclose(ours, expected, rtol=1e-3, atol=1e-4):
        raise ModelError(
            f"'{path}' answers otherwise in torch than in onnxruntime: give the network as module:attribute."
        )


def _graph(path: Path) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra(f"reading '{path}'", "onnx", "onnx") from error
    try:
        return onnx.load(str(path)).graph
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(f"'{path}' cannot be read as a model, with {type(error).__name__}: {words}") from error


def _node(node: Any) -> Node:
    import onnx

    settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    plain = {name: value.decode() if isinstance(value, bytes) else value for name, value in settings.items()}
    return Node(node.op_type, list(node.input), list(node.output), plain)


def _constant(node: Any) -> Tensor:
    """The value that a node holds: a tensor, a number or a list of numbers."""
    import onnx

    value = onnx.helper.get_attribute_value(node.attribute[0])
    return _tensor(value) if isinstance(value, onnx.TensorProto) else torch.tensor(value)


def _tensor(proto: Any) -> Tensor:
    from onnx import numpy_helper

    return torch.from_numpy(numpy_helper.to_array(proto).copy())

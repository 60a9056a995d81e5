"""ONNX's operators in torch: those of networks of convolutions and dense layers, in their inference form."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from counterflow.core.errors import ModelError

__all__ = ["OPERATORS", "Node"]


class Node(NamedTuple):
    """One operator of a graph.

    Args:
        kind: Which.
        inputs: The names of what it takes; an empty one was left out.
        outputs: The names of what it gives; only the first is computed.
        settings: Its attributes.
    """

    kind: str
    inputs: list[str]
    outputs: list[str]
    settings: dict[str, Any]

    def get(self, name: str, default: Any) -> Any:
        """A setting."""
        return self.settings.get(name, default)


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    size = weight.dim() - 2
    apply = (functional.conv1d, functional.conv2d, functional.conv3d)[size - 1]
    padded = functional.pad(x, _pads(node, size))
    steps, gaps = node.get("strides", [1] * size), node.get("dilations", [1] * size)
    return apply(padded, weight, bias, tuple(steps), 0, tuple(gaps), node.get("group", 1))


def _max_pool(node: Node, x: Tensor) -> Tensor:
    window = node.settings["kernel_shape"]
    size = len(window)
    apply = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[size - 1]
    padded = functional.pad(x, _pads(node, size), value=-torch.inf)
    steps, gaps = node.get("strides", [1] * size), node.get("dilations", [1] * size)
    return apply(padded, tuple(window), tuple(steps), 0, tuple(gaps), bool(node.get("ceil_mode", 0)))


def _average_pool(node: Node, x: Tensor) -> Tensor:
    window, size = node.settings["kernel_shape"], len(node.settings["kernel_shape"])
    if node.get("ceil_mode", 0) or set(node.get("dilations", [1])) != {1}:
        raise ModelError(
            "AveragePool with ceil_mode or dilations is not known here. Give the network as module:attribute."
        )
    apply = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[size - 1]
    pads, steps = _pads(node, size), tuple(node.get("strides", [1] * size))
    mean = apply(functional.pad(x, pads), tuple(window), steps)
    if node.get("count_include_pad", 0) or not any(pads):
        return mean
    return mean / apply(functional.pad(torch.ones_like(x[:1, :1]), pads), tuple(window), steps)


def _pads(node: Node, size: int) -> list[int]:
    """Padding in torch's order, the last dimension first."""
    if node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise ModelError(f"{node.kind} with auto_pad={node.settings['auto_pad']!r} is not known here. Export its pads.")
    pads = node.get("pads", [0] * (2 * size))
    return [end for axis in reversed(range(size)) for end in (pads[axis], pads[size + axis])]


def _batch_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=node.get("epsilon", 1e-5))


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    left, right = a.mT if node.get("transA", 0) else a, b.mT if node.get("transB", 0) else b
    product = node.get("alpha", 1.0) * (left @ right)
    return product if c is None else product + node.get("beta", 1.0) * c


def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(size) for size in shape]
    kept = [x.shape[axis] if size == 0 and not node.get("allowzero", 0) else size for axis, size in enumerate(sizes)]
    return x.reshape(kept)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    ends = [node.get(name, None) if end is None else end.item() for name, end in (("min", low), ("max", high))]
    return x if ends == [None, None] else x.clamp(*ends)


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator that leaves out some dimensions, or all."""

    def reduced(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _axes(node, axes) or range(x.dim())
        return function(x, tuple(chosen), keepdim=bool(node.get("keepdims", 1)))

    return reduced


def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes)
    return x.squeeze(tuple(chosen)) if chosen else x.squeeze()


def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    chosen = _axes(node, axes)
    for axis in sorted(axis % (x.dim() + len(chosen)) for axis in chosen):
        x = x.unsqueeze(axis)
    return x


def _axes(node: Node, axes: Tensor | None) -> list[int]:
    """Which dimensions, as newer files (an input) or older ones (a setting) say it."""
    return list(node.get("axes", [])) if axes is None else axes.reshape(-1).tolist()


def _gather(node: Node, x: Tensor, places: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.dim()
    found = x.index_select(axis, places.reshape(-1).long() % x.shape[axis])
    return found.reshape((*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))


def _concat(node: Node, *parts: Tensor) -> Tensor:
    return torch.cat(parts, node.settings["axis"])


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(*node.get("perm", list(reversed(range(x.dim())))))


def _global_pool(reduce: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Callable[..., Tensor]:
    return lambda node, x: reduce(x, tuple(range(2, x.dim())))


def _plain(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator that has no settings."""
    return lambda node, *values: function(*values)


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _plain(torch.div),
    "Dropout": lambda node, x, *_: x,
    "Elu": lambda node, x: functional.elu(x, node.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda node, x: functional.gelu(x, approximate=node.get("approximate", "none")),
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool(lambda x, axes: x.mean(axes, keepdim=True)),
    "GlobalMaxPool": _global_pool(lambda x, axes: x.amax(axes, keepdim=True)),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": lambda node, x: functional.leaky_relu(x, node.get("alpha", 0.01)),
    "LogSoftmax": lambda node, x: x.log_softmax(node.get("axis", -1)),
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Pow": _plain(torch.pow),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": lambda node, x: torch.tensor(x.shape),
    "Sigmoid": _plain(torch.sigmoid),
    "Softmax": lambda node, x: x.softmax(node.get("axis", -1)),
    "Softplus": _plain(functional.softplus),
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""What computes each operator that is known: ``function(node, *inputs)``."""

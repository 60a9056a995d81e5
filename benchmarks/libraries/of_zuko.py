"""zuko's flows."""

import torch
import zuko
from zuko.transforms import MonotonicRQSTransform

from benchmarks.cases import BINS, Size
from benchmarks.libraries.library import Library
from benchmarks.libraries.on_torch import WAYS, TorchFlow, device_memory, load_compiler, on_device

__all__ = ["LIBRARY"]


def _hidden(size: Size) -> tuple[int, int]:
    return size.hidden, size.hidden


def _realnvp(size: Size) -> TorchFlow:
    return _model(zuko.flows.RealNVP(size.features, transforms=size.layers, hidden_features=_hidden(size)))


def _maf(size: Size) -> TorchFlow:
    return _model(zuko.flows.MAF(size.features, transforms=size.layers, hidden_features=_hidden(size)))


def _spline_coupling(size: Size) -> TorchFlow:
    flow = zuko.flows.NICE(
        size.features,
        transforms=size.layers,
        univariate=MonotonicRQSTransform,
        shapes=[(BINS,), (BINS,), (BINS - 1,)],
        hidden_features=_hidden(size),
    )
    return _model(flow)


def _spline_autoregressive(size: Size) -> TorchFlow:
    flow = zuko.flows.NSF(size.features, bins=BINS, transforms=size.layers, hidden_features=_hidden(size))
    return _model(flow)


def _model(flow: zuko.lazy.Flow) -> TorchFlow:
    density = flow()  # looks its parameters up in the flow whenever it is called, so one serves for all steps
    return TorchFlow(flow, density.log_prob, lambda count: density.sample(torch.Size([count])))


LIBRARY = Library(
    "zuko",
    {"RealNVP": _realnvp, "MAF": _maf, "NSF-C": _spline_coupling, "NSF-AR": _spline_autoregressive},
    ways=WAYS,
    notes={
        "eager": "the distribution is built once and serves for all steps",
        "compiled": "log_prob and sample of that distribution through torch.compile, without a graph break",
    },
    prepare=load_compiler,
    place=on_device,
    memory=device_memory,
)

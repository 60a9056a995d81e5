"""zuko's flows."""

import torch
import zuko
from zuko.transforms import MonotonicRQSTransform

from benchmarks.cases import BINS, Size
from benchmarks.libraries.model import Library, TorchModel

__all__ = ["LIBRARY"]


def _hidden(size: Size) -> tuple[int, int]:
    return size.hidden, size.hidden


def _realnvp(size: Size) -> TorchModel:
    return _model(zuko.flows.RealNVP(size.features, transforms=size.layers, hidden_features=_hidden(size)))


def _maf(size: Size) -> TorchModel:
    return _model(zuko.flows.MAF(size.features, transforms=size.layers, hidden_features=_hidden(size)))


def _spline_coupling(size: Size) -> TorchModel:
    flow = zuko.flows.NICE(
        size.features,
        transforms=size.layers,
        univariate=MonotonicRQSTransform,
        shapes=[(BINS,), (BINS,), (BINS - 1,)],
        hidden_features=_hidden(size),
    )
    return _model(flow)


def _spline_autoregressive(size: Size) -> TorchModel:
    flow = zuko.flows.NSF(size.features, bins=BINS, transforms=size.layers, hidden_features=_hidden(size))
    return _model(flow)


def _model(flow: zuko.lazy.Flow) -> TorchModel:
    density = flow()  # looks its parameters up in the flow whenever it is called, so one serves for all steps
    return TorchModel(flow, density.log_prob, lambda count: density.sample(torch.Size([count])))


LIBRARY = Library(
    "zuko",
    {"RealNVP": _realnvp, "MAF": _maf, "NSF-C": _spline_coupling, "NSF-AR": _spline_autoregressive},
    note="eager; the distribution is built once and serves for all steps",
)

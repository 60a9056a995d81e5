"""counterflow's flows, bare: no normalization of the inputs and no linear maps between the layers."""

from benchmarks.cases import BINS, BOUND, Size
from benchmarks.libraries.model import Library, TorchModel
from counterflow import flows
from counterflow.bijections import AbstractTransformer, ScaleShift, Spline
from counterflow.flows.layers import autoregressive_maps, couplings

__all__ = ["LIBRARY"]


def _coupling(size: Size, transformer: AbstractTransformer) -> TorchModel:
    stack = couplings(
        size.features,
        transformer,
        layers=size.layers,
        hidden=(size.hidden, size.hidden),
        context_features=0,
        activation="relu",
        generator=None,
    )
    return _model(flows.compose(stack))


def _autoregressive(size: Size, transformer: AbstractTransformer) -> TorchModel:
    stack = autoregressive_maps(
        size.features,
        transformer,
        layers=size.layers,
        hidden=(size.hidden, size.hidden),
        residual=False,
        context_features=0,
        activation="relu",
        generator=None,
    )
    return _model(flows.compose(stack))


def _model(flow: flows.Flow) -> TorchModel:
    return TorchModel(flow, flow, flow.sample)


SPLINE = Spline(bins=BINS, bound=BOUND)

LIBRARY = Library(
    "counterflow",
    {
        "RealNVP": lambda size: _coupling(size, ScaleShift()),
        "MAF": lambda size: _autoregressive(size, ScaleShift()),
        "NSF-C": lambda size: _coupling(size, SPLINE),
        "NSF-AR": lambda size: _autoregressive(size, SPLINE),
    },
    note="eager; layers as in the recipes, without ActNorm and linear maps, which not all peers have",
)

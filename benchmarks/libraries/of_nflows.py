"""nflows' flows."""

from collections.abc import Callable
from functools import partial

import torch
from nflows.distributions import StandardNormal
from nflows.flows import Flow
from nflows.transforms import (
    AffineCouplingTransform,
    CompositeTransform,
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
    PiecewiseRationalQuadraticCouplingTransform,
    ReversePermutation,
    Transform,
)

from benchmarks.cases import BINS, BOUND, Size
from benchmarks.libraries.library import Library
from benchmarks.libraries.on_torch import WAYS, Conditioner, TorchFlow, device_memory, load_compiler, on_device

__all__ = ["LIBRARY"]

SPLINE = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}


def _couplings(size: Size, make: Callable[..., Transform]) -> TorchFlow:
    first = torch.arange(size.features) < size.features // 2
    net = partial(Conditioner, hidden=size.hidden)
    return _model(size, [make((first if i % 2 else ~first).int(), net) for i in range(size.layers)])


def _autoregressive(size: Size, make: Callable[..., Transform]) -> TorchFlow:
    settings = {"num_blocks": 1, "use_residual_blocks": False}
    stack: list[Transform] = []
    for i in range(size.layers):
        stack += [ReversePermutation(size.features)] if i else []
        stack += [make(features=size.features, hidden_features=size.hidden, **settings)]
    return _model(size, stack)


def _model(size: Size, stack: list[Transform]) -> TorchFlow:
    flow = Flow(CompositeTransform(stack), StandardNormal([size.features]))
    return TorchFlow(flow, flow.log_prob, flow.sample)


LIBRARY = Library(
    "nflows",
    {
        "RealNVP": lambda size: _couplings(size, AffineCouplingTransform),
        "MAF": lambda size: _autoregressive(size, MaskedAffineAutoregressiveTransform),
        "NSF-C": lambda size: _couplings(size, partial(PiecewiseRationalQuadraticCouplingTransform, **SPLINE)),
        "NSF-AR": lambda size: _autoregressive(
            size, partial(MaskedPiecewiseRationalQuadraticAutoregressiveTransform, **SPLINE)
        ),
    },
    ways=WAYS,
    notes={
        "eager": "as it comes",
        "compiled": "affine flows alone: torch.compile breaks the graph at the boolean masks of a spline, whose steps "
        "it makes no faster",
    },
    prepare=load_compiler,
    place=on_device,
    memory=device_memory,
)

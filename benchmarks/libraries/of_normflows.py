"""normflows' flows."""

from collections.abc import Callable
from functools import partial

import normflows as nf
import torch
from normflows.flows.neural_spline.autoregressive import MaskedPiecewiseRationalQuadraticAutoregressive
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling

from benchmarks.cases import BINS, BOUND, Size
from benchmarks.libraries.library import Library
from benchmarks.libraries.on_torch import WAYS, Conditioner, TorchFlow, device_memory, load_compiler, on_device

__all__ = ["LIBRARY"]

SPLINE = {"num_bins": BINS, "tails": "linear", "tail_bound": BOUND}
MADE = {"num_blocks": 1, "use_residual_blocks": False}


def _affine_couplings(size: Size) -> TorchFlow:
    half, hidden = size.features // 2, size.hidden
    modes = ["channel_inv" if i % 2 else "channel" for i in range(size.layers)]
    nets = [nf.nets.MLP([half, hidden, hidden, 2 * half]) for _ in modes]
    return _model(
        size, [nf.flows.AffineCouplingBlock(net, split_mode=mode) for net, mode in zip(nets, modes, strict=True)]
    )


def _spline_couplings(size: Size) -> TorchFlow:
    first = torch.arange(size.features) < size.features // 2
    net = partial(Conditioner, hidden=size.hidden)
    masks = [(first if i % 2 else ~first).int() for i in range(size.layers)]
    return _model(
        size, [nf.flows.base.Reverse(PiecewiseRationalQuadraticCoupling(mask, net, **SPLINE)) for mask in masks]
    )


def _affine_autoregressive(size: Size) -> TorchFlow:
    make = partial(nf.flows.MaskedAffineAutoregressive, size.features, size.hidden, **MADE)
    return _model(size, _permuted(size, make))


def _spline_autoregressive(size: Size) -> TorchFlow:
    make = partial(MaskedPiecewiseRationalQuadraticAutoregressive, size.features, size.hidden, **MADE, **SPLINE)
    return _model(size, _permuted(size, make))


def _permuted(size: Size, make: Callable[[], nf.flows.Flow]) -> list[nf.flows.Flow]:
    """Maps whose one-pass direction is that of densities, with a permutation between one and the next."""
    stack: list[nf.flows.Flow] = []
    for i in range(size.layers):
        stack += [nf.flows.Permute(size.features)] if i else []
        stack += [nf.flows.base.Reverse(make())]
    return stack


def _model(size: Size, stack: list[nf.flows.Flow]) -> TorchFlow:
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size.features, trainable=False), stack)
    return TorchFlow(flow, flow.log_prob, lambda count: flow.sample(count)[0])


LIBRARY = Library(
    "normflows",
    {
        "RealNVP": _affine_couplings,
        "MAF": _affine_autoregressive,
        "NSF-C": _spline_couplings,
        "NSF-AR": _spline_autoregressive,
    },
    ways=WAYS,
    notes={
        "eager": "autoregressive maps and splines are reversed, so that densities take one pass",
        "compiled": "affine flows alone: torch.compile breaks the graph at the boolean masks of a spline, whose steps "
        "it makes no faster",
    },
    prepare=load_compiler,
    place=on_device,
    memory=device_memory,
)

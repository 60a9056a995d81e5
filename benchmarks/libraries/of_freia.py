"""FrEIA's flows: of the four families its release has the affine couplings."""

import math
from functools import partial

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AffineCouplingOneSided, GLOWCouplingBlock
from torch import Tensor

from benchmarks.cases import Size
from benchmarks.libraries.library import DEVICE, Library
from benchmarks.libraries.on_torch import WAYS, Conditioner, TorchFlow, device_memory, load_compiler, on_device

__all__ = ["LIBRARY"]


def _realnvp(size: Size) -> TorchFlow:
    """A two-sided block is two couplings, of either half; a one-sided one goes first where their number is odd."""
    flow = SequenceINN(size.features)
    net = partial(Conditioner, hidden=size.hidden)
    if size.layers % 2:
        flow.append(AffineCouplingOneSided, subnet_constructor=net)
    for _ in range(size.layers // 2):
        flow.append(GLOWCouplingBlock, subnet_constructor=net)

    def log_prob(x: Tensor) -> Tensor:
        z, log_det = flow(x)
        return log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def sample(count: int) -> Tensor:
        return flow(torch.randn(count, size.features, device=DEVICE), rev=True, jac=False)[0]

    return TorchFlow(flow, log_prob, sample)


LIBRARY = Library(
    "FrEIA",
    {"RealNVP": _realnvp},
    ways=WAYS,
    notes={
        "eager": "two-sided GLOWCouplingBlocks, which need no permutations; its release has neither splines nor MAF",
        "compiled": "its blocks through torch.compile",
    },
    prepare=load_compiler,
    place=on_device,
    memory=device_memory,
)

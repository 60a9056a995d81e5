"""counterflow's flows, bare: no normalization of the inputs and no linear maps between the layers."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import BINS, BOUND, Size
from benchmarks.libraries.library import DEVICE, Library
from benchmarks.libraries.on_torch import (
    LEARNING_RATE,
    TorchFlow,
    TorchModel,
    device_memory,
    finished,
    load_compiler,
    on_device,
    start_compiler,
)
from counterflow import flows
from counterflow.bijections import AbstractTransformer, ScaleShift, Spline
from counterflow.flows.layers import autoregressive_maps, couplings
from counterflow.nets import conditioners_in
from counterflow.training import Batch, TrainingStep, negative_log_likelihood

__all__ = ["LIBRARY"]


def _coupling(size: Size, transformer: AbstractTransformer) -> flows.Flow:
    return flows.compose(
        couplings(
            size.features,
            transformer,
            layers=size.layers,
            hidden=(size.hidden, size.hidden),
            context_features=0,
            activation="relu",
            generator=None,
        )
    )


def _autoregressive(size: Size, transformer: AbstractTransformer) -> flows.Flow:
    return flows.compose(
        autoregressive_maps(
            size.features,
            transformer,
            layers=size.layers,
            hidden=(size.hidden, size.hidden),
            residual=False,
            context_features=0,
            activation="relu",
            generator=None,
        )
    )


class OurModel(TorchModel):
    """A flow that is trained by the library's own step."""

    def __init__(self, flow: flows.Flow, *, compile: bool = False) -> None:
        flow.to(DEVICE)
        super().__init__(TorchFlow(flow, flow, flow.sample))
        self._step = TrainingStep(flow, negative_log_likelihood, compile=compile, trusted=True)

    def train_step(self, x: Tensor) -> Tensor:
        """Take one step."""
        self.turn_to(training=True)
        return finished(self._step(Batch(x), LEARNING_RATE))


class OurCompiledModel(OurModel):
    """Steps in one compiled graph; densities and samples compiled anew after training, masks folded into weights."""

    def __init__(self, flow: flows.Flow) -> None:
        start_compiler()
        super().__init__(flow, compile=True)
        self._flow, self._compiled = flow, None

    def train_step(self, x: Tensor) -> Tensor:
        """Take one step."""
        self._compiled = None
        return super().train_step(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities of rows."""
        return finished(self._evaluator().log_prob(x))

    def sample(self, count: int) -> Tensor:
        """Samples from torch's own generator."""
        return finished(self._evaluator().sample(count))

    def _evaluator(self) -> Any:
        if self._compiled is None:
            self.turn_to(training=False)
            self._compiled = _compiled(self._flow)
        return self._compiled


def _compiled(flow: flows.Flow) -> Any:
    """The library's own compiled form; in a version that has none, what any user can compile."""
    if hasattr(flows, "compiled"):
        return flows.compiled(flow)
    log_prob, sample = (torch.compile(function, dynamic=False) for function in (flow, flow.sample))
    return SimpleNamespace(log_prob=torch.no_grad()(log_prob), sample=sample)


class OurMixedModel(OurCompiledModel):
    """The same with conditioners in bfloat16."""

    def __init__(self, flow: flows.Flow) -> None:
        self._precision = conditioners_in(flow, torch.bfloat16)
        self._precision.__enter__()  # for as long as the model lives
        super().__init__(flow)


def _reversible(flow: flows.Flow) -> OurModel:
    if not hasattr(flows, "reversible"):
        raise NotImplementedError("this version has no flows.reversible")
    return OurModel(flows.reversible(flow))


SPLINE = Spline(bins=BINS, bound=BOUND)

LIBRARY = Library(
    "counterflow",
    {
        "RealNVP": lambda size: _coupling(size, ScaleShift()),
        "MAF": lambda size: _autoregressive(size, ScaleShift()),
        "NSF-C": lambda size: _coupling(size, SPLINE),
        "NSF-AR": lambda size: _autoregressive(size, SPLINE),
    },
    ways={"eager": OurModel, "compiled": OurCompiledModel, "mixed": OurMixedModel, "reversible": _reversible},
    notes={
        "eager": "layers as in the recipes, without ActNorm and linear maps, which not all peers have",
        "compiled": "the training step (optimizer included), densities and samples through torch.compile",
        "mixed": "as compiled, the matrix products of conditioners in bfloat16",
        "reversible": "eager, activations recomputed from the output of each layer on the way back",
    },
    prepare=load_compiler,
    place=on_device,
    memory=device_memory,
)

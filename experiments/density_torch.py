"""The contestants on PyTorch: counterflow with its compiled training step, zuko and nflows with a plain one."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from counterflow.bijections import ScaleShift, Spline
from counterflow.flows import compose
from counterflow.flows.layers import autoregressive_maps
from counterflow.training.step import TrainingStep
from experiments.density_shape import Shape

__all__ = ["BUILDERS", "CounterflowContestant", "EagerContestant"]

CLIP = 5.0


class _Torch:
    """What all of them share: a module, its weights, and its log-densities in evaluation mode."""

    def __init__(self, module: nn.Module, log_density: Callable[[Tensor], Tensor]) -> None:
        self.module, self._log_density = module, log_density
        self._device = next(module.parameters()).device
        self.parameters = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)

    @torch.no_grad()
    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log-densities in evaluation mode."""
        self.module.eval()
        with torch.compiler.set_stance("force_eager"):  # what is compiled is compiled for training batches alone
            values = self._log_density(torch.from_numpy(x).to(self._device)).cpu().numpy()
        self.module.train()
        return values

    def snapshot(self) -> dict:
        """A copy of the state dict."""
        return copy.deepcopy(self.module.state_dict())

    def restore(self, weights: dict) -> None:
        """Load a state dict."""
        self.module.load_state_dict(weights)

    def save(self, path: Path) -> None:
        """Write the state dict."""
        save_file({name: value.contiguous() for name, value in self.module.state_dict().items()}, path)


class EagerContestant(_Torch):
    """A flow of a library on PyTorch, run eagerly, with fused Adam.

    Args:
        module: The flow.
        log_density: Log-densities of rows, with gradients.
    """

    def __init__(self, module: nn.Module, log_density: Callable[[Tensor], Tensor]) -> None:
        super().__init__(module, log_density)
        self._weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._adam = torch.optim.Adam(self._weights, fused=True)

    def step(self, x: np.ndarray, rate: float) -> None:
        """Take one step of Adam with a clipped gradient."""
        self._adam.param_groups[0]["lr"] = rate
        self._adam.zero_grad(set_to_none=True)
        (-self._log_density(torch.from_numpy(x)).mean()).backward()
        nn.utils.clip_grad_norm_(self._weights, CLIP)
        self._adam.step()


class CounterflowContestant(_Torch):
    """A flow of counterflow, trained by its training step.

    Args:
        flow: The flow.
        loss: ``loss(flow, x)``, a scalar.
        compiled: Compile loss, gradients, clipping and Adam as one.
    """

    def __init__(self, flow: nn.Module, loss: Callable[[nn.Module, Tensor], Tensor], *, compiled: bool = False) -> None:
        super().__init__(flow, flow)
        self._step = TrainingStep(flow, loss, compile=compiled, clip=CLIP, trusted=compiled)

    def step(self, x: np.ndarray, rate: float) -> None:
        """Take one step."""
        self._step(torch.from_numpy(x).to(self._device), rate)


def negative_log_likelihood(flow: nn.Module, x: Tensor) -> Tensor:
    """Minus the mean log-density."""
    return -flow(x).mean()


def counterflow(shape: Shape, seed: int, *, way: str = "auto") -> CounterflowContestant:
    """counterflow, by default with spline maps compiled; affine maps are nearly all matrix products and run eagerly.

    Args:
        shape: The architecture.
        seed: Where the weights come from.
        way: ``"whole"`` compiles the training step as a whole, ``"layers"`` one map for all, ``"eager"`` nothing.
    """
    way = ("layers" if shape.bins else "eager") if way == "auto" else way
    transformer = Spline(bins=shape.bins, bound=shape.bound) if shape.bins else ScaleShift()
    maps = autoregressive_maps(
        shape.features,
        transformer,
        layers=shape.layers,
        hidden=(shape.hidden, shape.hidden),
        residual=False,
        context_features=0,
        activation="relu",
        generator=torch.Generator().manual_seed(seed),
    )
    if way == "layers":
        for layer in maps:
            layer.to_latent = torch.compile(layer.to_latent)
    return CounterflowContestant(compose(maps), negative_log_likelihood, compiled=way == "whole")


def zuko(shape: Shape, seed: int) -> EagerContestant:
    """zuko, eager: its lazy distributions are built anew for each step, as its documentation trains."""
    import zuko

    torch.manual_seed(seed)  # noqa: TID251  the library draws from the global state
    hidden = {"hidden_features": (shape.hidden, shape.hidden), "transforms": shape.layers}
    if shape.bins:
        flow = zuko.flows.NSF(shape.features, bins=shape.bins, **hidden)
    else:
        flow = zuko.flows.MAF(shape.features, **hidden)
    return EagerContestant(flow, lambda x: flow().log_prob(x))


def nflows(shape: Shape, seed: int) -> EagerContestant:
    """nflows, eager."""
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import (
        CompositeTransform,
        MaskedAffineAutoregressiveTransform,
        MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
        ReversePermutation,
    )

    torch.manual_seed(seed)  # noqa: TID251  the library draws from the global state
    net = {"features": shape.features, "hidden_features": shape.hidden, "num_blocks": 1, "use_residual_blocks": False}
    spline = {"num_bins": shape.bins, "tails": "linear", "tail_bound": shape.bound}
    stack = []
    for layer in range(shape.layers):
        stack += [ReversePermutation(shape.features)] if layer else []
        if shape.bins:
            stack.append(MaskedPiecewiseRationalQuadraticAutoregressiveTransform(**net, **spline))
        else:
            stack.append(MaskedAffineAutoregressiveTransform(**net))
    flow = Flow(CompositeTransform(stack), StandardNormal([shape.features]))
    return EagerContestant(flow, flow.log_prob)


BUILDERS: dict[str, Callable[..., _Torch]] = {
    "counterflow": counterflow,
    "zuko": zuko,
    "nflows": nflows,
}

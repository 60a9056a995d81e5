"""The contestants that stand on PyTorch: counterflow, zuko and nflows, with one training step for all."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from experiments.density_shape import Shape

__all__ = ["BUILDERS", "TorchContestant"]

CLIP = 5.0


class TorchContestant:
    """A flow of a library on PyTorch, with fused Adam.

    Args:
        module: The flow.
        log_density: Log-densities of rows, with gradients.
        in_training: The same for training, if it is another function, such as a compiled one.
    """

    def __init__(
        self,
        module: nn.Module,
        log_density: Callable[[Tensor], Tensor],
        in_training: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.module, self._log_density, self._in_training = module, log_density, in_training or log_density
        self._weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._adam = torch.optim.Adam(self._weights, fused=True)
        self.parameters = sum(weight.numel() for weight in self._weights)

    def step(self, x: np.ndarray, rate: float) -> None:
        """Take one step of Adam with a clipped gradient."""
        self.module.train()
        self._adam.param_groups[0]["lr"] = rate
        self._adam.zero_grad(set_to_none=True)
        (-self._in_training(torch.from_numpy(x)).mean()).backward()
        nn.utils.clip_grad_norm_(self._weights, CLIP)
        self._adam.step()

    @torch.no_grad()
    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log-densities in evaluation mode."""
        self.module.eval()
        return self._log_density(torch.from_numpy(x)).numpy()

    def snapshot(self) -> dict:
        """A copy of the state dict."""
        return copy.deepcopy(self.module.state_dict())

    def restore(self, weights: dict) -> None:
        """Load a state dict."""
        self.module.load_state_dict(weights)

    def save(self, path: Path) -> None:
        """Write the state dict."""
        torch.save(self.module.state_dict(), path)


def counterflow(shape: Shape, seed: int) -> TorchContestant:
    """counterflow, compiled."""
    from counterflow.bijections import ScaleShift, Spline
    from counterflow.flows import compose
    from counterflow.flows.layers import autoregressive_maps

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
    flow = compose(maps)
    return TorchContestant(flow, flow, torch.compile(flow))


def zuko(shape: Shape, seed: int) -> TorchContestant:
    """zuko, eager: its lazy distributions are built anew for each step, as its documentation trains."""
    import zuko

    torch.manual_seed(seed)  # noqa: TID251  the library draws from the global state
    hidden = {"hidden_features": (shape.hidden, shape.hidden), "transforms": shape.layers}
    if shape.bins:
        flow = zuko.flows.NSF(shape.features, bins=shape.bins, **hidden)
    else:
        flow = zuko.flows.MAF(shape.features, **hidden)
    return TorchContestant(flow, lambda x: flow().log_prob(x))


def nflows(shape: Shape, seed: int) -> TorchContestant:
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
    return TorchContestant(flow, flow.log_prob)


BUILDERS: dict[str, Callable[[Shape, int], TorchContestant]] = {
    "counterflow": counterflow,
    "zuko": zuko,
    "nflows": nflows,
}

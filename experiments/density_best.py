"""The flow of counterflow that `density.py best` trains on BSDS300: affine autoregressive maps that see contrast.

Patches differ in contrast by a factor of a hundred, and a net that sees pixels in units of their deviation hardly
notices a difference between two smooth patches. So each conditioner also sees ``asinh(x / s)``, nearly the logarithm of
large values, with a learned scale s for each pixel.
"""

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, AbstractTransformer, LowerTriangular, LULinear, ScaleShift
from counterflow.flows import compose
from counterflow.nets import ACTIVATIONS, MaskedLinear, MaskedMLP
from experiments.density_data import DataSet, turned_points
from experiments.density_loop import log_densities, mean_and_error
from experiments.density_torch import CounterflowContestant

__all__ = ["BATCH", "RATE", "ContrastAwareAutoregressive", "build", "describe", "judge_turned"]

BATCH = 512
RATE = 4e-3
LAYERS = 5
HIDDEN = 512
ACTIVATION = "silu"
SCALE = 0.1


class ContrastAwareAutoregressive(AbstractBijection):
    r"""A masked autoregressive map whose net sees each earlier feature twice, as it is and compressed.

    .. math:: z_i = f(x_i;\ \theta_i(x_{<i}, \operatorname{asinh}(x_{<i} / s)))

    Args:
        features: Number of features.
        transformer: The family f.
        hidden: Widths of the hidden layers.
        reverse: Order the features from last to first.
        activation: Name of the nonlinearity.
        scale: Where the learned scales s start.
        generator: Where the weights are drawn from.

    Example:
        >>> layer = ContrastAwareAutoregressive(3, ScaleShift(), hidden=(8,))
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        features: int,
        transformer: AbstractTransformer,
        *,
        hidden: tuple[int, ...],
        reverse: bool = False,
        activation: str = "silu",
        scale: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,))
        self.transformer = transformer
        self.activation = activation
        self.net = MaskedMLP(features, transformer.size, hidden=hidden, reverse=reverse, generator=generator)
        self.compressed = MaskedLinear(cast("MaskedLinear", self.net.layers[0]).mask, generator=generator)
        self.log_scale = nn.Parameter(torch.full((features,), scale).log())

    def to_latent(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latent in one pass."""
        return self.transformer.to_latent(x, self._conditions(x))

    def to_data(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latent to data in as many passes as there are features."""
        x = log_det = torch.zeros_like(z)
        degrees = torch.tensor(self.net.order, device=z.device)  # the reversal is its own inverse
        for step in range(self.features):
            guess, log_det = self.transformer.to_data(z, self._conditions(x))
            x = torch.where(degrees <= step, guess, 0.0)
        return x, log_det

    def _conditions(self, x: Tensor) -> Tensor:
        phi = ACTIVATIONS[self.activation]
        first, *rest = self.net.layers
        hidden = first(x) + self.compressed(torch.asinh(x * torch.exp(-self.log_scale)))
        for layer in rest:
            hidden = layer(phi(hidden))
        return hidden.to(x.dtype)


def build(
    features: int, seed: int, *, compiled: bool, layers: int = LAYERS, hidden: int = HIDDEN, device: str = "cpu"
) -> CounterflowContestant:
    """The flow, trained with its matrix products in bfloat16; it is judged in float32."""
    generator = torch.Generator().manual_seed(seed)
    stack: list[AbstractBijection] = [LowerTriangular(features)]
    for layer in range(layers):
        stack += [LULinear(features)] if layer else []
        stack.append(
            ContrastAwareAutoregressive(
                features,
                ScaleShift(),
                hidden=(hidden, hidden),
                reverse=layer % 2 == 1,
                activation=ACTIVATION,
                scale=SCALE,
                generator=generator,
            )
        )
    return CounterflowContestant(compose(stack).to(device), loss, compiled=compiled)


def loss(flow: nn.Module, x: Tensor) -> Tensor:
    """Minus the mean log-density, its matrix products in bfloat16."""
    with torch.autocast(x.device.type, torch.bfloat16):
        return -flow(x).mean()


def judge_turned(contestant: CounterflowContestant, data: DataSet) -> dict:
    r"""Judge the equal mixture of the flow and its mirror images and rotations on the test patches.

    .. math:: p(x) = \frac18 \sum_g p_{\text{flow}}(g x)

    The eight turns g of a patch keep volume, so this is a density; to sample it, turn a sample of the flow at random.
    """
    turned = turned_points(data, data.test, np.random.default_rng(2))
    values = np.stack([log_densities(contestant, z) for z in turned])
    mean, error = mean_and_error(np.logaddexp.reduce(values) - math.log(len(values)) + data.log_det)
    return {"test_turned_mixture": mean, "test_turned_mixture_error": error}


def describe(layers: int, hidden: int) -> dict:
    """The settings, as plain data."""
    return {
        "layers": layers,
        "hidden": (hidden, hidden),
        "activation": ACTIVATION,
        "map": "affine",
        "between": "LU",
        "products": "bfloat16",
    }

"""The same weights in zuko give the same densities: a second implementation of autoregression and of splines.

zuko's networks get our weights (with our masks already applied) and its transforms get our numbers, so what is compared
is its autoregressive machinery, its spline and its sum of log-determinants with ours.
"""

import math

import pytest
import torch
import zuko
from torch.distributions import AffineTransform

from counterflow import flows
from counterflow.bijections.spline import MAX_LOG_SLOPE, MIN_BIN
from counterflow.core.numerics import soft_bound
from tests.laws.registry import draw

FEATURES, CONTEXT, BINS, BOUND = 4, 2, 6, 5.0
HIDDEN = (16, 16)
SCALE_BOUND = math.log(30.0)


class Scale(AffineTransform):
    """torch's affine transform with our bounded scale, and the method that zuko calls."""

    def __init__(self, shift: torch.Tensor, raw: torch.Tensor) -> None:
        super().__init__(shift, soft_bound(raw, SCALE_BOUND).exp())

    def call_and_ladj(self, x):
        y = self(x)
        return y, self.log_abs_det_jacobian(x, y)


class Knots(zuko.transforms.MonotonicRQSTransform):
    """zuko's spline through our knots."""

    def __init__(self, widths: torch.Tensor, heights: torch.Tensor, slopes: torch.Tensor) -> None:
        super().__init__(widths, heights, slopes, bound=BOUND)
        self.horizontal, self.vertical = self._edges(widths), self._edges(heights)
        self.derivatives = torch.nn.functional.pad(soft_bound(slopes, MAX_LOG_SLOPE).exp(), (1, 1), value=1.0)

    @staticmethod
    def _edges(raw: torch.Tensor) -> torch.Tensor:
        shares = MIN_BIN + (1 - BINS * MIN_BIN) * raw.softmax(-1)
        return torch.nn.functional.pad(2 * BOUND * shares.cumsum(-1), (1, 0)) - BOUND


def shaken(flow: flows.Flow) -> flows.Flow:
    flow = flow.double()
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter.add_(0.2 * draw(*parameter.shape, seed=i))
    return flow


def zuko_twin(layer: torch.nn.Module, univariate: type, shapes: list[tuple[int, ...]]) -> torch.nn.Module:
    """zuko's autoregressive transform with the weights of ``layer``."""
    order = torch.arange(FEATURES).flip(0) if layer.reverse else torch.arange(FEATURES)
    twin = zuko.flows.MaskedAutoregressiveTransform(
        FEATURES,
        CONTEXT,
        order=order,
        univariate=univariate,
        shapes=shapes,
        hidden_features=HIDDEN,
        activation=torch.nn.SiLU,
    ).double()
    size = layer.transformer.size
    by_feature = torch.arange(FEATURES * size).reshape(size, FEATURES).T.flatten()  # ours: parameter, then feature
    linears = [m for m in twin.hyper if isinstance(m, torch.nn.Linear)]
    for i, (ours, theirs) in enumerate(zip(layer.net.layers, linears, strict=True)):
        rows = by_feature if i == len(linears) - 1 else slice(None)
        theirs.weight.data = (ours.weight * ours.mask)[rows].detach()
        theirs.bias.data = ours.bias[rows].detach()
        theirs.mask = torch.ones_like(theirs.weight, dtype=torch.bool)
    return twin


CASES = {
    "maf": (
        lambda: flows.maf(FEATURES, context_features=CONTEXT, layers=3, hidden=HIDDEN),
        Scale,
        [(), ()],
    ),
    "spline_autoregressive": (
        lambda: flows.spline_autoregressive(
            FEATURES, context_features=CONTEXT, layers=2, hidden=HIDDEN, bins=BINS, bound=BOUND
        ),
        Knots,
        [(BINS,), (BINS,), (BINS - 1,)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_log_prob_equals_zuko(name):
    build, univariate, shapes = CASES[name]
    flow = shaken(build())
    x, context = 2 * draw(50, FEATURES, seed=100), draw(50, CONTEXT, seed=101)
    z, log_det = x, torch.zeros(50, dtype=torch.float64)
    for layer in flow.bijection.bijections:
        if hasattr(layer, "transformer"):
            z, step = zuko_twin(layer, univariate, shapes)(context).call_and_ladj(z)
        else:  # linear layers: multiplied out by hand
            jacobian = torch.func.jacrev(lambda p, f=layer: f.to_latent(p)[0])(torch.zeros(FEATURES).double())
            z, step = z @ jacobian.T + layer.to_latent(torch.zeros_like(z))[0], torch.linalg.slogdet(jacobian).logabsdet
        log_det = log_det + step
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1) + log_det
    torch.testing.assert_close(flow(x, context), expected, rtol=1e-12, atol=1e-10)

"""flowjax's flows: jitted, layers scanned, parameters and optimizer state given away to each step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax.bijections import AbstractBijection, RationalQuadraticSpline
from flowjax.distributions import AbstractDistribution, StandardNormal
from flowjax.flows import coupling_flow, masked_autoregressive_flow
from numpy.typing import NDArray

from benchmarks.cases import BINS, BOUND, Size
from benchmarks.libraries.library import Library

__all__ = ["LIBRARY"]

Make = Callable[..., AbstractDistribution]


class JaxModel:
    """A flow whose three operations are jitted functions of its parameters."""

    def __init__(self, flow: AbstractDistribution) -> None:
        params, static = eqx.partition(
            flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
        )
        optimizer = optax.adam(1e-3)

        @partial(jax.jit, donate_argnums=(0, 1))
        def step(params: Any, state: Any, x: jax.Array) -> tuple[Any, Any, jax.Array]:
            loss, gradients = jax.value_and_grad(lambda p: -eqx.combine(p, static).log_prob(x).mean())(params)
            updates, state = optimizer.update(gradients, state)
            return optax.apply_updates(params, updates), state, loss

        @partial(jax.jit, static_argnums=2)
        def sample(params: Any, key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
            key, used = jax.random.split(key)
            return eqx.combine(params, static).sample(used, (count,)), key

        self._params, self._state, self._key = params, optimizer.init(params), jax.random.key(0)
        self._step, self._sample = step, sample
        self._log_prob = jax.jit(lambda params, x: eqx.combine(params, static).log_prob(x))

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self._params))

    def take(self, rows: NDArray[np.float32]) -> jax.Array:
        """Put rows on the device."""
        return jnp.asarray(rows)

    def train_step(self, x: jax.Array) -> jax.Array:
        """Take one step."""
        self._params, self._state, loss = self._step(self._params, self._state, x)
        return loss.block_until_ready()

    def log_prob(self, x: jax.Array) -> jax.Array:
        """Log-densities of rows."""
        return self._log_prob(self._params, x).block_until_ready()

    def sample(self, count: int) -> jax.Array:
        """Samples, with a fresh key each time."""
        samples, self._key = self._sample(self._params, self._key, count)
        return samples.block_until_ready()


def _spline() -> AbstractBijection:
    """A spline of our bins whose slope at both ends is 1, as elsewhere; flowjax by itself would train both ends."""
    spline = RationalQuadraticSpline(knots=BINS - 1, interval=BOUND)
    slopes = spline.derivatives

    def ends_fixed(inner: jax.Array) -> jax.Array:
        return jnp.pad(slopes.fn(inner), [(0, 0)] * (inner.ndim - 1) + [(1, 1)], constant_values=1.0)

    return eqx.tree_at(lambda s: s.derivatives, spline, paramax.Parameterize(ends_fixed, slopes.args[0][1:-1]))


def _builder(make: Make, transformer: Callable[[], AbstractBijection | None]) -> Callable[[Size], AbstractDistribution]:
    return lambda size: make(
        jax.random.key(0),
        base_dist=StandardNormal((size.features,)),
        transformer=transformer(),
        flow_layers=size.layers,
        nn_width=size.hidden,
        nn_depth=2,
    )


LIBRARY = Library(
    "flowjax",
    {
        "RealNVP": _builder(coupling_flow, lambda: None),
        "MAF": _builder(masked_autoregressive_flow, lambda: None),
        "NSF-C": _builder(coupling_flow, _spline),
        "NSF-AR": _builder(masked_autoregressive_flow, _spline),
    },
    ways={"compiled": JaxModel},
    notes={
        "compiled": "jax.jit, layers scanned, `invert=True` (fast densities), optax's adam with donated buffers, the "
        "ends of the splines fixed as elsewhere"
    },
)

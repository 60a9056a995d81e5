"""flowjax as a contestant, jitted as a whole: forward, backward and Adam in one compiled step. Needs no PyTorch."""

from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from flowjax.bijections import Affine, Chain, Flip, Invert, MaskedAutoregressive, RationalQuadraticSpline, Scan
from flowjax.distributions import Normal, Transformed

from experiments.density_shape import Shape

__all__ = ["BUILDERS", "FlowjaxContestant"]

CLIP = 5.0
MIN_SLOPE = 1e-3
MIN_SCALE = 1e-2


class FlowjaxContestant:
    """A flow of flowjax, with optax's Adam."""

    def __init__(self, flow: Transformed) -> None:
        self._weights, self._static = eqx.partition(
            flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
        )
        self._adam = optax.chain(optax.clip_by_global_norm(CLIP), optax.scale_by_adam())
        self._state = self._adam.init(self._weights)
        self._step = jax.jit(partial(_step, static=self._static, adam=self._adam), donate_argnums=1)
        self._log_density = jax.jit(partial(_log_density, static=self._static))
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(self._weights))

    def step(self, x: np.ndarray, rate: float) -> None:
        """Take one step of Adam with a clipped gradient."""
        self._weights, self._state = self._step(self._weights, self._state, x, rate)
        jax.block_until_ready(self._weights)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log-densities of rows."""
        return np.asarray(self._log_density(self._weights, x))

    def snapshot(self) -> Transformed:
        """The weights, which no step changes in place."""
        return self._weights

    def restore(self, weights: Transformed) -> None:
        """Put a former snapshot back."""
        self._weights = weights

    def save(self, path: Path) -> None:
        """Write the weights."""
        eqx.tree_serialise_leaves(path, self._weights)


def flowjax(shape: Shape, seed: int) -> FlowjaxContestant:
    """Masked autoregressive maps and flips, scanned over the layers so that one layer is compiled."""
    transformer = _spline(shape) if shape.bins else _affine()

    def make_layer(key: jax.Array) -> Chain:
        net = {"nn_width": shape.hidden, "nn_depth": 2, "nn_activation": jax.nn.relu}
        return Chain(
            [MaskedAutoregressive(key, transformer=transformer, dim=shape.features, **net), Flip((shape.features,))]
        )

    layers = eqx.filter_vmap(make_layer)(jax.random.split(jax.random.key(seed), shape.layers))
    base = paramax.non_trainable(Normal(jnp.zeros(shape.features)))
    return FlowjaxContestant(Transformed(base, Invert(Scan(layers))))


def _affine() -> Affine:
    """The affine map of flowjax's own masked autoregressive flow: a scale above a least one."""
    scale = paramax.Parameterize(
        lambda raw: jax.nn.softplus(raw) + MIN_SCALE, jnp.log(jnp.expm1(jnp.asarray(1 - MIN_SCALE)))
    )
    return eqx.tree_at(lambda affine: affine.scale, Affine(), replace=scale)


def _spline(shape: Shape) -> RationalQuadraticSpline:
    """Flowjax's spline with slope 1 at both ends, as in the paper and in the other libraries."""
    spline = RationalQuadraticSpline(knots=shape.bins - 1, interval=shape.bound)
    raw = jnp.full(shape.bins - 1, jnp.log(jnp.expm1(1 - MIN_SLOPE)))
    return eqx.tree_at(lambda spline: spline.derivatives, spline, replace=paramax.Parameterize(_slopes, raw))


def _slopes(raw: jax.Array) -> jax.Array:
    ends = jnp.ones_like(raw[..., :1])
    return jnp.concatenate((ends, jax.nn.softplus(raw) + MIN_SLOPE, ends), -1)


def _log_density(weights: Transformed, x: jax.Array, *, static: Transformed) -> jax.Array:
    return paramax.unwrap(eqx.combine(weights, static)).log_prob(x)


def _step(
    weights: Transformed,
    state: optax.OptState,
    x: jax.Array,
    rate: jax.Array,
    *,
    static: Transformed,
    adam: optax.GradientTransformation,
) -> tuple[Transformed, optax.OptState]:
    slope = jax.grad(lambda weights: -_log_density(weights, x, static=static).mean())(weights)
    updates, state = adam.update(slope, state, weights)
    return jax.tree.map(lambda weight, update: weight - rate * update, weights, updates), state


BUILDERS = {"flowjax": flowjax}

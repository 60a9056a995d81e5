"""A flow at rest, compiled: densities and samples as fast as they come, for a flow that is trained."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import AbstractBijection, AbstractTransformer, Autoregressive, Chain, Invert
from counterflow.core.compiling import compile_alone
from counterflow.core.graphs import Recorded
from counterflow.distributions.base import as_shape
from counterflow.flows.flow import Flow
from counterflow.nets import MaskedLinear

__all__ = ["CompiledFlow", "compiled"]


def compiled(flow: Flow) -> "CompiledFlow":
    """Compile a copy of a flow for densities, samples and both directions.

    The copy has the weights of this moment and never changes; masks are folded into them. Each function is compiled
    when it is first called, which takes seconds to minutes, and again for another number of points (once: from then on
    for any number). A way that goes step by step, as that of an autoregressive map towards data, is too long to be
    compiled: there the function of one feature is. On a GPU every function is also recorded as a CUDA graph for each
    shape that it is called with, and launched as a whole.

    Args:
        flow: The flow; it stays as it is.

    Returns:
        The compiled copy.

    Example:
        >>> from counterflow import flows
        >>> fast = flows.compiled(flows.realnvp(2))
        >>> fast.event_shape  # nothing is compiled before the first call
        (2,)
    """
    return CompiledFlow(flow)


class CompiledFlow:
    """What :func:`compiled` returns: the methods of a flow, without gradients.

    Args:
        flow: The flow to copy.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = copy.deepcopy(flow).eval().requires_grad_(False)
        for module in self._flow.modules():
            if isinstance(module, MaskedLinear):
                module.fold()
            elif isinstance(module, Autoregressive):
                module.transformer = _StepCompiled(module.transformer)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one point."""
        return self._flow.event_shape

    @torch.no_grad()
    def log_prob(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each point, as :meth:`Flow.log_prob` does."""
        return self._log_prob(x, context)

    @torch.no_grad()
    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent, as :meth:`Flow.to_latent` does."""
        return self._to_latent(x, context)

    @torch.no_grad()
    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map latent to data, as :meth:`Flow.to_data` does."""
        return self._to_data(z, context)

    @torch.no_grad()
    def sample(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        """Draw points; the same as :meth:`Flow.sample` draws from the same generator, up to rounding."""
        rows = () if context is None else context.shape[:-1]
        return self.to_data(self._flow.base.rsample((*as_shape(n), *rows), generator=generator), context)[0]

    @cached_property
    def _log_prob(self) -> Callable[..., Any]:
        return self._made(lambda point, context: self._flow(point, context), "to_latent")

    @cached_property
    def _to_latent(self) -> Callable[..., Any]:
        return self._made(lambda point, context: self._flow.to_latent(point, context), "to_latent")

    @cached_property
    def _to_data(self) -> Callable[..., Any]:
        return self._made(lambda point, context: self._flow.to_data(point, context), "to_data")

    def _made(self, function: FunctionType, direction: str) -> Callable[..., Any]:
        if _goes_stepwise(self._flow.bijection, direction):
            return Recorded(function)
        return Recorded(compile_alone(function, checked=("point", "context")))


@dataclass(frozen=True)
class _StepCompiled(AbstractTransformer):
    """A family of functions whose way back is compiled."""

    family: AbstractTransformer

    @property
    def size(self) -> int:
        return self.family.size

    @cached_property
    def way_back(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        family = self.family
        return compile_alone(lambda z, p: family.data_and_log_slope(z, p), checked=("z", "p"))

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        return self.family.latent_and_log_slope(x, parameters)

    def data_and_log_slope(
        self, z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*rows p d"]
    ) -> tuple[Float[Tensor, "*out d"], Float[Tensor, "*out d"]]:
        return self.way_back(z, parameters)


def _goes_stepwise(bijection: AbstractBijection, direction: str) -> bool:
    """Whether a direction of a map, or of a part of it, goes step by step."""
    if isinstance(bijection, Chain):
        return any(_goes_stepwise(part, direction) for part in bijection.parts)
    if isinstance(bijection, Invert):
        return _goes_stepwise(bijection.inner, "to_data" if direction == "to_latent" else "to_latent")
    return direction == "to_data" and not bijection.one_pass_to_data

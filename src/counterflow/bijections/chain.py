"""One bijection after another."""

from collections.abc import Callable, Iterable
from inspect import signature
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.bijections.reversible import reversed_to_latent
from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["Chain"]

_MANY = 15
"""In a longer chain, layers that are alike share one piece of compiled code, so that compiling takes no longer.

Not so layers of images: PyTorch 2.13 computes wrong gradients of convolutions in shared code."""

_KINDS = 1024
"""How many kinds of layers may share: a limit that nobody meets, in place of the compiler's own of 8."""


class Chain(AbstractDataDependent):
    r"""A composition, read from data to latent: :math:`z = f_n(\dots f_2(f_1(x)))`.

    .. math:: \log \left| \det \frac{\partial z}{\partial x} \right| = \sum_i \log \left| \det J_{f_i} \right|

    Args:
        bijections: At least one; all of the same event shape, and of one context length where they use one.
        reversible: Train in memory that does not grow with the number of bijections, in about four thirds of the
            time: what the gradients need is computed again. Compiled code and ``torch.func`` ignore it.

    Raises:
        ArgumentError: If there is none.
        ShapeError: If event shapes or context lengths differ.

    Example:
        >>> import torch
        >>> from counterflow.bijections import Permutation
        >>> chain = Chain([Permutation.reversal(3), Permutation.reversal(3)])
        >>> chain.to_latent(torch.tensor([1.0, 2.0, 3.0]))
        (tensor([1., 2., 3.]), tensor(0.))
    """

    def __init__(self, bijections: Iterable[AbstractBijection], *, reversible: bool = False) -> None:
        parts = list(bijections)
        if not parts:
            raise ArgumentError("a chain must have at least one bijection, got none. Pass a non-empty list.")
        shapes = {part.event_shape for part in parts}
        contexts = {part.context_features for part in parts} - {0}
        if len(shapes) > 1 or len(contexts) > 1:
            raise ShapeError(
                "all bijections of a chain must have one event shape and one context length, got event shapes "
                f"{sorted(shapes)} and context lengths {sorted(contexts)}. Build them with equal ones."
            )
        super().__init__(shapes.pop(), contexts.pop() if contexts else 0)
        self.bijections = nn.ModuleList(parts)
        self.reversible = reversible

    @property
    def parts(self) -> tuple[AbstractBijection, ...]:
        """The bijections, from data to latent."""
        return cast("tuple[AbstractBijection, ...]", tuple(self.bijections))

    @property
    def shares_code(self) -> bool:
        """Whether layers that are alike are compiled once: then no two parameters may lie in one piece of memory."""
        return len(self.bijections) > _MANY and len(self.event_shape) < 2

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent, first bijection first."""
        if self.reversible and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return reversed_to_latent(self.parts, x, context)
        run = _shared_to_latent if self.shares_code else _to_latent
        first, *rest = self.parts
        z, log_det = run(first, x, context)
        for bijection in rest:
            z, step = run(bijection, z, context)
            log_det = log_det + step
        return z, log_det

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map latent to data, last bijection first."""
        *rest, last = self.parts
        x, log_det = last.to_data(z, context)
        for bijection in reversed(rest):
            x, step = bijection.to_data(x, context)
            log_det = log_det + step
        return x, log_det

    def initialize(self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Let every part that can see the data that reaches it, in one pass."""
        for bijection in self.parts:
            if isinstance(bijection, AbstractDataDependent):
                bijection.initialize(x, context)
            x, _ = bijection.to_latent(x, context)


def _to_latent(bijection: AbstractBijection, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    return bijection.to_latent(x, context)


def _compiled_once(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    """Mark a function whose compiled code serves for all calls that are alike; outside the compiler it is itself."""
    mark = getattr(torch.compiler, "nested_compile_region", None)
    if mark is None:
        return function
    more = {"max_reuse_entries": _KINDS} if "max_reuse_entries" in signature(mark).parameters else {}
    return mark(function, **more)


_shared_to_latent = _compiled_once(_to_latent)

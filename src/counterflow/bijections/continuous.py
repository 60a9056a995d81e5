"""A flow in continuous time: points follow a velocity, and the log-determinant is the integral of its divergence."""

from collections.abc import Sequence
from typing import Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.ode import AdaptiveSolver, Solution, Solver, SolveReport, solve
from counterflow.core.random import derive_seed, make_generator
from counterflow.core.runge_kutta import Field
from counterflow.nets import bind_module

__all__ = ["Continuous", "Divergence", "solve_report", "trajectory"]

Divergence = Literal["auto", "exact", "hutchinson"]

_FEW = 8
"""So many features at most have an exact divergence when the choice is left to the library."""


class Continuous(AbstractBijection):
    r"""A continuous normalizing flow: the flow of an ordinary differential equation.

    .. math::
        \frac{dz}{dt} = v(t, z, c), \quad z(0) = x, \quad z(1) = z, \qquad
        \log \left| \det \frac{\partial z}{\partial x} \right| = \int_0^1 \nabla \cdot v(t, z(t), c)\, dt

    Data lie at time 0 and the latent at time 1. Each point has steps of its own, so its log-density does not depend on
    the other points of the batch.

    Args:
        velocity: ``velocity(t, x, context)`` gives the velocity; t has shape (\*lead, 1), x (\*lead, features), and
            the context any leading dimensions that broadcast. A module with a method ``bind`` (see
            :class:`counterflow.nets.VelocityMLP`) brings its own divergence; that of others is found by automatic
            differentiation.
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional map.
        divergence: ``"exact"``; ``"hutchinson"``, an unbiased estimate of it; or ``"auto"``: exact where the velocity
            gives it cheaply or there are at most 8 features.
        probes: How many random directions the estimate averages over.
        solver: The method and its tolerances; ``None`` for the adaptive one with its defaults.
        seed: In evaluation mode all points of all calls share the directions of this seed, so that the density is a
            function; in training mode every call and every point draws its own.

    Raises:
        ArgumentError: If a setting is out of its range.

    Reference:
        Chen et al., "Neural Ordinary Differential Equations", 2018, theorem 1; Grathwohl et al., "FFJORD", 2019,
        equations 4 and 7.

    Example:
        >>> from counterflow.nets import VelocityMLP
        >>> flow = Continuous(VelocityMLP(2), 2)
        >>> z, log_det = flow.to_latent(torch.tensor([1.0, 2.0]))  # a fresh velocity is zero
        >>> z.tolist(), log_det.item()
        ([1.0, 2.0], 0.0)
    """

    calls: Tensor

    one_pass_to_data = False

    def __init__(
        self,
        velocity: nn.Module,
        features: int,
        *,
        context_features: int = 0,
        divergence: Divergence = "auto",
        probes: int = 1,
        solver: Solver | None = None,
        seed: int = 0,
    ) -> None:
        check_count(features, "features")
        check_count(probes, "probes")
        if divergence not in ("auto", "exact", "hutchinson"):
            raise ArgumentError(
                f"divergence must be 'auto', 'exact' or 'hutchinson', got {divergence!r}. Choose one of these."
            )
        super().__init__((features,), context_features)
        self.velocity = velocity
        self.divergence: Divergence = divergence
        self.probes, self.seed = probes, seed
        self.solver: Solver = solver or AdaptiveSolver()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Follow the velocity from time 0 to time 1."""
        return self._mapped(x, context, 0.0, 1.0)

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Follow the velocity from time 1 back to time 0."""
        return self._mapped(z, context, 1.0, 0.0)

    def follow(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None, *, start: float, end: float
    ) -> Solution:
        """Follow the velocity from any time to any other.

        Args:
            x: Points at time ``start``.
            context: One vector per point, or fewer that broadcast.
            start: A time in [0, 1]: 0 for data, 1 for the latent.
            end: Another.

        Returns:
            The points at time ``end``, the integral of the divergence, and how the solution went.

        Raises:
            SolverError: If a point did not get there.
        """
        context = context if self.context_features else None
        x = broadcast_batch(x, context)
        return solve(self._field(x, context), x, start=start, end=end, solver=self.solver)

    @property
    def is_exact(self) -> bool:
        """Whether the divergence is exact, not an estimate."""
        if self.divergence == "auto":
            cheap = isinstance(self.velocity, _Bindable) and self.velocity.has_cheap_divergence
            return cheap or self.features <= _FEW
        return self.divergence == "exact"

    def _mapped(self, x: Tensor, context: Tensor | None, start: float, end: float) -> tuple[Tensor, Tensor]:
        y, integral, _ = self.follow(x, context, start=start, end=end)
        return y, cast("Tensor", integral)[..., 0]

    def _field(self, x: Tensor, context: Tensor | None) -> Field:
        probes = None if self.is_exact else self._directions(x)
        if isinstance(self.velocity, _Bindable):
            return self.velocity.bind(context, probes=probes)
        return bind_module(self.velocity, context, probes=probes)

    def _directions(self, x: Tensor) -> Tensor:
        """Vectors of random signs: of the seed in evaluation mode, new ones for every call and point in training."""
        seed, lead = self.seed, tuple(1 for _ in x.shape[:-1])
        if self.training and not x.is_meta:
            seed, lead = derive_seed(seed, str(int(self.calls))), x.shape[:-1]
            self.calls += 1
        signs = torch.randint(2, (*lead, self.probes, self.features), generator=make_generator(seed))
        return (2 * signs - 1).to(x)

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"divergence='{self.divergence}', solver={self.solver}"


@runtime_checkable
class _Bindable(Protocol):
    """A velocity that brings its divergence."""

    has_cheap_divergence: bool

    def bind(self, context: Tensor | None = None, *, probes: Tensor | None = None) -> Field: ...


def solve_report(
    bijection: Continuous,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, "*rows c"] | None = None,
    direction: Literal["to_latent", "to_data"] = "to_latent",
) -> SolveReport:
    """Say how hard the equation is to solve: evaluations, steps and the largest error estimate.

    Args:
        bijection: The flow in continuous time.
        x: Points, at the start of the direction.
        context: Their contexts.
        direction: Which way.

    Returns:
        The report of a solution without gradients.

    Example:
        >>> from counterflow.nets import VelocityMLP
        >>> solve_report(Continuous(VelocityMLP(2), 2), torch.zeros(5, 2)).accepted
        5
    """
    start, end = (0.0, 1.0) if direction == "to_latent" else (1.0, 0.0)
    with torch.no_grad():
        return cast("SolveReport", bijection.follow(x, context, start=start, end=end).report)


@torch.no_grad()
def trajectory(
    bijection: Continuous,
    x: Float[Tensor, "*batch"],
    *,
    times: Sequence[float],
    context: Float[Tensor, "*rows c"] | None = None,
) -> Float[Tensor, "times *out"]:
    """Say where points are at several times on their way.

    Args:
        bijection: The flow in continuous time.
        x: Points at the first time.
        times: Times in [0, 1], in order: from 0 up for data, from 1 down for latents.
        context: Their contexts.

    Returns:
        The points at each time, the first dimension that of ``times``.

    Example:
        >>> from counterflow.nets import VelocityMLP
        >>> trajectory(Continuous(VelocityMLP(2), 2), torch.zeros(5, 2), times=[0.0, 0.5, 1.0]).shape
        torch.Size([3, 5, 2])
    """
    way = [broadcast_batch(x, context)]
    for start, end in zip(times[:-1], times[1:], strict=True):
        way.append(bijection.follow(way[-1], context, start=start, end=end).y)
    return torch.stack(way)

"""Continuous normalizing flows: points follow a learned velocity."""

import torch

from counterflow.bijections import ActNorm, Chain, Continuous
from counterflow.bijections.continuous import Divergence
from counterflow.core.checks import check_count
from counterflow.core.ode import AdaptiveSolver, FixedSolver, Solver
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe
from counterflow.nets import VelocityMLP

__all__ = ["continuous"]


@recipe
def continuous(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 1,
    hidden: tuple[int, ...] = (64, 64),
    conditioning: str = "concat",
    activation: str = "tanh",
    rank: int | None = None,
    divergence: Divergence = "auto",
    probes: int = 1,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a continuous normalizing flow: standardized points follow a velocity from data to latent.

    .. math:: \frac{dz}{dt} = v(t, z, c), \qquad
        \log p(x \mid c) = \log p_Z(z(1)) + \int_0^1 \nabla \cdot v(t, z(t), c)\, dt

    Train it by maximum likelihood (``training.fit``, FFJORD), or by flow matching
    (:func:`counterflow.flows.fit_flow_matching`), which solves no equation while it trains.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of equations, one after another; flow matching needs exactly one.
        hidden: Widths of the hidden layers of the velocity.
        conditioning: How time and context enter: ``"concat"``, ``"squash"`` (FFJORD's concatsquash), ``"film"`` or
            ``"hypernetwork"``.
        activation: Name of a smooth nonlinearity.
        rank: For a hypernetwork, the rank of the weights that it emits; ``None`` for the full rank.
        divergence: ``"exact"``, ``"hutchinson"`` or ``"auto"``: exact where it is cheap.
        probes: How many random directions Hutchinson's estimate averages over.
        atol: Absolute tolerance of the solver.
        rtol: Relative tolerance of the solver.
        steps: A number of equal Runge-Kutta steps, instead of adaptive ones.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Raises:
        ArgumentError: If a setting is out of its range.

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud, "FFJORD: Free-form Continuous Dynamics for Scalable
        Reversible Generative Models", 2019, algorithm 1.

    Example:
        >>> flow = continuous(3, hidden=(16, 16))
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    solver: Solver = AdaptiveSolver(atol=atol, rtol=rtol) if steps is None else FixedSolver(steps=steps)

    def equation() -> Continuous:
        velocity = VelocityMLP(
            features,
            context_features=context_features,
            hidden=hidden,
            conditioning=conditioning,
            activation=activation,
            rank=rank,
            generator=generator,
        )
        return Continuous(
            velocity,
            features,
            context_features=context_features,
            divergence=divergence,
            probes=probes,
            solver=solver,
        )

    return Flow(Chain([ActNorm(features), *(equation() for _ in range(layers))]), StandardNormal(features))

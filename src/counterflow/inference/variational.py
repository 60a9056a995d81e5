"""Variational inference: a flow is made like a density that is known up to a constant."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import log_mean_exp
from counterflow.core.random import make_generator
from counterflow.distributions import Gaussian
from counterflow.flows import Flow, compose, from_gaussian
from counterflow.inference.proposals import LogDensity, checked_density
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["VariationalFit", "fit_variational", "start_from"]

Objective = Literal["path", "plain", "importance"]

_STEPS_AN_EPOCH = 50


@dataclass(frozen=True, eq=False)
class VariationalFit:
    """How variational inference went.

    Args:
        bound: The evidence bound with fresh draws, in nats, importance-weighted if that was the objective: at most the
            log-normalizer of the target.
        error: Its standard error.
        report: How training ended.
    """

    bound: float
    error: float
    report: FitReport


class _Draws(NamedTuple):
    z: Float[Tensor, "draws *event"]
    temperature: float


def start_from(law: Gaussian, flow: Flow) -> Flow:
    """Put a flow behind the affine map of a normal law, so that it starts there and learns what differs.

    Args:
        law: One law of full rank, from :func:`~counterflow.inference.pathfinder` for example.
        flow: A flow of vectors that starts near the identity.

    Example:
        >>> from counterflow import flows
        >>> law = Gaussian(torch.tensor([5.0, 0.0]), torch.eye(2))
        >>> start_from(law, flows.realnvp(2, layers=2)).to_data(torch.zeros(2))[0]
        tensor([5., 0.], grad_fn=...)
    """
    return compose([from_gaussian(law).bijection, flow.bijection], flow.base)


def fit_variational(
    log_density: LogDensity,
    flow: Flow,
    *,
    objective: Objective = "path",
    draws: int = 512,
    steps: int = 2000,
    learning_rate: float = 1e-3,
    annealing: float = 0.0,
    first_temperature: float = 10.0,
    importance: int = 8,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> VariationalFit:
    r"""Train a flow on its own draws until it is like a target.

    .. math:: \max_\theta \; \mathbb{E}_{x \sim q_\theta} \left[ \tfrac1T \log \tilde p(x) - \log q_\theta(x) \right]
        \;\le\; \log Z \quad (T = 1)

    The divergence is :math:`\mathrm{KL}(q \,\|\, p)`: it punishes draws where the target has nothing, and not modes
    that no draw visits. Whether it is right is for :func:`~counterflow.inference.importance_sample` to say, with the
    flow as the proposal.

    Args:
        log_density: The target's natural log-density up to a constant: from ``(rows, *event)`` to ``(rows,)``,
            differentiable.
        flow: What is trained, in place; its base stays as it is.
        objective: ``"path"`` leaves out of the gradient what is zero in the mean, so that its noise vanishes where
            q = p (a second pass through the flow each step); ``"plain"`` does not; ``"importance"`` is the tighter
            bound of ``importance`` draws at a time, with doubly reparametrized gradients.
        draws: Draws each step. Many are better than many steps.
        steps: Steps of Adam, in epochs of 50; the learning rate falls along a cosine.
        learning_rate: At the start.
        annealing: The share of the steps during which T falls to 1.
        first_temperature: T at the start, where there is annealing: a flatter target hides no mode.
        importance: Draws in each group of ``"importance"``; divides ``draws``.
        generator: Where draws come from.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        The bound and the report.

    Raises:
        ArgumentError: A setting is out of its range, or the target is NaN or infinite somewhere.

    Reference:
        Rezende, Mohamed, "Variational Inference with Normalizing Flows", 2015, equation (15); Roeder, Wu, Duvenaud,
        "Sticking the Landing", 2017; Tucker et al., "Doubly Reparameterized Gradient Estimators", 2019, equation (8);
        Agrawal, Domke, "Disentangling impact of capacity, objective, batchsize, estimators, and step-size on flow VI",
        2024, for large batches.

    Example:
        >>> from counterflow import flows
        >>> target = lambda x: -(x - 2).square().sum(1) / 2  # normal, around 2
        >>> flow = flows.linear(1)
        >>> settings = {"steps": 300, "draws": 64, "learning_rate": 0.05, "progress": False}
        >>> found = fit_variational(target, flow, generator=torch.Generator().manual_seed(0), **settings)
        >>> round(found.bound, 2)  # log sqrt(2 pi)
        0.92
    """
    _check(objective, draws=draws, steps=steps, annealing=annealing, hottest=first_temperature, importance=importance)
    generator = make_generator(generator, flow.base.anchor.device)
    group = importance if objective == "importance" else 1
    fixed = flow.base.sample(group * max(draws, 1000), generator=generator)
    epochs, taken = -(-steps // _STEPS_AN_EPOCH), count()

    def batches(generator: torch.Generator) -> Iterator[_Draws]:
        for _ in range(min(_STEPS_AN_EPOCH, steps)):
            share = min(1.0, next(taken) / (annealing * steps)) if annealing else 1.0
            yield _Draws(flow.base.sample(draws, generator=generator), first_temperature ** (1 - share))

    def loss(module: Any, batch: _Draws) -> Tensor:
        gains = _gains(module, log_density, batch, frozen=objective != "plain")
        return -gains.mean() if group == 1 else _doubly_reparametrized(gains.view(-1, group))

    def validate(module: Any) -> Tensor:
        return -log_mean_exp(_gains(module, log_density, _Draws(fixed, 1.0), frozen=False).view(-1, group)).mean()

    settings = TrainingSettings(
        max_epochs=epochs, patience=epochs, learning_rate=learning_rate, compile=False, progress=progress
    )
    report = optimise(flow, loss, batches, validate=validate, settings=settings, generator=generator)
    with torch.no_grad():
        fresh = _Draws(flow.base.sample(10 * len(fixed), generator=generator), 1.0)
        gains = log_mean_exp(_gains(flow, log_density, fresh, frozen=False).view(-1, group))
    return VariationalFit(float(gains.mean()), float(gains.std() / len(gains) ** 0.5), report)


def _gains(flow: Flow, log_density: LogDensity, batch: _Draws, *, frozen: bool) -> Float[Tensor, " draws"]:
    """What each draw adds to the bound; ``frozen`` lets gradients reach the density of the flow through draws only."""
    x, log_det = flow.to_data(batch.z)
    if frozen:
        still = {name: value.detach() for name, value in flow.named_parameters()}
        log_q = torch.func.functional_call(flow, still, (x,))
    else:
        log_q = flow.base.log_prob(batch.z) - log_det
    return checked_density(log_density, x) / batch.temperature - log_q


def _doubly_reparametrized(gains: Float[Tensor, "groups k"]) -> Float[Tensor, ""]:
    """A loss whose gradient is that of minus the importance-weighted bound, through the draws only."""
    shares = gains.detach().softmax(1)
    return -(shares.square() * gains).sum(1).mean()


def _check(objective: str, *, draws: int, steps: int, annealing: float, hottest: float, importance: int) -> None:
    for name, value in (("draws", draws), ("steps", steps), ("importance", importance)):
        check_count(value, name)
    if objective not in ("path", "plain", "importance") or not 0 <= annealing <= 1 or not hottest >= 1:
        raise ArgumentError(
            f"objective must be 'path', 'plain' or 'importance', annealing in [0, 1] and first_temperature at least 1, "
            f"got {objective!r}, {annealing} and {hottest}."
        )
    if objective == "importance" and draws % importance:
        raise ArgumentError(f"importance must divide draws, got {importance} and {draws}.")

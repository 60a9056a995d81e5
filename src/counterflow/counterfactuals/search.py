"""The one search loop: every row of a batch at once, each row leaving on its own.

The loop knows nothing of models, densities or tables. It minimizes the objective of a :class:`Problem` inside a box
by projected Adam steps. Every row has its own step length: it is halved when the row's best feasible point stops
improving, and after a few halvings the row leaves. Rows never mix: sums over the batch have the gradient of each row
alone, and Adam works elementwise. So a row's answer does not depend on its company.

A problem may be stochastic (a density under another draw of dequantization noise at every step), so a point counts as
feasible where its gaps are closed, and their running mean too.
"""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from counterflow.counterfactuals.objectives import Terms

__all__ = ["Box", "Deadline", "Problem", "SearchResult", "SearchSettings", "search"]

_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_HOPELESS = 1e6
_RANGE = (1e-3, 1e3)


class Box(NamedTuple):
    """The points a row may visit: from ``lower`` to ``upper``, both of shape ``(rows, columns)``."""

    lower: Float[Tensor, "rows columns"]
    upper: Float[Tensor, "rows columns"]

    def clamp(self, x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """The nearest point of the box."""
        return torch.minimum(torch.maximum(x, self.lower), self.upper)

    def of_rows(self, rows: Tensor) -> "Box":
        """The boxes of some rows."""
        return Box(self.lower[rows], self.upper[rows])


@runtime_checkable
class Problem(Protocol):
    """What is minimized: the terms of the objective at ``x`` for the rows of the batch named by ``rows``."""

    def __call__(self, x: Float[Tensor, "some columns"], rows: Int[Tensor, " some"]) -> Terms:
        """Evaluate the terms, differentiable in ``x``."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """What the objective weighs, how rows step, and when they leave.

    Args:
        weight: Weight of both hinges against the distance.
        learning_rate: First step length in standardized units.
        max_steps: Steps after which a row leaves in any case.
        patience: Steps without a nearer feasible point after which a row's step length is halved.
        halvings: A row leaves instead of being halved once more.
        tolerance: The relative gain in distance that counts as nearer.
        smoothing: Weight of the newest gaps in their running mean, in (0, 1].
        adapt: By what share the weight of each row's gap grows at a step at which the gap is open, and shrinks where it
            is closed; 0 keeps the weights. With it they settle where the gap is just closed, so that a row does not
            swing about the edge of what is allowed, and comes to rest nearer to its factual.
    """

    weight: float = 5.0
    learning_rate: float = 0.1
    max_steps: int = 150
    patience: int = 8
    halvings: int = 3
    tolerance: float = 5e-3
    smoothing: float = 0.3
    adapt: float = 0.0


class Deadline:
    """A point in time after which no new step is taken; ``None`` seconds means never.

    Example:
        >>> Deadline(None).passed(), Deadline(0.0).passed()
        (False, True)
    """

    def __init__(self, seconds: float | None) -> None:
        self.at = math.inf if seconds is None else time.monotonic() + seconds

    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.at


class SearchResult(NamedTuple):
    """The best point of each row.

    Feasible rows hold the nearest point whose gaps were closed; the others the point that was nearest to that,
    validity first.
    """

    x: Float[Tensor, "rows columns"]
    feasible: Bool[Tensor, " rows"]
    steps: Int[Tensor, " rows"]


class _Walkers:
    """The rows still searched, with all that belongs to their walk."""

    def __init__(self, start: Tensor) -> None:
        self.rows = torch.arange(len(start))
        self.x = start
        self.first = torch.zeros_like(start)
        self.second = torch.zeros_like(start)
        self.stale = torch.zeros(len(start), dtype=torch.long)
        self.halved = torch.zeros(len(start), dtype=torch.long)
        self.gaps: Tensor | None = None
        self.weights: Tensor | None = None

    def smooth(self, gaps: Tensor, share: float) -> Tensor:
        """The running mean of the gaps."""
        self.gaps = gaps if self.gaps is None else torch.lerp(self.gaps, gaps, share)
        return self.gaps

    def objective(self, terms: Terms, settings: SearchSettings) -> Tensor:
        """The distance and the weighted hinges, soft ones with a weight for each gap of each row if these adapt."""
        if not settings.adapt:
            return terms.total(settings.weight)
        if self.weights is None:
            self.weights = torch.full_like(terms.gaps, settings.weight)
            self.weights[1 : 1 + len(terms.shortfall)] /= len(terms.shortfall)
        factor = torch.where(terms.gaps > 0, 1 + settings.adapt, 1 / (1 + settings.adapt))
        lowest, highest = (settings.weight * times for times in _RANGE)
        self.weights = (self.weights * factor).clamp(lowest, highest)
        return terms.distance + (self.weights * nn.functional.softplus(terms.gaps)).sum(0)

    def step(self, gradient: Tensor, count: int, rate: Tensor) -> Tensor:
        """Where an Adam step leads."""
        self.first = torch.lerp(self.first, gradient, 1 - _BETAS[0])
        self.second = torch.lerp(self.second, gradient.square(), 1 - _BETAS[1])
        scale = math.sqrt(1 - _BETAS[1] ** count) / (1 - _BETAS[0] ** count)
        return self.x.detach() - (rate * scale)[:, None] * self.first / (self.second.sqrt() + _EPSILON)

    def keep(self, staying: Tensor) -> None:
        """Let the other rows go."""
        for name in ("rows", "x", "first", "second", "stale", "halved"):
            setattr(self, name, getattr(self, name)[staying])
        self.gaps = None if self.gaps is None else self.gaps[:, staying]
        self.weights = None if self.weights is None else self.weights[:, staying]


class _Best:
    """The best point of every row: feasible and near, else nearest to feasible with validity first."""

    def __init__(self, start: Tensor) -> None:
        self.x = start.clone()
        self.score = torch.full((len(start),), math.inf, dtype=start.dtype)
        self.feasible = torch.zeros(len(start), dtype=torch.bool)

    def offer(self, rows: Tensor, x: Tensor, distance: Tensor, gaps: Tensor, tolerance: float) -> Tensor:
        """Take better points; say which rows hold a feasible point and did not gain."""
        feasible = (gaps <= 0).all(0)
        hinges = torch.relu(gaps)
        violation = _HOPELESS * (1 + hinges[1:].mean(0) + _HOPELESS * hinges[0])
        score = torch.where(feasible, distance, violation)
        known = self.score[rows]
        better = score < known
        index = rows[better]
        self.x[index], self.score[index], self.feasible[index] = x[better], score[better], feasible[better]
        return self.feasible[rows] & ~(feasible & (score < known * (1 - tolerance)))


def search(
    problem: Problem,
    start: Float[Tensor, "rows columns"],
    box: Box,
    *,
    settings: SearchSettings,
    deadline: Deadline | None = None,
) -> SearchResult:
    """Minimize the objective of every row from its start, inside its box.

    Args:
        problem: The objective's terms.
        start: Where each row starts, ``(rows, columns)``, in standardized units.
        box: Where it may go; a column that must not move has ``lower == upper``.
        settings: How to step and when to stop.
        deadline: When to stop in any case.

    Returns:
        The best point of each row, and whether its gaps are closed.

    Example:
        >>> def half(x, rows):  # nearest point to the origin with x >= 1
        ...     return Terms(x.abs().sum(1), 1 - x[:, 0], torch.full((1, len(x)), -1.0))
        >>> box = Box(torch.full((1, 1), -5.0), torch.full((1, 1), 5.0))
        >>> found = search(half, torch.zeros(1, 1), box, settings=SearchSettings())
        >>> bool(found.feasible), bool(1.0 <= found.x.item() < 1.3)
        (True, True)
    """
    walkers = _Walkers(box.clamp(start))
    best = _Best(walkers.x)
    steps = torch.full((len(start),), settings.max_steps)
    for count in range(1, settings.max_steps + 1):
        if not len(walkers.rows) or (deadline is not None and deadline.passed()):
            break
        x = walkers.x.requires_grad_()
        terms = problem(x, walkers.rows)
        gaps = torch.maximum(walkers.smooth(terms.gaps.detach(), settings.smoothing), terms.gaps.detach())
        (gradient,) = torch.autograd.grad(walkers.objective(terms, settings).sum(), x)
        stalled = best.offer(walkers.rows, x.detach(), terms.distance.detach(), gaps, settings.tolerance)
        walkers.x = box.of_rows(walkers.rows).clamp(walkers.step(gradient, count, _rate(walkers, settings)))
        leaving = _tire(walkers, stalled, settings)
        if bool(leaving.any()):
            steps[walkers.rows[leaving]] = count
            walkers.keep(~leaving)
    return SearchResult(best.x, best.feasible, steps)


def _rate(walkers: _Walkers, settings: SearchSettings) -> Tensor:
    """The step length of each row."""
    return settings.learning_rate * torch.pow(0.5, walkers.halved.to(walkers.x.dtype))


def _tire(walkers: _Walkers, stalled: Tensor, settings: SearchSettings) -> Tensor:
    """Halve the step length of rows that stalled for long; say which leave instead."""
    walkers.stale = torch.where(stalled, walkers.stale + 1, 0)
    tired = walkers.stale >= settings.patience
    walkers.stale = torch.where(tired, 0, walkers.stale)
    walkers.halved = walkers.halved + tired
    return walkers.halved > settings.halvings

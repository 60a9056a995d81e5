"""The one search loop: every row of a batch at once, each row leaving on its own.

The loop knows nothing of models, densities or tables. It minimizes the objective of a :class:`Problem` inside a box
by projected Adam steps, remembers for each row the best point that satisfied both hinges, and lets a row go when that
point stopped improving. Rows never mix: sums over the batch have the gradient of each row alone, Adam works
elementwise, and every row has its own clock. So a row's answer does not depend on its company.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.objectives import Terms

__all__ = ["Box", "Deadline", "Problem", "SearchResult", "SearchSettings", "search"]

_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_HOPELESS = 1e6


class Box(NamedTuple):
    """The points a row may visit: from ``lower`` to ``upper``, both of shape ``(rows, columns)``."""

    lower: Float[Tensor, "rows columns"]
    upper: Float[Tensor, "rows columns"]

    def clamp(self, x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """The nearest point of the box."""
        return torch.minimum(torch.maximum(x, self.lower), self.upper)


class Problem(Protocol):
    """What is minimized: the terms of the objective at ``x`` for the rows of the batch named by ``rows``."""

    def __call__(self, x: Float[Tensor, "some columns"], rows: Int[Tensor, " some"]) -> Terms:
        """Evaluate the terms, differentiable in ``x``."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """How the loop steps and when a row leaves.

    Args:
        weight: Weight of both hinges against the distance.
        learning_rate: First step length in standardized units; it falls by a cosine to a twentieth.
        max_steps: Steps after which a row leaves in any case.
        patience: Steps without a nearer feasible point after which a row leaves.
        tolerance: The relative gain in distance that counts as nearer.
    """

    weight: float = 10.0
    learning_rate: float = 0.1
    max_steps: int = 200
    patience: int = 25
    tolerance: float = 5e-3


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

    Feasible rows hold the nearest point that satisfied both hinges; the others the point that was nearest to
    satisfying them, validity first.
    """

    x: Float[Tensor, "rows columns"]
    feasible: Bool[Tensor, " rows"]
    steps: Int[Tensor, " rows"]


class _State:
    """The batch while it is searched: the walkers still active, and the best point of every row."""

    def __init__(self, start: Tensor) -> None:
        rows = len(start)
        self.rows = torch.arange(rows)
        self.x = start.clone()
        self.first = torch.zeros_like(start)
        self.second = torch.zeros_like(start)
        self.stale = torch.zeros(rows, dtype=torch.long)
        self.best = start.clone()
        self.score = torch.full((rows,), math.inf, dtype=start.dtype)
        self.feasible = torch.zeros(rows, dtype=torch.bool)
        self.steps = torch.zeros(rows, dtype=torch.long)

    def record(self, terms: Terms, tolerance: float) -> None:
        """Keep the best point of each row: feasible and near, else nearest to feasible with validity first."""
        distance, validity, shortfall = (term.detach() for term in terms)
        feasible = (validity <= 0) & (shortfall <= 0)
        violation = _HOPELESS * (1 + shortfall + _HOPELESS * validity)
        score = torch.where(feasible, distance, violation)
        known = self.score[self.rows]
        better = score < known
        gained = feasible & (score < known * (1 - tolerance))
        self.stale = torch.where(gained, 0, self.stale + 1)
        index = self.rows[better]
        self.best[index] = self.x[better].detach()
        self.score[index] = score[better]
        self.feasible[index] = feasible[better]

    def keep(self, staying: Tensor, step: int) -> None:
        """Let the other rows go."""
        self.steps[self.rows[~staying]] = step
        for name in ("rows", "x", "first", "second", "stale"):
            setattr(self, name, getattr(self, name)[staying])

    def step(self, gradient: Tensor, step: int, rate: float) -> None:
        """One Adam step of every active row."""
        self.first.lerp_(gradient, 1 - _BETAS[0])
        self.second.lerp_(gradient.square(), 1 - _BETAS[1])
        scale = math.sqrt(1 - _BETAS[1] ** step) / (1 - _BETAS[0] ** step)
        self.x = self.x - rate * scale * self.first / (self.second.sqrt() + _EPSILON)


def search(
    problem: Problem,
    start: Float[Tensor, "rows columns"],
    box: Box,
    *,
    settings: SearchSettings,
    deadline: Deadline | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Minimize the objective of every row from its start, inside its box.

    Args:
        problem: The objective's terms.
        start: Where each row starts, ``(rows, columns)``, in standardized units.
        box: Where it may go; a column that must not move has ``lower == upper``.
        settings: Step lengths and when to stop.
        deadline: When to stop in any case.
        on_step: Called with the step and the number of rows that left.

    Returns:
        The best point of each row, and whether it satisfies both hinges.

    Example:
        >>> from counterflow.counterfactuals.objectives import Terms
        >>> def half(x, rows):  # nearest point to the origin with x >= 1
        ...     return Terms(x.abs().sum(1), torch.relu(1 - x[:, 0]), torch.zeros(len(x)))
        >>> box = Box(torch.full((1, 1), -5.0), torch.full((1, 1), 5.0))
        >>> found = search(half, torch.zeros(1, 1), box, settings=SearchSettings())
        >>> bool(found.feasible), round(found.x.item(), 1)
        (True, 1.0)
    """
    state = _State(box.clamp(start))
    deadline = deadline or Deadline(None)
    for step in range(1, settings.max_steps + 1):
        x = state.x.requires_grad_()
        terms = problem(x, state.rows)
        (gradient,) = torch.autograd.grad(terms.total(settings.weight).sum(), x)
        with torch.no_grad():
            state.record(terms, settings.tolerance)
            state.step(gradient, step, _rate(settings, step))
            state.x = Box(box.lower[state.rows], box.upper[state.rows]).clamp(state.x)
            done = state.feasible[state.rows] & (state.stale >= settings.patience)
            if bool(done.any()):
                state.keep(~done, step)
        if on_step is not None:
            on_step(step, len(start) - len(state.rows))
        if not len(state.rows) or deadline.passed():
            break
    state.keep(torch.zeros(len(state.rows), dtype=torch.bool), settings.max_steps)
    return SearchResult(state.best, state.feasible, state.steps)


def _rate(settings: SearchSettings, step: int) -> float:
    """The step length: a cosine from the first down to a twentieth of it."""
    share = 0.5 * (1 + math.cos(math.pi * step / settings.max_steps))
    return settings.learning_rate * (0.05 + 0.95 * share)

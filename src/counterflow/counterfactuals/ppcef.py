r"""PPCEF: search for the nearest row that the model accepts and that is dense under its class.

Wielopolski, Furman, Stefanowski, Zieba, "Probabilistically Plausible Counterfactual Explanations with Normalizing
Flows", ECAI 2024, arXiv 2405.17640. The objective is the paper's, term by term (:mod:`.objectives`):

.. math:: d(x, x_0) + \lambda \left[ \ell_{\mathrm{valid}}(x, y') + \max(\delta - \log p(x \mid y'), 0) \right]

What differs by default, and is undone by ``preset="paper"``: the threshold is conformal and a cushion above the one that
was asked, so that the answer is plausible to flows that the search never saw; several flows have to agree; the validity
hinge is taken in log-odds, whose slope does not vanish where the model is sure; steps shrink and rows leave.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.finish import NOT_VALID, Incumbent, pull_back, round_to_grid, undo_needless
from counterflow.counterfactuals.objectives import Terms, density_gap, lp_distance
from counterflow.counterfactuals.search import Box, SearchSettings, search
from counterflow.counterfactuals.starts import propose_starts
from counterflow.counterfactuals.task import Task

__all__ = ["PPCEF"]

_LOWEST = -1e6
_ALL = slice(None)
_LONG_STEP, _HEAVY = 0.5, 100.0
_CUSHION, _CUSHION_OF_FEW, _ENOUGH_HELD_OUT = 0.2, 0.5, 500


@dataclass(frozen=True)
class PPCEF:
    r"""Settings of the search.

    Args:
        preset: ``"default"``, or ``"paper"`` for the published objective and step sizes.
        weight: :math:`\lambda`, the weight of both hinges.
        margin: How far beyond its cut-off the target's probability must lie during the search, in [0, 0.5).
        cushion: The share of the way from the asked plausibility to 1 that the search aims beyond it, in [0, 1): with
            ``min_plausibility=0.1`` and ``cushion=0.2`` it aims at 0.28. The paper's median threshold is an aim of 0.5.
            By default 0.2, and 0.5 where the thresholds rest on fewer than 500 held-out rows of a class.
        validity: The scale of the validity hinge: ``"log-odds"`` or the paper's ``"probability"``.
        learning_rate: Adam's first step in standardized units.
        max_steps: The most steps a row may take.
        patience: Steps without a nearer feasible point after which a row leaves.
        norm: The exponent of the distance, unless :meth:`explain` is given one.
        starts: How many further starts, made from plausible rows of the target class, a row gets where it needs them.
        sparse: Undo needless changes afterwards.

    Raises:
        ArgumentError: If a number is outside its range.

    Example:
        >>> PPCEF(preset="paper", norm=1.0).weight
        100.0
    """

    preset: Literal["default", "paper"] = "default"
    weight: float | None = None
    margin: float | None = None
    cushion: float | None = None
    validity: Literal["log-odds", "probability"] | None = None
    learning_rate: float | None = None
    max_steps: int | None = None
    patience: int | None = None
    norm: float = 2.0
    starts: int = 3
    sparse: bool | None = None

    _PRESETS: ClassVar[dict[str, dict[str, object]]] = {
        "default": {
            "weight": 5.0,
            "margin": 0.02,
            "validity": "log-odds",
            "learning_rate": 0.05,
            "max_steps": 120,
            "patience": 6,
            "sparse": True,
        },
        "paper": {
            "weight": 100.0,
            "margin": 0.05,
            "cushion": 0.0,
            "validity": "probability",
            "learning_rate": 0.005,
            "max_steps": 500,
            "patience": 500,
            "sparse": False,
        },
    }

    def __post_init__(self) -> None:
        if self.preset not in self._PRESETS:
            raise ArgumentError(f"preset must be one of {sorted(self._PRESETS)}, got {self.preset!r}.")
        for name, value in self._PRESETS[self.preset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        _check_ranges(self)

    def aim(self, task: Task) -> float:
        """The plausibility that the search aims for."""
        cushion = self.cushion
        if cushion is None:
            held_out = min(len(scores) for scores in task.density.calibration)
            cushion = _CUSHION if held_out >= _ENOUGH_HELD_OUT else _CUSHION_OF_FEW
        return task.min_plausibility + cushion * (1 - task.min_plausibility)

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The best legal row found for each row of the task, the factual itself if there is none."""
        incumbent = Incumbent(task, aim=self.aim(task))
        rows = torch.nonzero(task.rules.can_change)[:, 0]
        self._search_from(incumbent, task.factuals[rows], rows)
        guided = rows[(task.rules.may_switch.any(1) | (incumbent.quality.tier > 0))[rows]]
        starts, guided = propose_starts(task, guided, count=self.starts, aim=incumbent.aim)
        for start in starts:
            incumbent.offer(start, guided)
        self._search_from(incumbent, starts.flatten(0, 1), guided)
        stubborn = rows[incumbent.quality.tier[rows] >= NOT_VALID]
        self._search_from(incumbent, task.factuals[stubborn], stubborn, desperate=True)
        if self.sparse:
            pull_back(incumbent)
            undo_needless(incumbent)
        return incumbent.numbers

    def _search_from(self, incumbent: Incumbent, start: Tensor, rows: Tensor, *, desperate: bool = False) -> None:
        """Search from legal starting rows, then offer what was found on the grid; in despair, without the density."""
        if not len(start):
            return
        copies = len(start) // len(rows)
        task = incumbent.task.of_rows(rows.repeat(copies))
        problem = _Problem(self, task, start, 0.0 if desperate else incumbent.aim)
        found = search(
            problem,
            problem.to_steps(start),
            problem.box,
            settings=self._settings(desperate=desperate),
            deadline=task.deadline,
        )
        for piece in problem.to_numbers(found.x).unflatten(0, (copies, len(rows))):
            round_to_grid(incumbent, piece, rows)

    def _settings(self, *, desperate: bool) -> SearchSettings:
        rate, weight = (_LONG_STEP, _HEAVY) if desperate else (self.learning_rate, self.weight)
        return SearchSettings(weight, rate, self.max_steps, self.patience)


class _Problem:
    """The objective of a task from given starts: discrete columns stay as the start has them, numbers move."""

    def __init__(self, settings: PPCEF, task: Task, start: Tensor, aim: float) -> None:
        self.settings = settings
        self.task = task
        self.start = start
        self.calls = 0
        self.moving = task.rules.movable & ~task.on_atoms(start)
        self.threshold = task.density.threshold(aim)[task.goal.target].clamp(min=_LOWEST)
        self.origin = self.to_steps(task.factuals)
        self.switched = task.delta(start)
        lower, upper = (
            self.to_steps(torch.where(self.moving, bound, start)) for bound in (task.rules.lower, task.rules.upper)
        )
        self.box = Box(lower, upper)

    def to_steps(self, numbers: Tensor) -> Tensor:
        """From the codec's numbers to standardized units."""
        return (numbers / self.task.scale).nan_to_num(0.0)

    def to_numbers(self, x: Tensor, rows: Tensor | slice = _ALL) -> Tensor:
        """Back, with everything that does not move as the start has it."""
        return torch.where(self.moving[rows], x * self.task.scale, self.start[rows])

    def __call__(self, x: Tensor, rows: Int[Tensor, " some"]) -> Terms:
        numbers = self.to_numbers(x, rows)
        delta = torch.where(self.moving[rows], x - self.origin[rows], self.switched[rows])
        goal = self.task.goal.of_rows(rows)
        logits = self.task.model.logits(numbers)
        log_density = self.task.density.at_draw(self.calls, numbers, goal.target)
        self.calls += 1
        return Terms(
            lp_distance(delta, self.task.cost, norm=self.task.norm),
            goal.gap(logits, margin=self.settings.margin, scale=self.settings.validity),
            density_gap(log_density, self.threshold[rows]),
        )


def _check_ranges(settings: PPCEF) -> None:
    ranges = {
        "weight": (0.0, float("inf")),
        "margin": (0.0, 0.5),
        "cushion": (0.0, 1.0),
        "norm": (0.0, float("inf")),
        "learning_rate": (0.0, float("inf")),
    }
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not low <= value < high:
            raise ArgumentError(f"{name} must lie in [{low:g}, {high:g}), got {value!r}.")
    if settings.validity not in ("log-odds", "probability"):
        raise ArgumentError(f"validity must be 'log-odds' or 'probability', got {settings.validity!r}.")

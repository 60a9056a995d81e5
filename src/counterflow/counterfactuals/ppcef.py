r"""PPCEF: search for the nearest row that the model accepts and that is dense under its class.

Wielopolski, Furman, Stefanowski, Zieba, "Probabilistically Plausible Counterfactual Explanations with Normalizing
Flows", ECAI 2024, arXiv 2405.17640. The objective is the paper's, term by term (:mod:`.objectives`):

.. math:: d(x, x_0) + \lambda \left[ \ell_{\mathrm{valid}}(x, y') + \max(\delta - \log p(x \mid y'), 0) \right]

What differs by default: the search aims a cushion above the plausibility that was asked, so that the answer is
plausible to flows that it never saw; the validity hinge is taken in log-odds, whose slope does not vanish where the
model is sure; its weights adapt, row by row; steps shrink; answers are drawn back and needless changes undone.
``preset="paper"`` takes these back. With both, the threshold is conformal, several flows have to agree, and every
step sees fresh dequantization noise.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.finish import (
    NOT_PLAUSIBLE,
    NOT_VALID,
    Incumbent,
    pull_back,
    round_to_grid,
    undo_needless,
)
from counterflow.counterfactuals.problem import PlausibleProblem
from counterflow.counterfactuals.recombine import recombine
from counterflow.counterfactuals.repair import repair
from counterflow.counterfactuals.search import SearchSettings, search
from counterflow.counterfactuals.starts import leverage, propose_starts
from counterflow.counterfactuals.task import Task

__all__ = ["PPCEF"]

_OF_PRESET: Any = None
_MODEST = 0.25
_CUSHION, _CUSHION_OF_FEW, _ENOUGH_HELD_OUT = 0.3, 0.5, 500


@dataclass(frozen=True)
class PPCEF:
    r"""Settings of the search.

    Args:
        preset: ``"default"``, or ``"paper"`` for the published objective and step sizes.
        weight: :math:`\lambda`, the weight of both hinges, where the search begins.
        adapt: By what share the weights of each row's gaps grow or shrink at each step, until the gaps are just closed;
            0 keeps :math:`\lambda` as it is.
        margin: How far beyond its cut-off the target's probability must lie during the search, in [0, 0.5).
        cushion: The share of the way from the asked plausibility to 1 that the search aims beyond it, in [0, 1): with
            ``min_plausibility=0.1`` and ``cushion=0.2`` it aims at 0.28. The paper's median threshold is an aim of 0.5.
            By default 0.3, and 0.5 where the thresholds rest on fewer than 500 held-out rows of a class.
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
    weight: float = _OF_PRESET
    adapt: float = _OF_PRESET
    margin: float = _OF_PRESET
    cushion: float | None = None
    validity: Literal["log-odds", "probability"] = _OF_PRESET
    learning_rate: float = _OF_PRESET
    max_steps: int = _OF_PRESET
    patience: int = _OF_PRESET
    norm: float = 2.0
    starts: int = 3
    sparse: bool = _OF_PRESET

    _PRESETS: ClassVar[dict[str, dict[str, object]]] = {
        "default": {
            "weight": 0.3,
            "adapt": 0.2,
            "margin": 0.02,
            "validity": "log-odds",
            "learning_rate": 0.1,
            "max_steps": 30,
            "patience": 5,
            "sparse": True,
        },
        "paper": {
            "weight": 100.0,
            "adapt": 0.0,
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
        """The best legal row found for each row of the task, the factual itself if there is none.

        Every row is searched from itself; one that falls short of the aim from plausible rows too; one that is still
        not valid without asking for density; and one that is still not plausible once more, longer and for less, and
        at last by trying what plausible rows have, without any slope.
        """
        aim = self.aim(task)
        incumbent = Incumbent(task, aim=aim)
        rows = torch.nonzero(task.rules.can_change)[:, 0]
        found = self._search_from(incumbent, task.factuals[rows], rows, aim=aim)
        self._search_few_columns(incumbent, rows, found, aim=aim)
        guided = rows[(task.rules.may_switch.any(1) | (incumbent.quality.tier > 0))[rows]]
        starts, guided = propose_starts(task, guided, count=self.starts, aim=aim)
        for start in starts:
            incumbent.offer(start, guided)
        self._search_from(incumbent, starts.flatten(0, 1), guided, aim=aim)
        stubborn = rows[incumbent.quality.tier[rows] >= NOT_VALID]
        self._search_from(incumbent, task.factuals[stubborn], stubborn, aim=0.0, settings=self._without_density())
        doubtful = rows[incumbent.quality.tier[rows] >= NOT_PLAUSIBLE]
        again = torch.cat((incumbent.numbers[doubtful], task.factuals[doubtful]))
        modest = task.min_plausibility + _MODEST * (aim - task.min_plausibility)
        self._search_from(incumbent, again, doubtful, aim=modest, settings=self._patiently())
        if task.oracle is None:
            repair(incumbent, doubtful[incumbent.quality.tier[doubtful] >= NOT_PLAUSIBLE])
        else:  # what the model refuses is repaired, and counted, after the search
            recombine(incumbent, rows[incumbent.quality.tier[rows] < NOT_PLAUSIBLE])
        if self.sparse:
            pull_back(incumbent)
            undo_needless(incumbent)
        return incumbent.numbers

    def _search_few_columns(self, incumbent: Incumbent, rows: Tensor, found: Tensor, *, aim: float) -> None:
        """Where the number of changes is limited, search again with so many columns: two choices of them."""
        most = incumbent.task.rules.max_changes
        if most is None or not len(rows):
            return
        task = incumbent.task.of_rows(rows)
        for value, settings in ((task.delta(found).abs() * task.cost, None), (leverage(task), self._without_density())):
            columns = torch.zeros_like(task.rules.movable).scatter(
                1, value.topk(min(most, value.shape[1])).indices, True
            )
            self._search_from(incumbent, task.factuals, rows, aim=aim, columns=columns)
            lost = torch.nonzero(incumbent.quality.tier[rows] >= NOT_VALID)[:, 0]
            self._search_from(
                incumbent, task.factuals[lost], rows[lost], aim=0.0, columns=columns[lost], settings=settings
            )

    def _search_from(
        self,
        incumbent: Incumbent,
        start: Tensor,
        rows: Tensor,
        *,
        aim: float,
        columns: Tensor | None = None,
        settings: SearchSettings | None = None,
    ) -> Tensor:
        """Search from legal starting rows (one or more for each of ``rows``), then offer what was found on the grid."""
        if not len(start):
            return start
        copies = len(start) // len(rows)
        task = incumbent.task.of_rows(rows.repeat(copies))
        problem = PlausibleProblem(task, start, aim=aim, margin=self.margin, scale=self.validity, columns=columns)
        found = search(
            problem,
            problem.to_steps(start),
            problem.box,
            settings=settings or self._settings(),
            deadline=task.deadline,
        )
        numbers = problem.to_numbers(found.x)
        for piece in numbers.unflatten(0, (copies, len(rows))):
            round_to_grid(incumbent, piece, rows)
        return numbers

    def _settings(self) -> SearchSettings:
        return SearchSettings(self.weight, self.learning_rate, self.max_steps, self.patience, adapt=self.adapt)

    def _without_density(self) -> SearchSettings:
        """Long steps and a heavy weight: validity wherever it is to be had."""
        return replace(self._settings(), weight=100.0, adapt=0.0, learning_rate=0.5)

    def _patiently(self) -> SearchSettings:
        """Half as long again, with larger steps."""
        settings = self._settings()
        return replace(
            settings,
            weight=4 * settings.weight,
            learning_rate=2 * settings.learning_rate,
            max_steps=3 * settings.max_steps // 2,
            patience=2 * settings.patience,
        )


def _check_ranges(settings: PPCEF) -> None:
    ranges = {
        "weight": (0.0, float("inf")),
        "margin": (0.0, 0.5),
        "cushion": (0.0, 1.0),
        "norm": (0.0, float("inf")),
        "learning_rate": (0.0, float("inf")),
        "adapt": (0.0, float("inf")),
    }
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if value is not None and not low <= value < high:
            raise ArgumentError(f"{name} must lie in [{low:g}, {high:g}), got {value!r}.")
    if settings.norm == 0:
        raise ArgumentError("norm must be above 0, got 0.")
    if settings.validity not in ("log-odds", "probability"):
        raise ArgumentError(f"validity must be 'log-odds' or 'probability', got {settings.validity!r}.")

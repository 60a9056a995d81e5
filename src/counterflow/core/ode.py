"""Ordinary differential equations, a batch of rows at a time, each row with its own steps, and gradients."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError, SolverError
from counterflow.core.ode_gradients import Adjoint, Way, accepted_steps, replay
from counterflow.core.ode_transforms import are_transforms_active, transformed_steps
from counterflow.core.runge_kutta import DORMAND_PRINCE, RK4, Field
from counterflow.core.stepping import Trace, march

__all__ = ["AdaptiveSolver", "FixedSolver", "Solution", "SolveReport", "Solver", "plain_field", "solve"]

Gradients = Literal["auto", "adjoint", "direct"]

_FEW_ROWS = 1024
"""So many rows at most are backpropagated directly when the choice is left to the library."""


@dataclass(frozen=True)
class AdaptiveSolver:
    r"""Dormand and Prince's method of order 5(4), each row with steps of its own.

    A step is accepted when :math:`\sqrt{\operatorname{mean}_i (e_i / (a + r |y_i|))^2} \le 1` for the row's error
    estimate e, which includes that of the log-determinant.

    Args:
        atol: The absolute tolerance a of the error of a step, above zero.
        rtol: The relative tolerance r; less than eight units of rounding of the dtype counts as that much.
        max_steps: The most steps that are tried, from 1.
        gradients: ``"adjoint"`` takes the steps again in the backward pass, in the memory of one step; ``"direct"``
            keeps what all steps computed, which is quicker; ``"auto"`` is direct for at most 1024 rows. All of them
            differentiate the discrete solution.

    Raises:
        ArgumentError: A value is out of its range.

    Reference:
        Dormand, Prince, "A family of embedded Runge-Kutta formulae", 1980, table 2.

    Example:
        >>> AdaptiveSolver(atol=1e-6).rtol
        1e-05
    """

    atol: float = 1e-5
    rtol: float = 1e-5
    max_steps: int = 1000
    gradients: Gradients = "auto"

    def __post_init__(self) -> None:
        check_positive(self.atol, "atol")
        check_positive(self.rtol, "rtol")
        check_count(self.max_steps, "max_steps")
        _check_gradients(self.gradients)


@dataclass(frozen=True)
class FixedSolver:
    """The classical Runge-Kutta method of order 4 with equal steps; it compiles as one graph, and estimates no error.

    Args:
        steps: How many steps, from 1.
        gradients: ``"auto"``, ``"adjoint"`` or ``"direct"``, as for :class:`AdaptiveSolver`.

    Raises:
        ArgumentError: A value is out of its range.

    Example:
        >>> FixedSolver(steps=8)
        FixedSolver(steps=8, gradients='auto')
    """

    steps: int = 20
    gradients: Gradients = "auto"

    def __post_init__(self) -> None:
        check_count(self.steps, "steps")
        _check_gradients(self.gradients)


Solver = AdaptiveSolver | FixedSolver


@dataclass(frozen=True)
class SolveReport:
    """How a solution went.

    Args:
        evaluations: How often the field was evaluated, each time for all rows that were on their way.
        accepted: How many steps were accepted, summed over the rows.
        rejected: How many steps were tried in vain, summed over the rows.
        largest_error: The largest error estimate of an accepted step as a share of the tolerance, at most 1; NaN for
            a solver that estimates none.
        finished: Whether all rows reached the end. (A solution with rows that did not is an error.)
    """

    evaluations: int
    accepted: int
    rejected: int
    largest_error: float
    finished: bool


class Solution(NamedTuple):
    """The end of a solution.

    Args:
        y: States, shape ``(*lead, d)``.
        integral: What was integrated along the way, shape ``(*lead, 1)``; ``None`` if there was nothing.
        report: How it went; ``None`` inside a transform of ``torch.func`` or a compiled graph, which hold no numbers.
    """

    y: Tensor
    integral: Tensor | None
    report: SolveReport | None


def solve(
    field: Field | Callable[[Tensor, Tensor], Tensor],
    y: Float[Tensor, "*lead d"],
    *,
    start: float = 0.0,
    end: float = 1.0,
    solver: Solver | None = None,
) -> Solution:
    r"""Solve an initial value problem for every row of a batch.

    .. math:: y(t_1) = y(t_0) + \int_{t_0}^{t_1} v(t, y(t))\, dt

    Every row has a time and a step size of its own: an easy row neither waits for a hard one nor depends on it.

    Args:
        field: ``v(t, y)`` with times of shape (\*lead, 1) and states of shape (\*lead, d), for which the gradients are
            ``"direct"``, as nobody knows what else it depends on; or a :class:`Field`, which names its tensors.
        y: Initial states.
        start: Their time.
        end: The time to reach, before or after ``start``.
        solver: The method; ``None`` for the adaptive one with its defaults.

    Returns:
        The end, and how it went.

    Raises:
        SolverError: A row did not reach the end; the sentence says how many, and what to do.

    Example:
        >>> decay = lambda t, y: -y
        >>> solution = solve(decay, torch.tensor([[1.0], [2.0]]), end=2.0)
        >>> (solution.y * torch.e**2).round(decimals=3).tolist()
        [[1.0], [2.0]]
        >>> solution.report.finished
        True
    """
    solver = solver or AdaptiveSolver()
    if not isinstance(field, Field):
        field, solver = plain_field(field), replace(solver, gradients="direct")
    if isinstance(solver, FixedSolver):
        return _solve_fixed(field, y, start, end, solver=solver)
    return _solve_adaptive(field, y, start, end, solver=solver)  # pyright: ignore[reportCallIssue]


def plain_field(velocity: Callable[[Tensor, Tensor], Tensor]) -> Field:
    """The field of a function of time and state."""
    return Field(lambda t, y, rows, weights: velocity(t, y))


def _solve_fixed(field: Field, y: Tensor, start: float, end: float, *, solver: FixedSolver) -> Solution:
    steps = y.new_full((solver.steps, *y.shape[:-1], 1), (end - start) / solver.steps)
    way = Way(start, steps, RK4)
    report = SolveReport(4 * solver.steps, solver.steps * y.shape[:-1].numel(), 0, math.nan, finished=True)
    traced = torch.compiler.is_compiling() or are_transforms_active()
    if traced or _is_direct(solver, y) or not _tracked(field, y):
        return Solution(*replay(field, y, way), report)
    states: list[Tensor] = []
    with torch.no_grad():
        end_state = replay(field, y, way, states=states)
    return Solution(*_with_adjoint(field, y, replace(way, states=torch.stack(states)), end_state), report)


@torch.compiler.disable
def _solve_adaptive(field: Field, y: Tensor, start: float, end: float, *, solver: AdaptiveSolver) -> Solution:
    if are_transforms_active() or y.is_meta:
        steps = transformed_steps(field, y, functools.partial(_steps, start=start, end=end, solver=solver))
        return Solution(*replay(field, y, Way(start, steps, DORMAND_PRINCE)), None)
    tracked = _tracked(field, y)
    record = tracked and _is_direct(solver, y)
    trace = _march(field, y, start, end, solver=solver, keep=tracked, record=record)
    report = SolveReport(trace.evaluations, trace.accepted, trace.rejected, trace.largest_error, finished=True)
    if not tracked or (record and trace.sound):
        return Solution(trace.y, trace.integral, report)
    steps, states = accepted_steps(trace)
    way = Way(start, steps, DORMAND_PRINCE, states)
    if record:  # a try that ended at infinity would have left NaN in the gradients
        return Solution(*replay(field, y, way), report)
    return Solution(*_with_adjoint(field, y, way, (trace.y, trace.integral)), report)


def _with_adjoint(field: Field, y: Tensor, way: Way, end: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    return Adjoint.apply(field, way, *end, y, *field.rows, *field.weights)


def _steps(field: Field, y: Tensor, *, start: float, end: float, solver: AdaptiveSolver) -> Tensor:
    """The sizes of the steps that the rows take; on the meta device, where there are no numbers, one for the form."""
    if y.is_meta:
        return torch.empty_like(y[None, ..., :1])
    return accepted_steps(_march(field, y, start, end, solver=solver, keep=True))[0]


def _march(
    field: Field, y: Tensor, start: float, end: float, *, solver: AdaptiveSolver, keep: bool, record: bool = False
) -> Trace:
    trace = march(
        field,
        y if record else y.detach(),
        start=start,
        end=end,
        atol=solver.atol,
        rtol=solver.rtol,
        max_steps=solver.max_steps,
        keep=keep,
        record=record,
    )
    if bool((trace.t != end).any()):
        raise SolverError(_complaint(trace, end, solver))
    return trace


def _complaint(trace: Trace, end: float, solver: AdaptiveSolver) -> str:
    late = (trace.t != end)[..., 0]
    first = tuple(late.nonzero()[0].tolist()) if late.dim() else ()
    return (
        f"every row must reach time {end} in at most {solver.max_steps} tries at atol={solver.atol}, "
        f"rtol={solver.rtol}, got {int(late.sum())} of {late.numel()} rows that did not; the first is row {first}, at "
        f"time {trace.t[first].item():.3g}. Look for rows that are not finite or far from all others; raise max_steps, "
        "loosen the tolerances, or train with a smaller learning rate."
    )


def _tracked(field: Field, y: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in (y, *field.rows, *field.weights))


def _is_direct(solver: Solver, y: Tensor) -> bool:
    if solver.gradients == "auto":
        return y.shape[:-1].numel() <= _FEW_ROWS
    return solver.gradients == "direct"


def _check_gradients(value: str) -> None:
    if value not in ("auto", "adjoint", "direct"):
        raise ArgumentError(f"gradients must be 'auto', 'adjoint' or 'direct', got {value!r}. Choose one of these.")

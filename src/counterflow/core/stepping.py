"""Adaptive Dormand-Prince steps, each row at its own pace: which steps a solution takes, and where they lead."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from counterflow.core.runge_kutta import DORMAND_PRINCE, Field, combine, slopes

__all__ = ["CROWDED", "Tolerance", "Trace", "march"]

_SAFETY, _SMALLEST, _LARGEST = 0.9, 0.2, 8.0
"""The next step is the ideal one times the first number, and at least and at most so many times the last one."""

CROWDED = 0.8
"""Rows that are done leave the batch when no more than this share of it is still on its way."""


@dataclass(frozen=True)
class Tolerance:
    """How exact a step must be, and where the way ends.

    Args:
        end: The time to reach.
        atol: The absolute tolerance of a step's error.
        rtol: The relative one.
        tiny: A step below this makes no progress in this dtype.
    """

    end: float
    atol: float
    rtol: float
    tiny: float

    def scale(self, size: Tensor) -> Tensor:
        """The error that a step may make at states of this size."""
        return self.atol + self.rtol * size


@dataclass
class Trace:
    """What a solution was: the end of every row, how it went, and the steps when they are kept.

    Args:
        y: States, shape (*lead, d).
        integral: What was integrated, shape (*lead, 1), if anything.
        t: The times reached, shape (*lead, 1).
        evaluations: How often the field was evaluated, for all rows at once.
        accepted: Steps accepted, over all rows.
        rejected: Steps tried in vain.
        largest_error: The largest estimate of an accepted step's error, as a share of the tolerance.
        sound: Whether all error estimates were finite, those of steps tried in vain included.
        steps: For each try the places of the rows (``None`` for all), which succeeded, their states and step sizes.
    """

    y: Tensor
    integral: Tensor | None
    t: Tensor
    evaluations: int = 0
    accepted: int = 0
    rejected: int = 0
    largest_error: float = 0.0
    sound: bool = True
    steps: list[tuple[Tensor | None, Tensor, Tensor, Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class _Rows:
    """Rows on their way; ``index`` is their place among all rows, ``None`` while all are here."""

    field: Field
    t: Tensor
    y: Tensor
    integral: Tensor | None
    slope: tuple[Tensor, Tensor | None]
    step: Tensor
    active: Tensor
    index: Tensor | None = None


def march(
    field: Field,
    y: Tensor,
    *,
    start: float,
    end: float,
    atol: float,
    rtol: float,
    max_steps: int,
    keep: bool = False,
    record: bool = False,
) -> Trace:
    """Solve from ``start`` to ``end``, every row at its own pace.

    Args:
        field: The field.
        y: Initial states, shape (*lead, d).
        start: The time of the initial states.
        end: The time to reach; it may lie before ``start``.
        atol: The absolute tolerance of a step's error.
        rtol: The relative one.
        max_steps: The most steps that are tried; rows that need more end early.
        keep: Remember the steps.
        record: Let autograd record the way (not the choice of the steps).

    Returns:
        The ends of all rows, counts, and the steps.
    """
    eps = torch.finfo(y.dtype).eps
    goal = Tolerance(end, atol, max(rtol, 8 * eps), 8 * eps * max(abs(start), abs(end)))
    with torch.set_grad_enabled(record):
        rows = _begin(field, y, start, goal)
        trace = Trace(y, rows.integral, rows.t, evaluations=2)
        accepted, errors, worst = torch.zeros_like(rows.t, dtype=torch.long).sum(), y.new_zeros(()), y.new_zeros(())
        tried = 0
        for _ in range(max_steps):
            count = int(rows.active.sum())
            if count == 0:
                break
            if count <= CROWDED * rows.active.numel():
                _settle(trace, rows)
                rows = _without_done(rows)
            before, (rows, good, error) = rows, _advance(rows, goal)
            if keep:
                trace.steps.append((before.index, good, before.y, rows.t - before.t))
            trace.evaluations += len(DORMAND_PRINCE.weights)
            tried += count
            accepted, errors = accepted + good.sum(), torch.maximum(errors, torch.where(good, error, 0.0).amax())
            worst = torch.maximum(worst, torch.where(before.active, error, 0.0).amax())
        _settle(trace, rows)
    trace.accepted, trace.largest_error, trace.sound = int(accepted), float(errors), bool(worst.isfinite())
    trace.rejected = tried - trace.accepted
    return trace


def _begin(field: Field, y: Tensor, start: float, goal: Tolerance) -> _Rows:
    """Stand at the start, with a first step for every row."""
    t = torch.full_like(y[..., :1], start, requires_grad=False)
    slope = field.slope(t, y, integrand=True)
    integral = None if slope[1] is None else torch.zeros_like(t)
    active = torch.full_like(t, goal.end != start, dtype=torch.bool)
    return _Rows(field, t, y, integral, slope, _first_step(field, t, y, slope, goal.end - start, goal), active)


@torch.no_grad()
def _first_step(
    field: Field, t: Tensor, y: Tensor, slope: tuple[Tensor, Tensor | None], span: float, goal: Tolerance
) -> Tensor:
    """Choose every row's first step so that an Euler step would err little.

    Reference:
        Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", 1993, section II.4, starting step size.
    """
    state, speed = _joined(y, None if slope[1] is None else torch.zeros_like(t)), _joined(*slope)
    scale = goal.scale(state.abs())
    size, pace = _norm(state / scale), _norm(speed / scale)
    probe = torch.where((size < 1e-5) | (pace < 1e-5), 0.01 * abs(span), 0.01 * size / pace).clamp(max=abs(span))
    signed = probe if span > 0 else -probe
    bend = _joined(*field.slope(t + signed, y.addcmul(slope[0], signed), integrand=True)) - speed
    curve = torch.maximum(pace, _norm(bend / scale) / probe)
    step = torch.minimum(100 * probe, (0.01 / curve) ** (1 / DORMAND_PRINCE.order))
    step = step.nan_to_num(abs(span)).clamp(min=1e-6 * abs(span), max=abs(span))
    return step if span > 0 else -step


def _advance(rows: _Rows, goal: Tolerance) -> tuple[_Rows, Tensor, Tensor]:
    """Let every row try one step: the rows after it, which of them succeeded, and their errors."""
    step, t = _fitted(rows, goal.end)
    stages = slopes(rows.field, rows.t, rows.y, step=step, tableau=DORMAND_PRINCE, first=rows.slope)
    velocities, integrands = zip(*stages, strict=True)
    y = combine(rows.y, step, DORMAND_PRINCE.weights, velocities)
    slope = rows.field.slope(t, y, integrand=True)
    integral = rows.integral
    if integral is not None:
        integral = combine(integral, step, DORMAND_PRINCE.weights, integrands)
    error = _error(rows, step, [*stages, slope], (y, integral), goal=goal)
    good = (error <= 1) & rows.active
    factor = (_SAFETY * error.clamp(min=1e-12) ** (-1 / DORMAND_PRINCE.order)).clamp(_SMALLEST, _LARGEST)
    next_step, t = step * factor.nan_to_num(_SMALLEST), torch.where(good, t, rows.t)
    after = replace(
        rows,
        t=t,
        y=torch.where(good, y, rows.y),
        integral=_where(good, integral, rows.integral),
        slope=(torch.where(good, slope[0], rows.slope[0]), _where(good, slope[1], rows.slope[1])),
        step=next_step,
        active=rows.active & (t != goal.end) & (next_step.abs() > goal.tiny),
    )
    return after, good, error


@torch.no_grad()
def _error(
    rows: _Rows,
    step: Tensor,
    stages: list[tuple[Tensor, Tensor | None]],
    end: tuple[Tensor, Tensor | None],
    *,
    goal: Tolerance,
) -> Tensor:
    """The estimated error of every row's step, as a share of the tolerance."""
    velocities, integrands = zip(*stages, strict=True)
    error = combine(None, step, DORMAND_PRINCE.errors, velocities)
    if rows.integral is not None:
        error = _joined(error, combine(None, step, DORMAND_PRINCE.errors, integrands))
    size = torch.maximum(_joined(rows.y, rows.integral).abs(), _joined(*end).abs())
    return _norm(error / goal.scale(size))


def _fitted(rows: _Rows, end: float) -> tuple[Tensor, Tensor]:
    """The steps to be tried and the times they lead to; no sliver of time is left over for one more step."""
    left = end - rows.t
    count = (left / rows.step - 0.01).ceil().clamp(min=1)
    step = torch.where(rows.active, torch.where(count <= 2, left / count, rows.step), 0.0)
    return step, torch.where(count == 1, end, rows.t + step)


def _settle(trace: Trace, rows: _Rows) -> None:
    """Write down where the rows are."""
    if rows.index is None:
        trace.y, trace.integral, trace.t = rows.y, rows.integral, rows.t
        return
    trace.y, trace.t = _written(trace.y, rows.index, rows.y), _written(trace.t, rows.index, rows.t)
    if trace.integral is not None and rows.integral is not None:
        trace.integral = _written(trace.integral, rows.index, rows.integral)


def _written(all_rows: Tensor, index: Tensor, some: Tensor) -> Tensor:
    return all_rows.reshape(-1, some.shape[-1]).index_copy(0, index, some).reshape(all_rows.shape)


def _without_done(rows: _Rows) -> _Rows:
    """The rows that are still on their way, in one list."""
    lead, chosen = rows.t.shape[:-1], rows.active[..., 0]

    def pick(x: Tensor) -> Tensor:
        return x.expand(*lead, x.shape[-1])[chosen]

    places = chosen.flatten().nonzero()[:, 0]
    return _Rows(
        replace(rows.field, rows=tuple(pick(tensor) for tensor in rows.field.rows)),
        pick(rows.t),
        pick(rows.y),
        None if rows.integral is None else pick(rows.integral),
        (pick(rows.slope[0]), None if rows.slope[1] is None else pick(rows.slope[1])),
        pick(rows.step),
        pick(rows.active),
        places if rows.index is None else rows.index[places],
    )


def _where(condition: Tensor, yes: Tensor | None, no: Tensor | None) -> Tensor | None:
    return None if yes is None or no is None else torch.where(condition, yes, no)


def _joined(velocity: Tensor, integrand: Tensor | None) -> Tensor:
    return velocity if integrand is None else torch.cat((velocity, integrand), -1)


def _norm(x: Tensor) -> Tensor:
    """The root of the mean square of every row."""
    return x.square().mean(-1, keepdim=True).sqrt()

"""Gradients of a discrete solution: its steps are taken again, with plain operations or backward one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from counterflow.core.runge_kutta import Field, Tableau, combine, slopes
from counterflow.core.stepping import CROWDED, Trace

__all__ = ["Adjoint", "Way", "accepted_steps", "replay"]


@dataclass(frozen=True)
class Way:
    """The steps of a solution.

    Args:
        start: The time of the initial state.
        steps: The sizes of the steps, shape (steps, *lead, 1); 0 where a row needs fewer than others.
        tableau: The method that took them.
        states: The states before the steps, shape (steps, *lead, d), where they are known.
    """

    start: float
    steps: Tensor
    tableau: Tableau
    states: Tensor | None = None

    @property
    def times(self) -> Tensor:
        """The times before the steps, shape (steps, *lead, 1)."""
        return self.start + self.steps.cumsum(0) - self.steps


@torch.no_grad()
def accepted_steps(trace: Trace) -> tuple[Tensor, Tensor]:
    """Line up the steps that the rows accepted: their sizes, and the states before them.

    Returns:
        Shapes (steps, *lead, 1) and (steps, *lead, d); a row that needs fewer steps rests at its end with steps of 0.
    """
    lead, size = trace.y.shape[:-1], trace.y.shape[-1]
    columns = torch.arange(lead.numel(), device=trace.y.device)
    count = torch.zeros_like(columns)
    placed = []
    for index, good, y, step in trace.steps:
        mask = good.flatten()
        rows = (columns if index is None else index)[mask]
        placed.append((count[rows], rows, y.reshape(-1, size)[mask], step.reshape(-1, 1)[mask]))
        count[rows] += 1
    states = trace.y.reshape(1, -1, size).repeat(int(count.max()) if len(count) else 0, 1, 1)
    steps = torch.zeros_like(states[..., :1])
    for place, rows, y, step in placed:
        states[place, rows], steps[place, rows] = y, step
    return steps.reshape(-1, *lead, 1), states.reshape(-1, *lead, size)


def replay(field: Field, y: Tensor, way: Way, *, states: list[Tensor] | None = None) -> tuple[Tensor, Tensor | None]:
    """Take the steps from ``y``, with plain operations that every transform can go through.

    Args:
        field: The field.
        y: Initial states.
        way: The steps.
        states: A list that takes up the state before every step.

    Returns:
        The states at the end, and the integral if there is one.
    """
    integral = None if field.rate is None else torch.zeros_like(y[..., :1])
    for t, step in zip(way.times, way.steps, strict=True):
        if states is not None:
            states.append(y)
        velocities, integrands = zip(*slopes(field, t, y, step=step, tableau=way.tableau), strict=True)
        y = combine(y, step, way.tableau.weights, velocities)
        integral = None if integral is None else combine(integral, step, way.tableau.weights, integrands)
    return y, integral


class Adjoint(torch.autograd.Function):
    """The end of a solution, with gradients from its steps taken again one by one, last step first.

    What is differentiated is the discrete solution itself, so the gradients are those of backpropagation through the
    solver, up to rounding; the memory is that of one step. A second derivative backpropagates through all steps.

    Reference:
        Zhuang et al., "Adaptive Checkpoint Adjoint Method for Gradient Estimation in Neural ODE", 2020, algorithm 2.
    """

    @staticmethod
    def forward(ctx: Any, field: Field, way: Way, end: Tensor, integral: Tensor | None, *inputs: Tensor) -> Any:
        """Give the end that was found; ``inputs`` are the initial state, the field's rows and its weights."""
        ctx.field, ctx.way = field, way
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return end.clone(), None if integral is None else integral.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        """Give the gradients of the inputs that need one."""
        inputs, needs = ctx.saved_tensors, ctx.needs_input_grad[4:]
        gradients = iter((_through if torch.is_grad_enabled() else _sweep)(ctx, inputs, needs, cotangents))
        return None, None, None, None, *(next(gradients) if need else None for need in needs)


def _rebound(field: Field, tensors: tuple[Tensor, ...]) -> Field:
    """The field with other tensors in the places of its own."""
    count = len(field.rows)
    return replace(field, rows=tensors[:count], weights=tensors[count:])


def _through(
    ctx: Any, inputs: tuple[Tensor, ...], needs: tuple[bool, ...], cotangents: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    """Backpropagate through all steps, so that the gradients have gradients of their own."""
    y, *tensors = inputs
    ends = replay(_rebound(ctx.field, tuple(tensors)), y, ctx.way)
    pairs = [(end, ct) for end, ct in zip(ends, cotangents, strict=True) if end is not None and ct is not None]
    needed = [tensor for tensor, need in zip(inputs, needs, strict=True) if need]
    outputs, given = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, needed, given, create_graph=True, allow_unused=True)


def _sweep(
    ctx: Any, inputs: tuple[Tensor, ...], needs: tuple[bool, ...], cotangents: tuple[Tensor | None, ...]
) -> list[Tensor | None]:
    """Go back step by step; a row is there for the steps that it took."""
    way, count = ctx.way, 1 + len(ctx.field.rows)
    order, sizes = _order(way.steps)

    def arranged(x: Tensor) -> Tensor:
        return x if order is None else x.expand(*lead, x.shape[-1]).reshape(-1, x.shape[-1])[order]

    lead = inputs[0].shape[:-1]
    integral_bar = None if cotangents[1] is None else arranged(cotangents[1])
    bar = torch.zeros_like(inputs[0]) if cotangents[0] is None else cotangents[0].clone()
    bar, rows = arranged(bar), [arranged(x) for x in inputs[1:count]]
    weights = [x.detach().requires_grad_(need) for x, need in zip(inputs[count:], needs[count:], strict=True)]
    totals = [torch.zeros_like(x) for x, need in zip((*rows, *weights), needs[1:], strict=True) if need]
    for j in reversed(range(len(way.steps))):
        part = slice(0, sizes[j])
        here = [x[part].detach().requires_grad_(need) for x, need in zip(rows, needs[1:count], strict=True)]
        learned = [x for x in (*here, *weights) if x.requires_grad]
        at = [arranged(x[j])[part] for x in (way.times, way.steps, way.states)]
        field = replace(ctx.field, rows=tuple(here), weights=tuple(weights))
        bars = bar[part], None if integral_bar is None else integral_bar[part]
        gradients = [total[part] if i < sum(needs[1:count]) else total for i, total in enumerate(totals)]
        bar[part] = _step_back(field, at, bars, tableau=way.tableau, learned=learned, totals=gradients)
    if order is not None:
        back = order.argsort()
        bar = bar[back].reshape(inputs[0].shape)
        for i, x in enumerate(x for x, need in zip(inputs[1:count], needs[1:count], strict=True) if need):
            totals[i] = totals[i][back].reshape(*lead, -1).sum_to_size(_ahead(x, len(lead) + 1)).reshape(x.shape)
    return [*([bar] if needs[0] else []), *totals]


def _order(steps: Tensor) -> tuple[Tensor | None, list[int | None]]:
    """Rows with the most steps first, and how many take each step; ``None`` where nearly all rows take all steps."""
    taken = (steps != 0).reshape(len(steps), -1)
    if len(steps) == 0 or int(taken.sum()) > CROWDED * taken.numel():
        return None, [None] * len(steps)
    counts = taken.sum(0)
    return counts.argsort(descending=True), taken.sum(1).tolist()


def _ahead(x: Tensor, dimensions: int) -> tuple[int, ...]:
    """The shape of x with ones ahead."""
    return (1,) * (dimensions - x.dim()) + tuple(x.shape)


def _step_back(
    field: Field,
    at: Sequence[Tensor],
    bars: tuple[Tensor, Tensor | None],
    *,
    tableau: Tableau,
    learned: list[Tensor],
    totals: list[Tensor],
) -> Tensor:
    """The cotangent before a step from that after it; gradients of what is learned are added to ``totals``."""
    t, step, y = at
    bar, integral_bar = bars
    points, found = _stages(field, t, y, step=step, tableau=tableau)
    stage_bars: list[Tensor] = []
    for i in reversed(range(len(points))):
        later = [tableau.weights[i], *(row[i] for row in reversed(tableau.stages[i + 1 :]))]
        pairs = [(found[i][0], combine(None, step, later, (bar, *stage_bars)))]
        integrand = found[i][1]
        if integrand is not None and integral_bar is not None:
            pairs.append((integrand, step * integral_bar * tableau.weights[i]))
        own, *gradients = _pulled_back(pairs, [points[i], *learned])
        stage_bars.append(torch.zeros_like(y) if own is None else own)
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total += gradient
    return bar + torch.stack(stage_bars).sum(0)


def _pulled_back(pairs: list[tuple[Tensor, Tensor]], inputs: list[Tensor]) -> Sequence[Tensor | None]:
    """The gradients of outputs with given cotangents; none where an output depends on nothing."""
    pairs = [(output, given) for output, given in pairs if output.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    outputs, given = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, inputs, given, allow_unused=True)


def _stages(
    field: Field, t: Tensor, y: Tensor, *, step: Tensor, tableau: Tableau
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor | None]]]:
    """Evaluate the stages of a step, each from a point that is a leaf of its own graph."""
    points: list[Tensor] = []
    found: list[tuple[Tensor, Tensor | None]] = []
    for node, row, weight in zip(tableau.nodes, tableau.stages, tableau.weights, strict=True):
        point = combine(y, step, row, [velocity.detach() for velocity, _ in found]) if row else y
        points.append(point.detach().requires_grad_())
        with torch.enable_grad():
            found.append(field.slope(t.add(step, alpha=node), points[-1], integrand=weight != 0))
    return points, found

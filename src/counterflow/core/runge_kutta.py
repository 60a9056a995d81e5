"""Explicit Runge-Kutta steps in which every row has a time and a step size of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["DORMAND_PRINCE", "RK4", "Field", "Tableau", "combine", "slopes"]

Velocity = Callable[[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]], Tensor]
"""``velocity(t, y, rows, weights)``: the time derivative of the state."""

Rate = Callable[[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, Tensor]]
"""``rate(t, y, rows, weights)``: the velocity, and what is to be integrated along the way."""

Slopes = list[tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Field:
    r"""A vector field, and the tensors that it depends on.

    .. math:: \frac{dy}{dt} = v(t, y; r, w), \qquad \frac{dq}{dt} = g(t, y; r, w)

    Args:
        velocity: ``velocity(t, y, rows, weights)`` with times of shape (\*lead, 1) and states of shape (\*lead, d).
        rate: ``rate(t, y, rows, weights)`` gives the velocity and an integrand of shape (\*lead, 1), which does not
            feed back into the state; ``None`` when there is nothing to integrate.
        rows: Tensors that belong to the rows: the last dimension is theirs, all before it broadcast with those of y.
        weights: Tensors that all rows share.
    """

    velocity: Velocity
    rate: Rate | None = None
    rows: tuple[Tensor, ...] = ()
    weights: tuple[Tensor, ...] = ()

    def slope(self, t: Tensor, y: Tensor, *, integrand: bool) -> tuple[Tensor, Tensor | None]:
        """Evaluate the velocity, and the integrand where there is one and it is asked for."""
        if integrand and self.rate is not None:
            return self.rate(t, y, self.rows, self.weights)
        return self.velocity(t, y, self.rows, self.weights), None


@dataclass(frozen=True)
class Tableau:
    """The coefficients of a method.

    Args:
        nodes: Where in the step each stage lies.
        stages: For each stage, the weights of the slopes before it.
        weights: The weights of the slopes in the step.
        errors: The weights of the slopes, and of the slope at the end of the step, in the error estimate.
        order: The order of the step.
    """

    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...] = ()
    order: int = 4


RK4 = Tableau(
    nodes=(0.0, 1 / 2, 1 / 2, 1.0),
    stages=((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    weights=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
)
"""The classical method of order 4 (Kutta, 1901)."""

DORMAND_PRINCE = Tableau(
    nodes=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
    stages=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    ),
    weights=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    errors=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
    order=5,
)
"""Order 5 with an embedded estimate of order 4, whose last slope is the first of the next step (1980, table 2)."""


def combine(
    base: Tensor | None, step: Tensor, coefficients: Sequence[float], values: Sequence[Tensor | None]
) -> Tensor:
    r"""Add up slopes: :math:`y + h \sum_i a_i k_i`, without the terms whose coefficient is zero.

    Args:
        base: y; ``None`` for zero.
        step: h, which broadcasts.
        coefficients: The numbers a, at least one of them not zero.
        values: The slopes k, as many or more; ``None`` where the coefficient is zero.

    Returns:
        The sum.

    Example:
        >>> import torch
        >>> combine(torch.ones(1), torch.tensor(0.5), (1.0, 0.0), [torch.full((1,), 4.0), torch.zeros(1)])
        tensor([3.])
    """
    terms = [(a, k) for a, k in zip(coefficients, values, strict=False) if a and k is not None]
    (a, k), *rest = terms
    total = k * a
    for a, k in rest:
        total = total.add(k, alpha=a)
    return total * step if base is None else base.addcmul(total, step)


def slopes(
    field: Field,
    t: Tensor,
    y: Tensor,
    *,
    step: Tensor,
    tableau: Tableau,
    first: tuple[Tensor, Tensor | None] | None = None,
) -> Slopes:
    """Evaluate the stages of one step.

    Args:
        field: The field.
        t: The time of every row, shape ``(*lead, 1)``.
        y: The state of every row, shape ``(*lead, d)``.
        step: The step size of every row, shape ``(*lead, 1)``.
        tableau: The method.
        first: The slope at ``(t, y)``, where it is known.

    Returns:
        Velocity and integrand of every stage; no integrand where its weight is zero.
    """
    found: Slopes = [field.slope(t, y, integrand=True) if first is None else first]
    for node, row, weight in zip(tableau.nodes[1:], tableau.stages[1:], tableau.weights[1:], strict=True):
        stage = combine(y, step, row, [velocity for velocity, _ in found])
        found.append(field.slope(t.add(step, alpha=node), stage, integrand=weight != 0))
    return found

"""The solver against matrix exponentials, other closed forms, torchdiffeq and finite differences."""

import math

import pytest
import torch
import torchdiffeq
from torch import Tensor

from counterflow.core.errors import ArgumentError, SolverError
from counterflow.core.ode import AdaptiveSolver, FixedSolver, solve
from counterflow.core.runge_kutta import DORMAND_PRINCE, RK4, Field
from tests.laws.registry import draw

FINE = AdaptiveSolver(atol=1e-10, rtol=1e-10)
MATRIX = 0.7 * draw(3, 3, seed=5)
WEIGHTS = draw(4, 3, seed=6)


def net(t: Tensor, y: Tensor, rows: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> Tensor:
    return torch.cat((y, t), -1).matmul(weights[0]).tanh() * rows[0]


def net_and_rate(t: Tensor, y: Tensor, rows: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    return net(t, y, rows, weights), (y.square() * t).sum(-1, keepdim=True)


def field(scales: Tensor, weights: Tensor = WEIGHTS) -> Field:
    return Field(net, net_and_rate, (scales,), (weights,))


@pytest.mark.parametrize("tableau", [RK4, DORMAND_PRINCE])
def test_coefficients_fulfil_the_order_conditions(tableau):
    """Row sums are nodes, and quadrature is exact up to the order: sum of b c^k is 1 / (k + 1)."""
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-14)
    for k in range(tableau.order):
        moment = sum(b * c**k for b, c in zip(tableau.weights, tableau.nodes, strict=True))
        assert moment == pytest.approx(1 / (k + 1), abs=1e-14)
    assert sum(tableau.errors) == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (2.0, -1.0), (1.0, 1.0)])
def test_a_linear_equation_is_a_matrix_exponential(start, end):
    y = draw(5, 3)
    solution = solve(lambda t, y: y @ MATRIX.T, y, start=start, end=end, solver=FINE)
    expected = y @ torch.linalg.matrix_exp(MATRIX * (end - start)).T
    torch.testing.assert_close(solution.y, expected, rtol=1e-8, atol=1e-8)


def test_time_and_the_integral_are_those_of_closed_forms():
    """y' = cos t has y = y0 + sin t, and the integral of y along the way is y0 T + 1 - cos T."""
    y = draw(6, 1)
    both = Field(lambda t, y, r, w: t.cos() + 0 * y, lambda t, y, r, w: (t.cos() + 0 * y, y))
    solution = solve(both, y, end=3.0, solver=FINE)
    torch.testing.assert_close(solution.y, y + math.sin(3.0), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(solution.integral, 3 * y + 1 - math.cos(3.0), rtol=1e-8, atol=1e-8)


def test_a_fixed_number_of_steps_converges_with_order_four():
    y = draw(5, 3)
    exact = y @ torch.linalg.matrix_exp(MATRIX).T
    errors = [
        (solve(lambda t, y: y @ MATRIX.T, y, solver=FixedSolver(steps=n)).y - exact).abs().max() for n in (10, 20)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.2)


def test_tighter_tolerances_give_smaller_errors():
    y, scales = draw(8, 3), torch.full((8, 1), 4.0, dtype=torch.float64)
    exact = solve(field(scales), y, solver=AdaptiveSolver(atol=1e-13, rtol=1e-13)).y
    errors = [
        (solve(field(scales), y, solver=AdaptiveSolver(atol=e, rtol=e)).y - exact).abs().max().item()
        for e in (1e-3, 1e-5, 1e-7)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert all(error < 30 * e for error, e in zip(errors, (1e-3, 1e-5, 1e-7), strict=True))


def test_solutions_are_those_of_torchdiffeq():
    y, scales = draw(8, 3), draw(8, 1, seed=1)
    solution = solve(field(scales), y, solver=FINE)
    expected = torchdiffeq.odeint(
        lambda t, y: net(t.expand(8, 1), y, (scales,), (WEIGHTS,)),
        y,
        torch.tensor([0.0, 1.0], dtype=torch.float64),
        atol=1e-11,
        rtol=1e-11,
    )[-1]
    torch.testing.assert_close(solution.y, expected, rtol=1e-8, atol=1e-8)


def test_gradients_are_those_through_torchdiffeq():
    values = [draw(8, 3), draw(8, 1, seed=1), WEIGHTS.clone()]
    for value in values:
        value.requires_grad_()
    y, scales, weights = values

    def augmented(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return net_and_rate(t.expand(8, 1), state[0], (scales,), (weights,))

    ours = solve(field(scales, weights), y, solver=FINE)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    theirs = torchdiffeq.odeint(augmented, (y, torch.zeros_like(y[:, :1])), times, atol=1e-11, rtol=1e-11)
    found = torch.autograd.grad(ours.y.sin().sum() + ours.integral.square().sum(), values)
    expected = torch.autograd.grad(theirs[0][-1].sin().sum() + theirs[1][-1].square().sum(), values)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("spread", [1.0, 40.0])
@pytest.mark.parametrize("solver", [AdaptiveSolver, FixedSolver])
def test_the_adjoint_is_backpropagation(solver, spread):
    """Rows that move fast take many steps, so that most rows leave before the end; the scales are shared by four."""
    scales = torch.logspace(0, math.log10(spread), 8, dtype=torch.float64).unsqueeze(-1) * draw(8, 1, seed=1).sign()
    values = [draw(4, 8, 3).requires_grad_(), scales.requires_grad_(), WEIGHTS.clone().requires_grad_()]
    gradients = []
    for way in ("adjoint", "direct"):
        y, integral, _ = solve(field(*values[1:]), values[0], end=-2.0, solver=solver(gradients=way))
        gradients.append(torch.autograd.grad(y.sin().sum() + integral.square().sum(), values))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-11)


def test_tries_that_end_at_infinity_leave_no_trace_in_gradients():
    """At rest until time 1/2, so that a long step leads to sinh(-1000) and is undone."""
    late = Field(lambda t, y, rows, weights: -torch.sinh(10 * y) * (t > 0.5))
    y = torch.tensor([[0.1], [0.8]], requires_grad=True)
    gradients = []
    for way in ("direct", "adjoint"):
        solution = solve(late, y, solver=AdaptiveSolver(gradients=way))
        gradients.append(torch.autograd.grad(solution.y.sum(), y)[0])
    assert solution.report.rejected > 0
    assert torch.isfinite(gradients[0]).all()
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)


def test_second_derivatives_are_those_of_finite_differences():
    y = draw(2, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda y: solve(field(torch.ones(2, 1).double()), y, solver=FINE).y, y)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch itself uses it in forward mode
def test_transforms_see_through_the_solver():
    y, scales = draw(5, 3), draw(5, 1, seed=1)

    def one(y: Tensor, scales: Tensor) -> Tensor:
        return solve(field(scales), y, solver=FINE).y

    expected = solve(field(scales), y, solver=FINE).y
    torch.testing.assert_close(torch.func.vmap(one)(y, scales), expected, rtol=1e-9, atol=1e-9)
    reverse = torch.func.vmap(torch.func.jacrev(one))(y, scales)
    torch.testing.assert_close(torch.func.vmap(torch.func.jacfwd(one))(y, scales), reverse, rtol=1e-9, atol=1e-9)


def test_fields_with_weights_of_their_own_solve_under_vmap():
    y, scales = draw(5, 3), torch.ones(5, 1, dtype=torch.float64)
    ensemble = torch.stack([WEIGHTS, 5 * WEIGHTS])
    found = torch.func.vmap(lambda w: solve(field(scales, w), y, solver=FINE).y)(ensemble)
    expected = torch.stack([solve(field(scales, w), y, solver=FINE).y for w in ensemble])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_row_neither_waits_for_others_nor_depends_on_them():
    """One row is two thousand times as fast as the others: it alone takes many steps, and spoils nothing."""
    y = draw(10, 1)
    pace = torch.ones(10, 1, dtype=torch.float64)
    pace[3] = 2000.0
    relaxing = Field(lambda t, y, rows, w: -rows[0] * (y - t.cos()), None, (pace,))
    usual = AdaptiveSolver(atol=1e-6, rtol=1e-6)
    together = solve(relaxing, y, solver=usual)
    for i in range(10):
        alone = solve(Field(relaxing.velocity, None, (pace[i : i + 1],)), y[i : i + 1], solver=usual)
        torch.testing.assert_close(together.y[i : i + 1], alone.y, rtol=1e-12, atol=1e-12)
    easy = torch.arange(10) != 3
    calm = solve(Field(relaxing.velocity, None, (pace[easy],)), y[easy], solver=usual)
    hard = solve(Field(relaxing.velocity, None, (pace[~easy],)), y[~easy], solver=usual)
    assert hard.report.accepted > 300
    assert together.report.accepted == calm.report.accepted + hard.report.accepted


def test_the_report_counts_the_evaluations():
    calls = []

    def decay(t: Tensor, y: Tensor) -> Tensor:
        calls.append(len(y))
        return -y

    report = solve(decay, torch.ones(4, 2)).report
    assert report.evaluations == len(calls)
    assert report.accepted >= 4
    assert 0 < report.largest_error <= 1
    assert report.finished


@pytest.mark.parametrize("solver", [AdaptiveSolver(), FixedSolver()])
def test_no_rows_are_no_trouble(solver):
    assert solve(lambda t, y: -y, torch.ones(0, 2), solver=solver).y.shape == (0, 2)


def test_a_solution_that_explodes_is_an_error():
    """y' = y^2 from 2 has no solution beyond time 1/2; from 1/2 it is 1 / (2 - t)."""
    with pytest.raises(SolverError, match=r"got 1 of 2 rows that did not; the first is row \(1,\), at time 0.5"):
        solve(lambda t, y: y.square(), torch.tensor([[0.5], [2.0]]))
    torch.testing.assert_close(solve(lambda t, y: y.square(), torch.tensor([[0.5]])).y, torch.ones(1, 1))


def test_a_row_that_is_no_number_is_an_error_and_soon():
    calls = []

    def decay(t: Tensor, y: Tensor) -> Tensor:
        calls.append(1)
        return -y

    with pytest.raises(SolverError, match="1 of 3 rows"):
        solve(decay, torch.tensor([[1.0], [math.nan], [2.0]]))
    assert len(calls) < 300


def test_too_few_steps_are_an_error():
    with pytest.raises(SolverError, match="at most 2 tries"):
        solve(lambda t, y: 50 * (t * 50).cos() * y, torch.ones(3, 1), solver=AdaptiveSolver(max_steps=2))


@pytest.mark.parametrize("wrong", [{"atol": 0.0}, {"rtol": -1.0}, {"max_steps": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        AdaptiveSolver(**wrong)

"""The ground floor: seeds, checks, numerics, roots and outcomes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from counterflow.core import checks, numerics
from counterflow.core.errors import ArgumentError, CounterflowError, ShapeError
from counterflow.core.outcomes import FitOutcome, RowStatus
from counterflow.core.random import derive_seed, make_generator
from counterflow.core.rootfinding import bisect, solve_increasing

numbers = st.floats(-50, 50)


def test_generators():
    generator = torch.Generator()
    assert make_generator(generator) is generator
    assert make_generator(5).initial_seed() == 5
    assert make_generator(None).initial_seed() != make_generator(None).initial_seed()


@given(seed=st.integers(-(2**70), 2**70), name=st.text())
def test_derived_seeds_are_seeds(seed, name):
    derived = derive_seed(seed, name)
    assert 0 <= derived < 2**63
    assert make_generator(derived).initial_seed() == derived
    assert derived != derive_seed(seed + 1, name)
    assert derived != derive_seed(seed, name, "again")


def test_derived_seeds_never_change():
    assert derive_seed(0, "flow") == 5140633494705160105
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")


@given(x=numbers, bound=st.floats(0.1, 10))
def test_soft_bound(x, bound):
    found = numerics.soft_bound(torch.tensor(x, dtype=torch.float64), bound).item()
    assert found == pytest.approx(bound * math.tanh(x / bound), abs=1e-12)
    assert abs(found) <= bound


@given(x=st.lists(numbers, min_size=1, max_size=20))
def test_log_mean_exp_equals_scipy(x):
    tensor = torch.tensor(x, dtype=torch.float64)
    assert numerics.log_mean_exp(tensor).item() == pytest.approx(special.logsumexp(x) - math.log(len(x)), abs=1e-12)


@given(y=st.floats(1e-6, 100))
def test_inverse_softplus(y):
    x = torch.tensor(numerics.inverse_softplus(y), dtype=torch.float64)
    assert torch.nn.functional.softplus(x).item() == pytest.approx(y, rel=1e-9)


def test_safe_log_is_log_above_zero_and_finite_at_zero():
    x = torch.tensor([0.0, 1e-300, 2.0], dtype=torch.float64, requires_grad=True)
    y = numerics.safe_log(x)
    assert y.tolist()[1:] == pytest.approx([math.log(1e-300), math.log(2)])
    assert torch.isfinite(torch.autograd.grad(y.sum(), x)[0]).all()


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_bisection_equals_scipy(dtype, digits):
    target = torch.linspace(-20, 20, 9, dtype=dtype)
    found = bisect(lambda x: x**3 + x, target, torch.full_like(target, -10.0), torch.full_like(target, 10.0))
    expected = [optimize.brentq(lambda x, y=y: x**3 + x - y, -10, 10, xtol=1e-14) for y in target.tolist()]
    assert found.tolist() == pytest.approx(expected, abs=digits * 10)


def test_gradients_of_a_root_are_those_of_the_implicit_function():
    """x(y, a) solves a x^3 + x = y: checked against finite differences in y and a, twice over."""

    def root(y, a):
        return solve_increasing(lambda x: (a * x**3 + x, 3 * a * x**2 + 1), y, y.detach() * 0 - 10, y.detach() * 0 + 10)

    y = torch.tensor([0.5, -3.0, 7.0], dtype=torch.float64, requires_grad=True)
    a = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(root, (y, a))
    assert torch.autograd.gradgradcheck(root, (y, a))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: checks.check_event(torch.zeros(3), (2,)), ShapeError, r"x must have shape \(\*batch, 2\), got \(3,\)"),
        (lambda: checks.check_event(torch.zeros(2), (1, 2)), ShapeError, r"must have shape \(\*batch, 1, 2\)"),
        (lambda: checks.check_context(torch.zeros(5, 2), 3), ShapeError, r"\(\*batch, 3\), got \(5, 2\). If the flow"),
        (lambda: checks.check_context(torch.tensor(1.0), 3), ShapeError, r"got \(\)"),
        (lambda: checks.check_context(None, 3), ArgumentError, "pass context="),
        (lambda: checks.check_context(torch.zeros(5, 2), 0), ArgumentError, "context_features=2"),
        (lambda: checks.check_dtype(torch.zeros(1), torch.float64), ArgumentError, r"flow.to\(torch.float32\)"),
        (lambda: checks.check_finite(torch.tensor([0.0, math.nan])), ArgumentError, r"got nan at \(1,\) and 1 such"),
        (lambda: checks.check_positive(math.nan, "scale"), ArgumentError, "scale must be above zero, got nan"),
        (lambda: checks.check_count(True, "layers"), ArgumentError, "layers must be a whole number"),
    ],
)
def test_sentences_of_checks(call, error, message):
    with pytest.raises(error, match=message) as raised:
        call()
    assert isinstance(raised.value, CounterflowError)
    assert isinstance(raised.value, ValueError)


def test_checks_let_good_values_through():
    checks.check_event(torch.zeros(4, 5, 2), (2,))
    checks.check_context(torch.zeros(4, 3), 3)
    checks.check_context(None, 0)
    checks.check_dtype(torch.zeros(1), torch.float32)
    checks.check_finite(torch.zeros(3))
    checks.check_positive(0.1, "scale")
    checks.check_count(1, "layers")


@pytest.mark.parametrize("outcomes", [FitOutcome, RowStatus])
def test_outcomes_are_codes_with_sentences(outcomes):
    for outcome in outcomes:
        assert outcome.value == outcome.name.lower() == str(outcome)
        assert outcomes(outcome.value) is outcome
        assert outcome.sentence[0].isupper()
        assert outcome.sentence.endswith(".")
    assert len({outcome.sentence for outcome in outcomes}) == len(outcomes)


@pytest.mark.parametrize("floor", [-0.999, -3.0])
def test_soft_floor_is_its_formula_and_keeps_zero(floor):
    x = torch.tensor([-800.0, -2.0, -1e-9, 0.0, 1e-9, 2.0, 600.0], dtype=torch.float64, requires_grad=True)
    y = numerics.soft_floor(x, floor)
    formula = [math.log(math.exp(floor) - math.expm1(floor) * math.exp(value)) for value in x.tolist()]
    torch.testing.assert_close(y, torch.tensor(formula, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert y[3] == 0
    assert numerics.soft_floor(torch.tensor(1e6), floor).isfinite()
    slope = torch.autograd.grad(y.sum(), x)[0]
    torch.testing.assert_close(slope[3].item(), -math.expm1(floor))
    assert ((slope >= 0) & (slope <= 1)).all()

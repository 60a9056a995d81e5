"""Nets, integrals and polynomials that increase: against numpy, scipy and zuko, and at the ends of their intervals."""

import math

import numpy as np
import pytest
import torch
import zuko
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, interpolate

from counterflow.bijections import Bernstein, MonotoneIntegral, MonotoneNet, SumOfSquares
from counterflow.core.errors import ArgumentError

BOUND = 3.0
FAMILIES = {
    "bernstein": Bernstein(degree=6, bound=BOUND),
    "integral": MonotoneIntegral(units=4, bound=BOUND),
    "net": MonotoneNet(units=4, bound=BOUND),
    "squares": SumOfSquares(degree=3, bound=BOUND),
}
every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def parameters(family, rows: int = 40, d: int = 2, *, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, family.size, d, dtype=torch.float64, generator=generator)


def spread(rows: int = 40, d: int = 2, *, reach: float = 2 * BOUND) -> torch.Tensor:
    return torch.linspace(-reach, reach, rows * d, dtype=torch.float64).reshape(rows, d)


def soft(raw: np.ndarray, bound: float) -> np.ndarray:
    return bound * np.tanh(raw / bound)


def bernstein_by_scipy(x: float, raw: np.ndarray) -> float:
    """scipy's polynomial in Bernstein form, continued by its tangent."""
    steps = np.exp(soft(raw[1:], math.log(1e3))) * 2 * BOUND / (len(raw) - 1)
    coefficients = raw[0] - steps.sum() / 2 + np.concatenate([[0.0], np.cumsum(steps)])
    curve = interpolate.BPoly(coefficients[:, None], [-BOUND, BOUND])
    inside = min(max(x, -BOUND), BOUND)
    return float(curve(inside) + curve.derivative()(inside) * (x - inside))


def squares_by_numpy(x: float, raw: np.ndarray) -> float:
    """numpy's polynomials, multiplied, added and integrated as polynomials, continued by the tangent."""
    degree = len(raw) // 2 - 1
    a, b = soft(raw[1 : degree + 2], 3.0), soft(raw[degree + 2 :], 3.0)
    a[-1], b[-1] = a[-1] + 1, b[-1] + 1
    u = np.polynomial.Polynomial([0.0, 1.0])
    second_kind = [np.polynomial.Polynomial([1.0]), 2 * u]  # U_0, U_1, ...
    while len(second_kind) < len(b):
        second_kind.append(2 * u * second_kind[-1] - second_kind[-2])
    p = np.polynomial.Chebyshev(a).convert(kind=np.polynomial.Polynomial)
    q = sum(coefficient * term for coefficient, term in zip(b, second_kind, strict=False))
    slope = 1e-3 + (1 - 1e-3) * (p**2 + (1 - u**2) * q**2)
    inside = min(max(x, -BOUND), BOUND)
    return float(raw[0] + BOUND * slope.integ()(inside / BOUND) + slope(inside / BOUND) * (x - inside))


def integral_by_scipy(x: float, raw: np.ndarray) -> float:
    """scipy's adaptive quadrature of the exponential of the net, continued by the tangent."""
    units = (len(raw) - 2) // 3
    bias, weights = soft(raw[1], 1.5), soft(raw[2 : 2 + units], 1.5)
    centers = BOUND * (2 * np.arange(units) + 1 - units) / units + raw[2 + units : 2 + 2 * units]
    rates = np.exp(-soft(raw[2 + 2 * units :], math.log(2))) * units / (2 * BOUND)
    inside = min(max(x, -BOUND), BOUND)

    def slope(u: float) -> float:
        return math.exp(bias + weights @ np.tanh((u - centers) * rates))

    return raw[0] + integrate.quad(slope, 0, inside, epsabs=1e-13, epsrel=1e-13)[0] + slope(inside) * (x - inside)


def net_by_loops(x: float, raw: np.ndarray) -> float:
    """The net as it is usually written: a sum of softplus units, with the increments of the slopes as weights."""
    units = (len(raw) - 3) // 2
    start = 2 * BOUND / (units - 1)
    gaps = start * np.exp(soft(raw[3 : 2 + units], math.log(10)))
    width = 0.3 * start * math.exp(soft(raw[2], math.log(10)))
    knots = raw[1] + np.concatenate([[0.0], np.cumsum(gaps)]) - gaps.sum() / 2
    slopes = np.exp(soft(raw[2 + units :], math.log(1e2)))
    value = raw[0] + slopes[0] * x
    for knot, step in zip(knots, np.diff(slopes), strict=True):
        value += step * width * np.logaddexp(0.0, (x - knot) / width)
    return value


WITNESSES = {
    "bernstein": (bernstein_by_scipy, 1e-12),
    "integral": (integral_by_scipy, 1e-7),
    "net": (net_by_loops, 1e-11),
    "squares": (squares_by_numpy, 1e-11),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_its_witness(name):
    witness, digits = WITNESSES[name]
    raw, x = parameters(FAMILIES[name], d=1), spread(d=1)
    z = FAMILIES[name].latent_and_log_slope(x, raw)[0]
    expected = [witness(x[i, 0].item(), raw[i, :, 0].numpy()) for i in range(len(x))]
    np.testing.assert_allclose(z[:, 0].numpy(), expected, rtol=digits, atol=digits)


def test_bernstein_equals_zuko_inside_the_interval():
    """zuko's transform gets our coefficients."""
    raw, x = parameters(FAMILIES["bernstein"], 1, 1)[0, :, 0], spread(reach=0.99 * BOUND).flatten()
    steps = torch.exp(math.log(1e3) * torch.tanh(raw[1:] / math.log(1e3))) * 2 * BOUND / 6
    twin = zuko.transforms.BernsteinTransform(torch.zeros(5, dtype=torch.float64), bound=BOUND)  # it adds two
    twin.theta = raw[0] - steps.sum() / 2 + torch.cat((torch.zeros(1).double(), steps.cumsum(0)))
    z = FAMILIES["bernstein"].latent_and_log_slope(x.unsqueeze(-1), raw.reshape(1, -1, 1).expand(80, -1, 1))[0]
    torch.testing.assert_close(z.flatten(), twin.f(x), rtol=1e-10, atol=1e-10)


def test_the_quadrature_equals_that_of_zuko():
    """zuko integrates the same positive function by its own rule of as many nodes."""
    family = FAMILIES["integral"]
    raw, x = parameters(family), spread(reach=0.9 * BOUND)
    twin = zuko.transforms.UnconstrainedMonotonicTransform(lambda u: family.log_integrand(u, raw[:, 1:]).exp(), n=32)
    z, log_slope = family.latent_and_log_slope(x, raw)
    expected, expected_log_slope = twin.call_and_ladj(x)
    torch.testing.assert_close(z - raw[:, 0], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_slope, expected_log_slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
@every
def test_the_slope_is_that_of_the_value(family, scale):
    """Whatever the parameters are: the bounds of the integral's net keep its quadrature good."""
    x = spread().requires_grad_()
    z, log_slope = family.latent_and_log_slope(x, parameters(family, scale=scale))
    (slope,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(slope.log(), log_slope, rtol=3e-6, atol=3e-6)


@every
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), scale=st.floats(0, 3), reach=st.floats(0.1, 1e4))
def test_round_trip(family, seed, scale, reach):
    raw, x = parameters(family, 5, scale=scale, seed=seed), spread(5, reach=reach)
    z, log_slope = family.latent_and_log_slope(x, raw)
    back, log_slope_back = family.data_and_log_slope(z, raw)
    torch.testing.assert_close(back, x, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(log_slope_back, -log_slope, rtol=1e-6, atol=1e-6)


@every
def test_every_latent_is_reached(family):
    """Onto the real line: a thousand deviations away there is still one point that is mapped there, and no inf."""
    raw = parameters(family, 2, 1).float()
    z = torch.tensor([[-1e3], [1e3]])
    x, log_slope = family.data_and_log_slope(z, raw)
    assert torch.isfinite(x).all()
    assert torch.isfinite(log_slope).all()
    torch.testing.assert_close(family.latent_and_log_slope(x, raw)[0], z, rtol=1e-5, atol=0.0)


@every
def test_gradients_of_both_directions(family):
    raw = parameters(family, 2, 1, scale=0.5).requires_grad_()
    points = torch.tensor([[-4.0], [0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(family.latent_and_log_slope, (points, raw))
    assert torch.autograd.gradcheck(family.data_and_log_slope, (points, raw))


@every
def test_all_parameters_matter_from_the_start(family):
    """At zero, where learning begins, no parameter but those of hidden units is idle and no two are alike."""
    raw = torch.zeros(1, family.size, 1, dtype=torch.float64)

    def values(p):
        return family.latent_and_log_slope(spread(20, 1), p.expand(20, -1, -1))[0]

    tangents = torch.func.jacrev(values)(raw).reshape(20, family.size)
    free = {"Bernstein": 7, "MonotoneIntegral": 6, "MonotoneNet": 6, "SumOfSquares": 8}[type(family).__name__]
    assert torch.linalg.matrix_rank(tangents, rtol=1e-8) == free


def test_squares_reach_any_positive_polynomial():
    """Least squares on the parameters reach a given positive slope: 2 + u^3 - u, whose integral is known."""
    family, x = SumOfSquares(degree=3, bound=1.0), spread(40, 1, reach=1.0)
    raw = torch.zeros(1, family.size, 1, dtype=torch.float64, requires_grad=True)
    exact = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    optimizer = torch.optim.LBFGS([raw], max_iter=500, line_search_fn="strong_wolfe", **exact)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        z = family.latent_and_log_slope(x, raw.expand(40, -1, -1))[0]
        value = (z - (2 * x + x**4 / 4 - x**2 / 2)).square().mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert loss().item() < 1e-10


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Bernstein(degree=0), "degree must be a whole number"),
        (lambda: SumOfSquares(degree=0), "degree must be a whole number"),
        (lambda: MonotoneIntegral(units=0), "units must be a whole number"),
        (lambda: MonotoneIntegral(nodes=0), "nodes must be a whole number"),
        (lambda: MonotoneNet(units=1), "units must be a whole number of at least 2"),
        (lambda: MonotoneNet(bound=0.0), "bound must be above zero"),
        (lambda: Bernstein(bound=-1.0), "bound must be above zero"),
        (lambda: SumOfSquares(bound=math.nan), "bound must be above zero"),
    ],
)
def test_settings_that_make_no_curve(build, message):
    with pytest.raises(ArgumentError, match=message):
        build()

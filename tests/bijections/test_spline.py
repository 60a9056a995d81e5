"""Splines against brute force, and one test for each fault that users of other libraries have met."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterflow.bijections import Coupling, Spline
from counterflow.bijections.spline import MAX_LOG_SLOPE, MIN_BIN, spline_to_data, spline_to_latent
from counterflow.core.errors import ArgumentError

BOUND = 3.0


def parameters(*batch: int, bins: int = 5, d: int = 2, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*batch, 3 * bins - 1, d, dtype=torch.float64, generator=generator)


def brute_force(x: float, raw: np.ndarray, bound: float) -> tuple[float, float]:
    """The spline of one number by the formulas of the paper, in numpy, with loops."""
    bins = (len(raw) + 1) // 3
    widths, heights, slopes = raw[:bins], raw[bins : 2 * bins], raw[2 * bins :]

    def knots(logits):
        shares = np.exp(logits - logits.max())
        shares = MIN_BIN + (1 - bins * MIN_BIN) * shares / shares.sum()
        return -bound + 2 * bound * np.concatenate([[0.0], np.cumsum(shares)])

    xs, ys = knots(widths), knots(heights)
    ds = np.concatenate([[1.0], np.exp(MAX_LOG_SLOPE * np.tanh(slopes / MAX_LOG_SLOPE)), [1.0]])
    if not -bound <= x <= bound:
        return x, 0.0
    k = min(max(i for i in range(bins + 1) if xs[i] <= x), bins - 1)
    w, h = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
    s, xi = h / w, (x - xs[k]) / w
    below = s + (ds[k + 1] + ds[k] - 2 * s) * xi * (1 - xi)
    value = ys[k] + h * (s * xi**2 + ds[k] * xi * (1 - xi)) / below
    slope = s**2 * (ds[k + 1] * xi**2 + 2 * s * xi * (1 - xi) + ds[k] * (1 - xi) ** 2) / below**2
    return value, np.log(slope)


@pytest.mark.parametrize("bins", [2, 3, 8])
def test_equals_brute_force(bins):
    raw = parameters(bins=bins, d=1)
    for x in np.linspace(-BOUND - 1, BOUND + 1, 41) + 1e-3:
        value, log_slope = spline_to_latent(torch.tensor([x]), raw, bound=BOUND)
        expected = brute_force(x, raw[:, 0].numpy(), BOUND)
        assert (value.item(), log_slope.item()) == pytest.approx(expected, abs=1e-10)


@given(seed=st.integers(0, 1000), bins=st.integers(2, 12), scale=st.floats(0, 2), batch=st.integers(1, 40))
def test_round_trip_and_opposite_slopes(seed, bins, scale, batch):
    raw = parameters(batch, bins=bins, scale=scale, seed=seed)
    x = 3 * torch.randn(batch, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    z, log_slope = spline_to_latent(x, raw, bound=BOUND)
    back, log_slope_back = spline_to_data(z, raw, bound=BOUND)
    torch.testing.assert_close(back, x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_slope_back, -log_slope, rtol=1e-5, atol=1e-5)


def test_increases_from_end_to_end():
    x = torch.linspace(-BOUND - 1, BOUND + 1, 2001, dtype=torch.float64).unsqueeze(-1)
    raw = parameters(d=1, scale=3.0).expand(2001, -1, -1)
    assert (spline_to_latent(x, raw, bound=BOUND)[0].diff(dim=0) > 0).all()


@pytest.mark.parametrize("function", [spline_to_latent, spline_to_data])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_parameters_are_the_identity(function, dtype):
    x = torch.linspace(-BOUND - 1, BOUND + 1, 99, dtype=dtype).unsqueeze(-1)
    value, log_slope = function(x, torch.zeros(99, 14, 1, dtype=dtype), bound=BOUND)
    torch.testing.assert_close(value, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_end_knots_are_pinned_with_slope_one(scale, dtype):
    x = torch.tensor([[-BOUND, BOUND]], dtype=dtype)
    raw = parameters(1, scale=scale).to(dtype)
    for function in (spline_to_latent, spline_to_data):
        value, log_slope = function(x, raw, bound=BOUND)
        torch.testing.assert_close(value, x, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=1e-3, atol=1e-3)


def test_value_and_slope_are_continuous_at_every_knot():
    raw = parameters(d=1)
    shares = MIN_BIN + (1 - 5 * MIN_BIN) * raw[:5, 0].softmax(0)
    knots = -BOUND + 2 * BOUND * torch.cat((torch.zeros(1), shares.cumsum(0)))
    for knot in knots:
        left, right = (spline_to_latent(knot.reshape(1) + step, raw, bound=BOUND) for step in (-1e-9, 1e-9))
        torch.testing.assert_close(left[0], right[0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(left[1], right[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_never_fails_on_random_and_extreme_parameters(scale, dtype):
    """nflows#87: ``assert (discriminant >= 0).all()`` stopped sampling now and then."""
    raw = parameters(5000, scale=scale).to(dtype)
    z = torch.linspace(-BOUND - 1, BOUND + 1, 10000, dtype=dtype).reshape(5000, 2)
    x, log_slope = spline_to_data(z, raw, bound=BOUND)
    assert torch.isfinite(x).all()
    assert torch.isfinite(log_slope).all()
    assert (x[z.abs() <= BOUND].abs() <= BOUND * (1 + 1e-6)).all()


@pytest.mark.parametrize("function", [spline_to_latent, spline_to_data])
@pytest.mark.parametrize("at", [0.0, BOUND, -BOUND, BOUND + 1e-6, 1e3, -1e8, 1e30])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_gradients_are_finite_outside_the_interval_and_on_knots(function, at, scale):
    """flowjax#239, bayesflow#721: the branch that is not selected poisoned the gradient with NaN."""
    x = torch.full((4, 2), at, requires_grad=True)
    raw = parameters(4, scale=scale).float().requires_grad_()
    value, log_slope = function(x, raw, bound=BOUND)
    for gradient in torch.autograd.grad(value.sum() + log_slope.sum(), [x, raw]):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("function", [spline_to_latent, spline_to_data])
def test_tails_are_the_identity_with_slope_one(function):
    """nflows#23: a batch with every point in the tails crashed."""
    x = torch.tensor([[-50.0, 50.0], [BOUND + 1e-3, -1e9]], dtype=torch.float64, requires_grad=True)
    value, log_slope = function(x, parameters(2), bound=BOUND)
    assert torch.equal(value, x)
    assert torch.equal(log_slope, torch.zeros_like(x))
    assert torch.equal(torch.autograd.grad(value.sum(), x)[0], torch.ones_like(x))


def test_an_empty_batch_is_no_special_case():
    value, log_slope = spline_to_latent(torch.zeros(0, 2), torch.zeros(0, 14, 2), bound=BOUND)
    assert value.shape == log_slope.shape == (0, 2)


def test_nan_goes_in_and_out_without_an_error():
    value, _ = spline_to_latent(torch.tensor([float("nan"), 0.5]), torch.zeros(14, 2), bound=BOUND)
    assert value.isnan().tolist() == [True, False]


def test_gradients_agree_with_finite_differences():
    x = (2 * torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    raw = parameters(6).requires_grad_()
    for function in (spline_to_latent, spline_to_data):
        assert torch.autograd.gradcheck(lambda a, p, f=function: f(a, p, bound=BOUND), (x, raw))


def test_second_derivatives_are_finite():
    x = torch.tensor([0.3, 99.0], dtype=torch.float64)
    function = torch.func.jacrev(lambda a: spline_to_latent(a, parameters(), bound=BOUND)[1].sum())
    hessian = torch.func.jacrev(function)(x)
    assert torch.isfinite(hessian).all()


def test_float32_round_trip_keeps_the_digits_it_can():
    raw = parameters(2000).float()
    x = 6 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) - 3
    back, _ = spline_to_data(spline_to_latent(x, raw, bound=BOUND)[0], raw, bound=BOUND)
    assert (back - x).abs().quantile(0.99) < 5e-5


def test_mixed_precision_does_not_reach_the_spline():
    layer = Coupling(4, Spline(), hidden=(8,))
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_det = layer.to_latent(x)
    assert z.dtype == log_det.dtype == torch.float32


@pytest.mark.parametrize("settings", [{"bins": 1}, {"bins": 500}, {"bound": 0.0}, {"bound": -1.0}])
def test_settings_that_make_no_spline_are_refused(settings):
    with pytest.raises(ArgumentError, match="must be"):
        Spline(**settings)


@pytest.mark.parametrize("function", [spline_to_latent, spline_to_data])
def test_parameters_shared_by_all_points_are_those_of_each(function):
    """Expanded parameters are read once; copies of them, one for each point, are the witness."""
    shared = torch.randn(23, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    x = 3 * torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expanded = shared.expand(3, 50, 23, 2)
    found = [function(x, each, bound=5.0) for each in (expanded, expanded.clone())]
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad((z * log_slope).sum(), shared)[0] for z, log_slope in found]
    torch.testing.assert_close(*gradients)

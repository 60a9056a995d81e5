"""Logarithms of normal probabilities, and the quantiles of such logarithms, against scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import special

from counterflow.core.normal_tails import log_normal_cdf, normal_quantile_of_log

X = torch.tensor([-1e6, -1e3, -38.0, -10.0, -3.0, -1.0, -0.999, 0.0, 0.5, 2.0, 6.0, 9.0, 40.0], dtype=torch.float64)


def test_log_cdf_equals_scipy():
    np.testing.assert_allclose(log_normal_cdf(X).numpy(), special.log_ndtr(X.numpy()), rtol=1e-14)


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 3e-6), (torch.float64, 1e-11)])
def test_quantile_equals_scipy(dtype, digits):
    log_p = -torch.logspace(math.log10(math.log(2)), 12, 500, dtype=torch.float64)
    found = normal_quantile_of_log(log_p.to(dtype)).double()
    np.testing.assert_allclose(found[1:].numpy(), special.ndtri_exp(log_p[1:].numpy()), rtol=digits, atol=digits)
    assert abs(found[0].item()) < digits


def test_gradients_are_those_of_finite_differences():
    x = torch.tensor([-30.0, -5.0, -1.1, -0.9, 0.3, 4.0], dtype=torch.float64, requires_grad=True)
    log_p = torch.tensor([-500.0, -21.0, -19.0, -1.0, -0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_normal_cdf, (x,))
    assert torch.autograd.gradgradcheck(log_normal_cdf, (x,))
    assert torch.autograd.gradcheck(normal_quantile_of_log, (log_p,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_far_out(dtype):
    x = torch.tensor([-1e6, 0.0, 1e6], dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(log_normal_cdf(x).sum(), x)
    assert torch.isfinite(gradient).all()
    log_p = torch.tensor([-1e12, -1.0], dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(normal_quantile_of_log(log_p).sum(), log_p)
    assert torch.isfinite(gradient).all()

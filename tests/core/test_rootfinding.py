"""The safeguarded Newton search against plain halving, on functions on which plain Newton steps go astray."""

import pytest
import torch

from counterflow.core.rootfinding import bisect, bracketed_newton, solve_increasing


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def jump(x):
    rise = torch.sigmoid(1000 * (x - 0.3))
    return rise + 1e-3 * x, 1000 * rise * torch.sigmoid(-1000 * (x - 0.3)) + 1e-3


def stairs(x):
    steps = torch.sigmoid(100 * (x.unsqueeze(-1) - torch.arange(-4, 5, dtype=x.dtype)))
    return steps.sum(-1) + 1e-3 * x, 100 * (steps * (1 - steps)).sum(-1) + 1e-3


def root(x):
    size = x.abs().clamp(min=1e-30).sqrt()
    return x.sign() * size, 0.5 / size


# function, bracket, least and largest target
HARD = {
    "cubic": (lambda x: (x**3 + x, 3 * x**2 + 1), (-10, 10), (-900, 900)),
    "flat at the root": (lambda x: (x**3, 3 * x**2), (-10, 10), (-1, 1)),
    "exponential": (lambda x: (x.exp(), x.exp()), (-20, 40), (1e-5, 1e15)),
    "one jump": (jump, (-5, 5), (0.001, 1.0)),
    "stairs": (stairs, (-5, 5), (0.03, 8.9)),
    "steep at the root": (root, (-5, 5), (-2, 2)),
    "saturating": (lambda x: (x.atan(), 1 / (1 + x * x)), (-1e3, 1e3), (-1.5, 1.5)),
    "far": (lambda x: (x + (3 * x).tanh(), 1 + 3 / (3 * x).cosh() ** 2), (-5, 100), (-1, 90)),
}


def ends(target: torch.Tensor, bracket: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full_like(target, bracket[0]), torch.full_like(target, bracket[1])


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", HARD)
def test_equals_halving_on_hard_functions(name, dtype, digits):
    function, bracket, (least, largest) = HARD[name]
    target = torch.linspace(least, largest, 200, dtype=dtype)
    found = bracketed_newton(function, target, *ends(target, bracket))
    expected = bisect(lambda x: function(x)[0], target.double(), *ends(target.double(), bracket))
    torch.testing.assert_close(found.double(), expected, rtol=digits, atol=digits)


@pytest.mark.parametrize("name", ["cubic", "far"])
def test_eight_evaluations_are_enough_where_the_function_is_smooth(name, monkeypatch):
    """The ninth evaluation finds an error at the level of rounding."""
    function, bracket, (least, largest) = HARD[name]
    target, errors = torch.linspace(least, largest, 200, dtype=torch.float64), []

    def watched(x):
        value, slope = function(x)
        errors.append(((value - target) / slope).abs().max().item())
        return value, slope

    bracketed_newton(watched, target, *ends(target, bracket))
    assert len(errors) == 24
    assert errors[9] < 1e-8
    assert min(errors) < 1e-13


def test_a_row_does_not_depend_on_its_company():
    target = torch.linspace(0.03, 8.9, 50, dtype=torch.float64)
    together = bracketed_newton(stairs, target, *ends(target, (-5, 5)))
    alone = [bracketed_newton(stairs, t, *ends(t, (-5, 5))) for t in target]
    assert torch.equal(together, torch.stack(alone))


def test_a_bracket_of_one_point_is_the_root():
    x = solve_increasing(lambda x: (2 * x, torch.full_like(x, 2.0)), tensor(3.0), tensor(1.5), tensor(1.5))
    assert x.item() == 1.5


def test_ends_broadcast_with_the_target():
    x = solve_increasing(lambda x: (x**3 + x, 3 * x**2 + 1), tensor([[2.0], [10.0]]), tensor(-9.0), tensor([9.0, 5.0]))
    torch.testing.assert_close(x, tensor([[1.0, 1.0], [2.0, 2.0]]), rtol=1e-12, atol=1e-12)

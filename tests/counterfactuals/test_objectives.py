"""Every term of the objective against loops in numpy, closed forms and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterflow.counterfactuals.objectives import (
    Terms,
    density_gap,
    lp_distance,
    probability_gap,
    range_gap,
    score_gap,
)

NORMS = (0.5, 1.0, 2.0, 3.0)
ROWS, COLUMNS, CLASSES = 5, 4, 3
moderate = st.sampled_from([-3.0, -1.25, -0.5, 0.0, 0.1, 0.75, 2.0, 4.0])
changes = arrays(np.float64, (ROWS, COLUMNS), elements=moderate)
costs = arrays(np.float64, COLUMNS, elements=st.sampled_from([0.25, 1.0, 2.5]))
scores = arrays(np.float64, (ROWS, CLASSES), elements=moderate)
targets = arrays(np.int64, ROWS, elements=st.integers(0, CLASSES - 1))


def tensor(values):
    return torch.from_numpy(np.asarray(values, dtype=np.float64))


@pytest.mark.parametrize("norm", NORMS)
@given(changes, costs)
def test_distance_against_a_loop(norm, delta, cost):
    expected = [sum(abs(c * d) ** norm for c, d in zip(cost, row, strict=True)) ** (1 / norm) for row in delta]
    torch.testing.assert_close(lp_distance(tensor(delta), tensor(cost), norm=norm), tensor(expected))


@pytest.mark.parametrize(("norm", "length"), [(1.0, 7.0), (2.0, 5.0), (0.5, (3**0.5 + 4**0.5) ** 2)])
def test_distance_of_three_and_four(norm, length):
    found = lp_distance(tensor([[3.0, -4.0]]), tensor([1.0, 1.0]), norm=norm)
    assert found.item() == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_distance_has_a_zero_gradient_where_nothing_changes(norm):
    delta = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    length = lp_distance(delta, tensor([1.0, 2.0, 3.0]), norm=norm)
    (gradient,) = torch.autograd.grad(length.sum(), delta)
    assert length.tolist() == [0.0, 0.0]
    assert gradient.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("norm", NORMS)
def test_distance_has_a_zero_gradient_in_the_columns_that_do_not_change(norm):
    delta = tensor([[0.0, 2.0, 0.0]]).requires_grad_()
    (gradient,) = torch.autograd.grad(lp_distance(delta, tensor([1.0, 3.0, 1.0]), norm=norm).sum(), delta)
    torch.testing.assert_close(gradient, tensor([[0.0, 3.0, 0.0]]))


@pytest.mark.parametrize("norm", NORMS)
def test_distance_has_the_gradient_of_finite_differences(norm):
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(6, 4, generator=generator, dtype=torch.float64).requires_grad_()
    cost = tensor([0.5, 1.0, 2.0, 3.0])
    assert torch.autograd.gradcheck(lambda d: lp_distance(d, cost, norm=norm), (delta,))


@pytest.mark.parametrize("norm", NORMS)
def test_a_free_column_adds_nothing(norm):
    found = lp_distance(tensor([[5.0, 2.0]]), tensor([0.0, 1.0]), norm=norm)
    assert found.item() == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("function", [score_gap, probability_gap])
@given(scores, targets, st.sampled_from([0.0, 0.02, 0.5]))
def test_class_gaps_against_a_loop(function, values, target, margin):
    expected = [
        max(row[k] for k in range(CLASSES) if k != t) + margin - row[t] for row, t in zip(values, target, strict=True)
    ]
    found = function(tensor(values), torch.from_numpy(target), margin=margin)
    torch.testing.assert_close(found, tensor(expected))


@given(scores, targets)
def test_no_gap_without_margin_is_the_arg_max(values, target):
    gap = score_gap(tensor(values), torch.from_numpy(target), margin=0.0)
    best = values.max(axis=1) == values[np.arange(ROWS), target]
    assert ((gap <= 0).numpy() == best).all()


@pytest.mark.parametrize("function", [score_gap, probability_gap])
def test_class_gaps_have_the_gradient_of_finite_differences(function):
    values = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    assert torch.autograd.gradcheck(lambda v: function(v, target, margin=0.1), (values,))


@given(arrays(np.float64, 9, elements=st.floats(-12, 12)), st.sampled_from([0.0, 0.02, 0.05, 0.2]))
def test_both_scales_vanish_at_the_same_rows_for_two_classes(log_odds, margin):
    """p_t - p_other >= 2m, p_t >= 1/2 + m and log-odds >= log((1/2 + m)/(1/2 - m)) are one condition."""
    logits = torch.stack((torch.zeros(9, dtype=torch.float64), tensor(log_odds)), 1)
    target = torch.ones(9, dtype=torch.long)
    translated = float(np.log((0.5 + margin) / (0.5 - margin)))
    in_odds = score_gap(logits, target, margin=translated)
    in_probability = probability_gap(logits.softmax(1), target, margin=2 * margin)
    clear = in_odds.abs() > 1e-9
    assert ((in_odds > 0) == (in_probability > 0))[clear].all()
    papers = torch.relu(0.5 + margin - logits.softmax(1)[:, 1])
    torch.testing.assert_close(torch.relu(in_probability), 2 * papers)


def test_the_slope_in_log_odds_stays_where_the_model_is_sure():
    logits = tensor([[30.0, 0.0]]).requires_grad_()
    target = torch.tensor([1])
    (steep,) = torch.autograd.grad(score_gap(logits, target, margin=0.0).sum(), logits)
    (flat,) = torch.autograd.grad(probability_gap(logits.softmax(1), target, margin=0.0).sum(), logits)
    assert steep.tolist() == [[1.0, -1.0]]
    assert flat.abs().max() < 1e-11


@pytest.mark.parametrize(
    ("value", "low", "high", "gap"),
    [
        (0.5, 0.7, 1.0, 0.2),
        (0.75, 0.5, 1.0, -0.25),
        (0.9, 0.2, 0.6, 0.3),
        (0.9, 0.2, np.inf, -0.7),
        (0.9, -np.inf, 0.6, 0.3),
        (0.9, -np.inf, np.inf, -np.inf),
    ],
)
def test_range_gap_by_hand(value, low, high, gap):
    assert range_gap(tensor([value]), tensor([low]), tensor([high])).item() == pytest.approx(gap, rel=1e-12)


@given(arrays(np.float64, (3, ROWS), elements=moderate), arrays(np.float64, ROWS, elements=moderate))
def test_density_gap_and_terms_against_a_loop(log_density, threshold):
    shortfall = density_gap(tensor(log_density), tensor(threshold))
    validity, distance = tensor(np.linspace(-1, 1, ROWS)), tensor(np.arange(ROWS))
    terms = Terms(distance, validity, shortfall)
    for row in range(ROWS):
        missing = [threshold[row] - log_density[k, row] for k in range(3)]
        hinges = max(validity[row].item(), 0) + sum(max(gap, 0) for gap in missing) / 3
        assert terms.violation[row].item() == pytest.approx(hinges, abs=1e-12)
        assert terms.total(7.0)[row].item() == pytest.approx(row + 7 * hinges, abs=1e-12)
        assert bool(terms.feasible[row]) == (validity[row].item() <= 0 and max(missing) <= 0)
    assert terms.gaps.shape == (4, ROWS)
    assert torch.equal(terms.gaps[0], validity)

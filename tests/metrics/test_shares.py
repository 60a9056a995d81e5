"""Shares: against loops, ranges, and the cases where our definition differs from the reference library's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterflow import metrics
from counterflow.core.errors import ArgumentError, ShapeError

flags = arrays(np.bool_, st.integers(1, 30))


def test_validity_counts_the_target_and_not_just_any_other_class():
    predicted = np.array(["b", "c", "a", "b"])
    assert metrics.validity(predicted, "b") == 0.5  # the reference library would say 3/4: "not a"
    assert metrics.validity(predicted, np.array(["b", "c", "b", "b"])) == 0.75


@given(arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 3)), st.integers(0, 3))
def test_validity_is_a_count(predicted, target):
    assert metrics.validity(predicted, target) == sum(label == target for label in predicted) / len(predicted)
    assert metrics.validity(predicted, predicted) == 1.0


def test_validity_of_mixed_kinds_is_zero_and_not_an_error():
    assert metrics.validity(np.array(["1", "2"]), 1) == 0.0


def test_validity_wants_one_target_or_one_each():
    with pytest.raises(ShapeError, match=r"one entry per row, shape \(3,\), got \(2,\)"):
        metrics.validity(np.array([1, 2, 3]), np.array([1, 2]))


@given(arrays(np.float64, st.integers(1, 20), elements=st.floats(-5, 5)), st.floats(-5, 5), st.floats(0, 5))
def test_interval_validity_and_target_distance_agree_with_a_loop(values, low, width):
    high = low + width
    inside = [low <= value <= high for value in values]
    assert metrics.interval_validity(values, low, high) == sum(inside) / len(inside)
    gaps = [0.0 if ok else min(abs(value - low), abs(value - high)) for ok, value in zip(inside, values, strict=True)]
    assert metrics.target_distance(values, low, high) == pytest.approx(np.mean(gaps))
    assert (metrics.target_distance(values, low, high) == 0) == all(inside)


def test_open_intervals():
    values = np.array([1.0, 2.0, 3.0])
    assert metrics.interval_validity(values, low=2) == pytest.approx(2 / 3)
    assert metrics.interval_validity(values, high=1) == pytest.approx(1 / 3)
    assert metrics.interval_validity(values) == 1.0
    with pytest.raises(ArgumentError, match="low <= high"):
        metrics.interval_validity(values, 3, 2)


@given(flags, st.data())
def test_coverage_is_any_per_factual(found, data):
    group = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(found), max_size=len(found))))
    factuals = 6
    expected = np.mean([any(found[i] for i in range(len(found)) if group[i] == g) for g in range(factuals)])
    assert metrics.coverage(found, group, factuals=factuals) == expected
    assert metrics.coverage(found) == found.mean()


def test_coverage_without_a_count_uses_the_largest_position():
    assert metrics.coverage(np.array([True, False]), np.array([0, 3])) == 0.25
    assert math.isnan(metrics.coverage(np.zeros(0, bool), np.zeros(0, np.int64)))


@given(flags, st.data())
def test_shares_among_valid_rows(marks, data):
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=len(marks), max_size=len(marks))))
    chosen = [mark for mark, ok in zip(marks, valid, strict=True) if ok]
    for function in (metrics.plausible_share, metrics.witness_share):
        value = function(marks, valid)
        assert math.isnan(value) if not chosen else value == sum(chosen) / len(chosen)
        assert 0 <= function(marks) <= 1
    assert metrics.pool_validity(marks) == metrics.actionability(marks) == metrics.plausible_share(marks)


def test_numbers_are_no_flags():
    with pytest.raises(ArgumentError, match="must be Booleans, got float64"):
        metrics._arrays.share.__wrapped__(np.array([0.2, 1.0]))
    with pytest.raises(ShapeError, match="same shape"):
        metrics.plausible_share(np.array([True]), np.array([[True]]))

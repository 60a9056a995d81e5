"""Diversity: scipy's pdist per factual as the witness."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from counterflow import metrics
from counterflow.core.errors import ShapeError


@given(st.lists(st.integers(0, 4), min_size=1, max_size=25), st.integers(0, 10))
def test_against_pdist(group, seed):
    group = np.array(group)
    rows = np.random.default_rng(seed).normal(size=(len(group), 3))
    for p, name in ((1.0, "cityblock"), (2.0, "euclidean"), (np.inf, "chebyshev")):
        means = [pdist(rows[group == g], name).mean() for g in np.unique(group) if (group == g).sum() > 1]
        value = metrics.diversity(rows, group, p=p)
        assert value == pytest.approx(np.mean(means)) if means else math.isnan(value)


def test_scale_order_and_identity():
    rows = np.random.default_rng(0).normal(size=(12, 2))
    group, shuffle = np.repeat(np.arange(4), 3), np.random.default_rng(1).permutation(12)
    value = metrics.diversity(rows, group, scale=np.array([2.0, 2.0]))
    assert value == pytest.approx(metrics.diversity(rows, group) / 2)
    assert metrics.diversity(rows[shuffle], group[shuffle]) == pytest.approx(metrics.diversity(rows, group))
    assert metrics.diversity(np.ones((4, 2)), np.array([0, 0, 1, 1])) == 0.0


def test_one_group_label_per_row():
    with pytest.raises(ShapeError, match="one entry per row"):
        metrics.diversity(np.zeros((3, 2)), np.array([0, 1]))

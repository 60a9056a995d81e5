"""Measures of how an image changed: loops, closed forms and scipy as witnesses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import trapezoid

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics import changed_pixels, gini_index, hoyer_sparsity, roughness, total_variation

pixels = st.floats(-1, 1, allow_subnormal=False).map(lambda value: round(value, 3))
images = st.tuples(*[st.integers(1, 4)] * 3).flatmap(lambda shape: arrays(np.float64, (2, *shape), elements=pixels))


@given(images)
def test_total_variation_is_that_of_a_loop(x):
    expected = np.zeros(2)
    for n, c, i, j in np.ndindex(x.shape):
        if i:
            expected[n] += abs(x[n, c, i, j] - x[n, c, i - 1, j])
        if j:
            expected[n] += abs(x[n, c, i, j] - x[n, c, i, j - 1])
    np.testing.assert_allclose(total_variation(x), expected, atol=1e-12)
    np.testing.assert_allclose(total_variation(x[:, 0]), total_variation(x[:, :1]))


def test_roughness_of_known_changes():
    """A patch in the middle: circumference over area; a checkerboard inside: nearly 4; a normal law: 2 sqrt(2)."""
    still = np.zeros((1, 1, 200, 200))
    patch, board = still.copy(), still.copy()
    patch[..., 20:60, 30:50] = 0.5
    board[...] = (-1.0) ** np.add.outer(np.arange(200), np.arange(200))
    noise = np.random.default_rng(0).normal(size=still.shape)
    assert roughness(still, patch).item() == pytest.approx(2 * (40 + 20) / (40 * 20))
    assert roughness(still, board).item() == pytest.approx(4 * 199 / 200)
    assert roughness(still, noise).item() == pytest.approx(np.sqrt(8) * 199 / 200, rel=0.01)
    assert np.isnan(roughness(still, still)).all()


@given(images)
def test_roughness_does_not_depend_on_size_or_sign(x):
    np.testing.assert_allclose(roughness(x, 0.5 * x), roughness(x, 4.0 * x), rtol=1e-9, atol=1e-9)


def test_a_pixel_changed_where_any_channel_did():
    before, after = np.zeros((1, 3, 2, 2)), np.zeros((1, 3, 2, 2))
    after[0, 0, 0, 0], after[0, 2, 0, 0], after[0, 1, 1, 1] = 0.2, -0.3, -0.04
    assert changed_pixels(before, after).tolist() == [0.25]
    assert changed_pixels(before, after, tolerance=0.0).tolist() == [0.5]
    assert changed_pixels(before[:, 0], after[:, 0]).tolist() == [0.25]
    assert changed_pixels(before.reshape(1, -1), after.reshape(1, -1)).tolist() == [2 / 12]


@given(arrays(np.float64, (3, 7), elements=pixels))
def test_gini_is_twice_the_area_between_lorenz_curve_and_diagonal(x):
    size = np.sort(np.abs(x), axis=1)
    for row, found in zip(size, gini_index(x), strict=True):
        if not row.sum():
            assert np.isnan(found)
            continue
        lorenz = np.concatenate([[0.0], np.cumsum(row) / row.sum()])
        assert found == pytest.approx(1 - 2 * trapezoid(lorenz, dx=1 / 7), abs=1e-12)


def test_gini_is_the_mean_difference_of_pairs():
    x = np.random.default_rng(0).gamma(0.5, size=(2, 3, 4, 5))
    flat = x.reshape(2, -1)
    pairs = np.abs(flat[:, :, None] - flat[:, None, :]).mean(axis=(1, 2)) / (2 * flat.mean(axis=1))
    np.testing.assert_allclose(gini_index(x), pairs)


def test_hoyer_of_equal_numbers_is_in_closed_form():
    """Of d numbers m are alike and the others zero: (sqrt d - sqrt m) / (sqrt d - 1)."""
    x = (np.arange(16) < np.array([1, 4, 9, 16])[:, None]) * -2.5
    np.testing.assert_allclose(hoyer_sparsity(x), (4 - np.array([1, 2, 3, 4])) / 3, atol=1e-12)
    assert np.isnan(hoyer_sparsity(np.zeros((1, 4)))).all()


def test_wrong_images_are_refused():
    with pytest.raises(ShapeError, match="must have the same shape"):
        changed_pixels(np.zeros((2, 3, 3)), np.zeros((3, 3, 3)))
    with pytest.raises(DataError, match="counterfactuals must be finite"):
        roughness(np.zeros((1, 2, 2)), np.full((1, 2, 2), np.inf))
    with pytest.raises(ArgumentError, match="tolerance must be at least 0, got -1"):
        changed_pixels(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), tolerance=-1)
    with pytest.raises(ShapeError, match="images must have shape"):
        total_variation(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match="more than one number in each row"):
        gini_index(np.zeros((3, 1)))

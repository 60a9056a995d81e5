"""The pure functions of the density experiment, against brute force."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.density_compare import is_done, seconds_to_reach
from experiments.density_data import TURNS, DataSet, centered, patches_to_points, turn, turn_patches, turned_points
from experiments.density_loop import Record, log_densities, rate_at


class Normal:
    """The standard normal density, as a contestant that learns nothing."""

    def log_density(self, x):
        """Closed form."""
        return (-0.5 * x**2 - 0.5 * np.log(2 * np.pi)).sum(1)


def patches(count):
    return np.random.default_rng(0).integers(0, 256, (count, 64), dtype=np.uint8)


def data_set():
    raw = patches(400)
    x = patches_to_points(raw, np.random.default_rng(0)).astype(np.float64)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(x.T)))
    return DataSet(raw, raw[:10], raw[:50], patches_to_points, turn_patches, x.mean(0), whitening)


def test_points_add_up_to_what_the_dropped_pixel_takes_away():
    raw = patches(5)
    x = patches_to_points(raw, np.random.default_rng(3))
    pixels = (raw + np.random.default_rng(3).random(raw.shape, dtype=np.float32)) / 256
    assert x.shape == (5, 63)
    np.testing.assert_allclose(-x.sum(1), pixels[:, 63] - pixels.mean(1), atol=1e-5)  # 63 float32 numbers


def test_the_eight_turns_are_all_different_and_keep_the_pixels():
    patch = np.arange(64)[None]
    turned = {tuple(turn(patch, kind)[0]) for kind in TURNS}
    assert len(turned) == 8
    assert all(sorted(each) == list(range(64)) for each in turned)
    assert (turn(patch, 0) == patch).all()


@pytest.mark.parametrize("kind", TURNS)
def test_turning_keeps_volume_in_the_space_of_points(kind):
    basis = np.hstack((np.eye(63), -np.ones((63, 1))))  # the centered patch of each unit vector of points
    matrix = centered(turn(basis, kind))
    assert abs(np.linalg.det(matrix)) == pytest.approx(1.0)


def test_augmentation_turns_every_patch_of_the_batch_once():
    raw = patches(24)
    found = turn_patches(raw, np.random.default_rng(1))
    known = {tuple(turn(row[None], kind)[0]): i for i, row in enumerate(raw) for kind in TURNS}
    assert sorted(known[tuple(row)] for row in found) == list(range(24))
    assert (found != raw[np.random.default_rng(1).permutation(24)]).any()


def test_turned_points_share_their_noise():
    data = data_set()
    first, *_, last = turned_points(data, data.test, np.random.default_rng(5))
    np.testing.assert_allclose(first, data.points(data.test, np.random.default_rng(5)), atol=1e-5)
    assert first.shape == last.shape == (50, 63)


def test_whitened_density_is_that_of_the_fitted_normal():
    stats = pytest.importorskip("scipy.stats")
    data = data_set()
    x = patches_to_points(data.test, np.random.default_rng(7)).astype(np.float64)
    covariance = np.linalg.inv(data.whitening.T @ data.whitening)
    expected = stats.multivariate_normal(data.center, covariance).logpdf(x)
    found = log_densities(Normal(), data.points(data.test, np.random.default_rng(7))) + data.log_det
    np.testing.assert_allclose(found, expected, atol=1e-2)


def test_batches_see_every_row_once_an_epoch():
    data = data_set()
    raw = {tuple(row) for row in data.train}
    seen = []
    plain = DataSet(
        data.train,
        data.validation,
        data.test,
        lambda raw, _: seen.append(raw) or raw[:, :63],
        None,
        data.center,
        np.eye(63),
    )
    batches = plain.batches(100, np.random.default_rng(0), augment=True)
    assert [next(batches).shape for _ in range(4)] == [(100, 63)] * 4
    assert {tuple(row) for batch in seen for row in batch} == raw


def test_the_rate_rises_then_falls_to_zero():
    assert rate_at(0.0, 0, peak=1.0) == pytest.approx(1 / 200)
    assert rate_at(0.5, 10_000, peak=1.0) == pytest.approx(0.5)
    assert rate_at(1.2, 10_000, peak=1.0) == 0.0


def test_a_record_is_done_when_it_has_a_result_for_the_same_time(tmp_path: Path):
    path = tmp_path / "record.json"
    assert not is_done(path, 60)
    record = Record({"plan": {"seconds": 60}}, [{"seconds": 1.0}])
    record.write(path)
    assert not is_done(path, 60)
    record.result = {"test": 1.0}
    record.write(path)
    assert json.loads(path.read_text())["history"] == [{"seconds": 1.0}]
    assert is_done(path, 60)
    assert not is_done(path, 61)


def test_seconds_to_reach_are_those_of_the_first_row_that_is_there():
    history = [{"seconds": t, "validation": v} for t, v in [(1.0, -3.0), (2.0, -1.0), (3.0, -2.0)]]
    assert seconds_to_reach(history, -2.0) == 2.0
    assert seconds_to_reach(history, 0.0) is None

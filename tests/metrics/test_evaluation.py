"""The dictionary: order, absent keys, and every number against its own function on the rows it counts."""

import math

import numpy as np
import pytest

from counterflow import metrics
from counterflow.core.errors import ArgumentError, ShapeError


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    reference = np.hstack([rng.normal(size=(60, 3)) * [1, 10, 100], rng.integers(0, 3, (60, 1))])
    factuals = np.repeat(reference[:10], 2, axis=0)
    answers = factuals + rng.normal(size=factuals.shape) * [1, 10, 0, 0]
    answers[:, 3] = rng.integers(0, 3, 20)
    return {
        "witness": rng.random(20) < 0.8,
        "witness_informative": True,
        "predicted": rng.choice(["yes", "no"], 20),
        "target": "yes",
        "found": rng.random(20) < 0.9,
        "plausible": rng.random(20) < 0.9,
        "kept": np.ones(20, bool),
        "group": np.repeat(np.arange(10), 2),
        "factuals": factuals,
        "counterfactuals": answers,
        "reference": reference,
        "categorical": np.array([False, False, False, True]),
        "log_density": rng.normal(size=20),
        "log_density_space": "standardized units",
        "pool_valid": rng.random((10, 50)) < 0.5,
        "seconds": 1.5,
    }


def test_keys_in_order(case):
    assert list(metrics.evaluate(**case)) == [
        "witness_share", "witness_informative", "validity", "plausible_share", "coverage", "actionability",
        "sparsity", "changed_features", "proximity_l1", "proximity_l2", "proximity_mad", "proximity_gower",
        "proximity_mixed", "lof_median", "lof_mean", "isolation_forest_median", "isolation_forest_mean", "diversity",
        "log_density_median", "log_density_mean", "log_density_space", "pool_validity", "answers", "valid_answers",
        "seconds",
    ]  # fmt: skip


def test_numbers_against_their_functions(case):
    result = metrics.evaluate(**case)
    counted = (case["predicted"] == "yes") & case["found"]
    a, b, reference = case["factuals"][counted], case["counterfactuals"][counted], case["reference"]
    unit, c = reference.std(axis=0), slice(0, 3)
    assert result["witness_share"] == case["witness"][counted].mean()
    assert result["plausible_share"] == case["plausible"][counted].mean()
    assert result["validity"] == counted.mean()
    assert result["coverage"] == np.mean([counted[2 * i] or counted[2 * i + 1] for i in range(10)])
    assert result["actionability"] == 1.0
    assert result["sparsity"] == pytest.approx((a != b).mean())
    assert result["changed_features"] == pytest.approx((a != b).sum(axis=1).mean())
    steps = (np.abs(a - b) / unit)[:, c]
    assert result["proximity_l1"] == pytest.approx(steps.sum(axis=1).mean())
    assert result["proximity_l2"] == pytest.approx(np.sqrt((steps**2).sum(axis=1)).mean())
    mad = metrics.mad_scale(reference[:, c])
    assert result["proximity_mad"] == pytest.approx((np.abs(a - b)[:, c] / mad).sum(axis=1).mean())
    changed = (a != b)[:, 3]
    gower = np.c_[np.minimum(np.abs(a - b)[:, c] / np.ptp(reference[:, c], axis=0), 1), changed].mean()
    assert result["proximity_gower"] == pytest.approx(gower)
    assert result["proximity_mixed"] == pytest.approx(0.75 * result["proximity_l2"] + 0.25 * changed.mean())
    assert result["log_density_median"] == np.median(case["log_density"][counted])
    assert result["pool_validity"] == case["pool_valid"].mean()
    assert (result["answers"], result["valid_answers"]) == (20, counted.sum())

    def embed(rows):
        return np.c_[rows[:, c] / unit[c], np.eye(3)[rows[:, 3].astype(int)] * np.sqrt(0.5)]

    lof = metrics.lof_scores(embed(b), embed(reference))
    assert result["lof_median"] == pytest.approx(np.median(lof))
    assert result["lof_mean"] == pytest.approx(lof.mean())
    forest = metrics.isolation_forest_scores(embed(b), embed(reference))
    assert result["isolation_forest_mean"] == pytest.approx(forest.mean())
    assert result["diversity"] == pytest.approx(metrics.diversity(embed(b), case["group"][counted]))


def test_absent_inputs_leave_no_key():
    assert metrics.evaluate() == {"answers": 0, "valid_answers": 0}
    assert list(metrics.evaluate(log_density=np.zeros(2))) == [
        "log_density_median", "log_density_mean", "answers", "valid_answers",
    ]  # fmt: skip
    a = np.zeros((2, 2))
    keys = metrics.evaluate(factuals=a, counterfactuals=a + 1, group=np.array([0, 1]))
    assert "diversity" not in keys
    assert not {"proximity_mad", "proximity_gower", "lof_mean"} & set(keys)
    assert keys["proximity_l1"] == 2.0


def test_rows_that_are_not_valid_never_better_a_distance():
    a, b = np.zeros((2, 1)), np.array([[0.0], [4.0]])
    result = metrics.evaluate(factuals=a, counterfactuals=b, valid=np.array([False, True]))
    assert result["proximity_l2"] == 4.0
    assert result["validity"] == result["coverage"] == 0.5


def test_rows_without_an_answer_may_hold_nan():
    a, b = np.zeros((2, 1)), np.array([[np.nan], [4.0]])
    result = metrics.evaluate(factuals=a, counterfactuals=b, found=np.array([False, True]))
    assert result["proximity_l2"] == 4.0
    assert result["coverage"] == 0.5


def test_nothing_valid_is_nan_and_says_so(case):
    result = metrics.evaluate(**case | {"target": "maybe"})
    assert result["validity"] == result["coverage"] == result["valid_answers"] == 0
    for key in ("witness_share", "plausible_share", "proximity_l2", "lof_median", "log_density_mean"):
        assert math.isnan(result[key])


def test_factuals_without_any_answer_count_in_the_coverage():
    assert metrics.evaluate(valid=np.array([True]), group=np.array([0]), factual_count=4)["coverage"] == 0.25


def test_errors(case):
    with pytest.raises(ArgumentError, match="predicted needs target"):
        metrics.evaluate(predicted=np.array([1]))
    with pytest.raises(ArgumentError, match="go together"):
        metrics.evaluate(factuals=np.zeros((1, 1)))
    with pytest.raises(ShapeError, match=r"witness must have one entry per row, shape \(20,\), got \(3,\)"):
        metrics.evaluate(**case | {"witness": np.ones(3, bool)})

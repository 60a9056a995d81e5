"""FlowRegressor keeps scikit-learn's conventions, by scikit-learn's own checks."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from counterflow.estimators import FlowRegressor
from counterflow.regression import ConditionalFlow, SplineHead, TreeFlow, Trees

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight two and the row twice are shuffled, held out and "
    "cut into batches otherwise, as in every network trained by steps; rows of weight zero are left out exactly",
}
SMALL = ConditionalFlow(head=SplineHead(hidden=(8,), bins=4))
FOREST = TreeFlow(Trees("forest", 3, 2), location=Trees("forest", 5, 3), folds=2, width=2, head=SMALL.head)


def light(method: Any = SMALL, **settings: Any) -> FlowRegressor:
    return FlowRegressor(method, **{"members": 1, "max_epochs": 2, "random_state": 0} | settings)


@parametrize_with_checks([light(), light(FOREST)], expected_failed_checks=lambda _: EXPECTED_FAILURES)
@pytest.mark.filterwarnings("ignore:y holds whole numbers")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_names_of_columns_are_checked():
    """Scikit-learn runs this check on its own estimators."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y holds whole numbers")
        check_dataframe_column_names_consistency("FlowRegressor", light())


def test_it_is_a_regressor_of_mixed_columns_and_several_targets():
    tags = get_tags(FlowRegressor())
    assert is_regressor(FlowRegressor())
    assert tags.input_tags.allow_nan
    assert tags.target_tags.multi_output


def test_pipelines_cross_validation_and_grids_work():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x[:, 0] + 0.1 * np.random.default_rng(1).normal(size=60)
    scores = cross_val_score(make_pipeline(StandardScaler(), light()), x, y, cv=3)
    assert np.isfinite(scores).all()
    search = GridSearchCV(light(), {"max_epochs": [1, 3]}, cv=2).fit(x, y)
    assert search.best_params_["max_epochs"] in (1, 3)


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    x = np.random.default_rng(0).normal(size=(60, 2))
    weights = np.r_[np.ones(50), np.zeros(10)]
    spoiled = np.r_[x[:50, 0], np.full(10, 1e6)]
    one = light().fit(x[:50], x[:50, 0], sample_weight=np.ones(50))
    other = light().fit(x, spoiled, sample_weight=weights)
    np.testing.assert_array_equal(other.predict(x), one.predict(x))


def test_a_clone_is_unfitted_and_alike():
    fitted = light().fit(np.arange(20.0).reshape(10, 2) / 3, np.arange(10) / 3)
    copy: Any = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(np.zeros((1, 2)))


def test_equal_seeds_give_equal_laws():
    x = pd.DataFrame({"a": np.arange(40) / 3, "b": list("xy") * 20})
    one, other = (light(random_state=7).fit(x, x.a).predict(x) for _ in range(2))
    np.testing.assert_array_equal(one, other)

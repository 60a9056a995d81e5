"""FlowDensity keeps scikit-learn's conventions, by scikit-learn's own checks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_dataframe_column_names_consistency, parametrize_with_checks

from counterflow import FlowDensity, Schema

# None. Every entry would be "name of the check": "the reason why it cannot pass".
EXPECTED_FAILURES: dict[str, str] = {}


def light(flow: str, **settings) -> FlowDensity:
    return FlowDensity(flow, hidden=(8,), max_epochs=2, draws=2, **settings)


class Continuous(FlowDensity):
    """The same estimator, checked on continuous data: for one that takes categories scikit-learn rounds all data."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = False
        return tags


@parametrize_with_checks(
    [
        light("spline_coupling", layers=1),
        light("maf", layers=1),
        light("linear"),
        Continuous("spline_coupling", layers=1, hidden=(8,), max_epochs=2),
    ],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_names_of_columns_are_checked():
    """Scikit-learn runs this check on its own estimators."""
    check_dataframe_column_names_consistency("FlowDensity", light("maf", layers=1))


def test_it_is_a_density_estimator_of_mixed_columns():
    tags = get_tags(FlowDensity())
    assert tags.estimator_type == "density_estimator"
    assert tags.input_tags.string
    assert tags.input_tags.categorical
    assert not is_regressor(FlowDensity())


def test_constructors_store_only():
    schema = Schema.infer(np.arange(6.0).reshape(3, 2) / 3)
    settings = {"flow": "no such flow", "hidden": [1], "draws": -1, "schema": schema, "random_state": "nonsense"}
    density = FlowDensity(**settings)
    assert all(getattr(density, name) is value for name, value in settings.items())
    assert clone(density).get_params()["schema"].names == schema.names


@pytest.mark.parametrize("method", ["score_samples", "score", "sample", "save"])
def test_fit_comes_first(method, tmp_path):
    argument = {"sample": 3, "save": tmp_path / "density"}.get(method, np.zeros((2, 2)))
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(FlowDensity(), method)(argument)


def test_a_second_fit_forgets_the_first():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc"))
    density = light("maf", layers=1, random_state=0).fit(frame)
    assert list(density.feature_names_in_) == ["a", "b", "c"]
    density.fit(rng.normal(size=(60, 2)))
    assert density.n_features_in_ == 2
    assert not hasattr(density, "feature_names_in_")
    assert density.sample(2).shape == (2, 2)


def test_what_fit_leaves():
    x = np.random.default_rng(0).normal(size=(100, 2))
    density = light("maf", layers=1).fit(x)
    assert density.n_iter_ == density.report_.epochs == len(density.history_) == 2
    assert density.report_.best_validation == min(record.validation for record in density.history_)
    assert density.report_.outcome.sentence
    assert density.schema_.names == ("x0", "x1")


def test_held_out_density_is_in_units_of_the_data():
    """Witness: the score of the same data in other units."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    small, large = (light("maf", layers=1, random_state=0).fit(x * scale) for scale in (1, 1000))
    shift = large.report_.best_validation - small.report_.best_validation
    assert shift == pytest.approx(2 * np.log(1000), abs=1e-4)


def test_it_works_in_a_search_and_in_a_pipeline():
    x = np.random.default_rng(0).normal(size=(120, 2)) * [1, 50]
    search = GridSearchCV(light("maf", random_state=0), {"layers": [1, 2]}, cv=2).fit(x)
    assert search.best_params_["layers"] in (1, 2)
    pipeline = make_pipeline(StandardScaler(), FlowDensity("linear")).fit(x)
    shift = pipeline.score_samples(x) - FlowDensity("linear").fit(x).score_samples(x)
    np.testing.assert_allclose(shift, np.log(x.std(0)).sum(), atol=1e-9)

"""Leaves and predictions of each library, against what the library itself says; saved and refused."""

import numpy as np
import pytest

from counterflow.core.errors import ArgumentError, DataError
from counterflow.regression.leaves import Trees, as_leaf_model, fit_trees, leaf_model_from_parts

LIBRARIES = ["catboost", "lightgbm", "xgboost", "gradient_boosting", "forest"]
RANDOM = np.random.default_rng(0)
X = np.column_stack([RANDOM.normal(size=(200, 3)), RANDOM.integers(4, size=200)])
Y = np.column_stack([X[:, 0] + (X[:, 3] == 2), X[:, 1] * X[:, 2]]) + 0.1 * RANDOM.normal(size=(200, 2))


def fitted(library, y=Y, **settings):
    if library not in ("gradient_boosting", "forest"):
        pytest.importorskip(library)
    return fit_trees(Trees(library, number=7, depth=3), X, y=y, **settings)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("categorical", [(), (3,)])
def test_leaves_are_numbered_and_predictions_come_back_after_saving(library, targets, categorical):
    model = fitted(library, Y[:, :targets], categorical=categorical)
    leaves = model.leaves(X)
    assert leaves.shape == (200, len(model.sizes))
    assert (leaves >= 0).all()
    assert (leaves < np.array(model.sizes)).all()
    assert model.predict(X).shape == (200, targets)
    again = leaf_model_from_parts(*model.to_parts())
    np.testing.assert_array_equal(again.leaves(X), leaves)
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("library", LIBRARIES)
def test_equal_leaves_mean_an_equal_prediction_and_trees_learn(library):
    model = fitted(library, Y[:, :1])
    _, first, inverse = np.unique(model.leaves(X), axis=0, return_index=True, return_inverse=True)
    np.testing.assert_allclose(model.predict(X)[:, 0], model.predict(X)[first][inverse.ravel(), 0], rtol=1e-6)
    assert np.corrcoef(model.predict(X)[:, 0], Y[:, 0])[0, 1] > 0.7


@pytest.mark.parametrize("kind", ["RandomForestRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor"])
@pytest.mark.parametrize("gaps", [False, True])
def test_walks_through_trees_are_those_of_scikit_learn(kind, gaps):
    from sklearn import ensemble

    if gaps and kind == "GradientBoostingRegressor":
        pytest.skip("scikit-learn's gradient boosting takes no missing values")
    x = np.where(gaps & (RANDOM.random(X.shape) < 0.1), np.nan, X)
    own = getattr(ensemble, kind)(n_estimators=9, max_depth=4, random_state=0).fit(x, Y[:, 0])
    model = as_leaf_model(own, columns=4)
    np.testing.assert_array_equal(model.leaves(x), own.apply(x).reshape(200, -1))
    np.testing.assert_allclose(model.predict(x)[:, 0], own.predict(x), rtol=1e-10)


@pytest.mark.parametrize("module", ["catboost", "lightgbm", "xgboost"])
def test_a_users_booster_gives_the_leaves_of_its_library(module):
    library = pytest.importorskip(module)
    settings = {"n_estimators": 5, "max_depth": 3}
    own = {
        "catboost": lambda: library.CatBoostRegressor(iterations=5, depth=3, verbose=False, allow_writing_files=False),
        "lightgbm": lambda: library.LGBMRegressor(verbose=-1, **settings),
        "xgboost": lambda: library.XGBRegressor(**settings),
    }[module]()
    with pytest.raises(ArgumentError, match="must be fitted"):
        as_leaf_model(own, columns=4)
    own.fit(X, Y[:, 0])
    model = as_leaf_model(own, columns=4)
    witness = {
        "catboost": lambda: own.calc_leaf_indexes(X),
        "lightgbm": lambda: own.predict(X, pred_leaf=True),
        "xgboost": lambda: own.apply(X),
    }[module]()
    np.testing.assert_array_equal(model.leaves(X), witness)
    np.testing.assert_allclose(model.predict(X)[:, 0], own.predict(X), rtol=1e-5)


def test_gaps_that_a_library_does_not_take_are_refused():
    x = np.array([[0.0], [np.nan], [1.0], [2.0]])
    with pytest.raises(DataError, match="take no gaps"):
        fit_trees(Trees("gradient_boosting", 2, 1), x, y=np.arange(4.0)[:, None])


def test_what_is_no_tree_is_refused():
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    with pytest.raises(ArgumentError, match="got LinearRegression"):
        as_leaf_model(LinearRegression(), columns=4)
    with pytest.raises(ArgumentError, match="that is not"):
        as_leaf_model(RandomForestRegressor(), columns=4)
    with pytest.raises(ArgumentError, match="same 3 columns"):
        as_leaf_model(RandomForestRegressor(3).fit(X, Y), columns=3)
    with pytest.raises(ArgumentError, match="got 'cart'"):
        Trees("cart")

"""Trees fitted here: by the library that is asked for, or the best one that is installed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError, DataError, MissingExtra
from counterflow.regression.leaves.catboost_leaves import CatBoostLeaves, catboost_rows
from counterflow.regression.leaves.forest_leaves import ForestLeaves
from counterflow.regression.leaves.lightgbm_leaves import LightGBMLeaves
from counterflow.regression.leaves.protocol import LeafModel
from counterflow.regression.leaves.xgboost_leaves import XGBoostLeaves, xgboost_matrix

__all__ = ["Trees", "fit_trees"]

_RATE = 0.05
_LIBRARIES = ("catboost", "lightgbm", "xgboost", "gradient_boosting", "forest")


@dataclass(frozen=True)
class Trees:
    """How trees are fitted.

    Args:
        library: ``"catboost"``, ``"lightgbm"``, ``"xgboost"``; ``"gradient_boosting"`` or ``"forest"`` of scikit-learn;
            ``"auto"`` is the first of these that is installed.
        number: How many trees.
        depth: The depth of each.
        learning_rate: The step of boosting; ``None`` for CatBoost's own choice, and 0.05 elsewhere.

    Raises:
        ArgumentError: If there is no such library, or a number is out of its range.

    Example:
        >>> Trees("forest", number=50).depth
        6
    """

    library: str = "auto"
    number: int = 1000
    depth: int = 6
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.library not in ("auto", *_LIBRARIES):
            known = ", ".join(map(repr, ("auto", *_LIBRARIES)))
            raise ArgumentError(f"library must be one of {known}, got {self.library!r}. Choose one of these.")
        check_count(self.number, "number")
        check_count(self.depth, "depth")
        if self.learning_rate is not None:
            check_positive(self.learning_rate, "learning_rate")

    @property
    def found(self) -> str:
        """The library that will be used.

        Raises:
            MissingExtra: If the one asked for is not installed.
        """
        if self.library == "auto":
            return next(name for name in _LIBRARIES if name not in _LIBRARIES[:3] or find_spec(name))
        if self.library in _LIBRARIES[:3] and find_spec(self.library) is None:
            raise MissingExtra(f"TreeFlow with Trees({self.library!r})", self.library, "trees")
        return self.library


def fit_trees(
    trees: Trees,
    rows: Float[np.ndarray, "rows columns"],
    *,
    y: Float[np.ndarray, "rows targets"],
    categorical: tuple[int, ...] = (),
    weights: Float[np.ndarray, " rows"] | None = None,
    seed: int = 0,
) -> LeafModel:
    """Fit trees by least squares.

    Args:
        trees: How.
        rows: Numbers; categories as their codes, missing values as NaN.
        y: Targets.
        categorical: The places of columns of categories; to scikit-learn they are numbers.
        weights: One for each row.
        seed: Of the trees' own randomness.

    Returns:
        The fitted trees.

    Raises:
        MissingExtra: If the library is not installed.
        DataError: If there are gaps, and the library takes none.

    Example:
        >>> x = np.linspace(0.0, 1.0, 100)[:, None]
        >>> model = fit_trees(Trees("forest", number=5, depth=2), x, y=x**2)
        >>> model.leaves(x).shape, model.predict(x).shape
        ((100, 5), (100, 1))
    """
    how = _How(trees, tuple(categorical), weights, seed)
    library = trees.found
    if library in _JOINT:
        return _JOINT[library](rows, y, how=how)
    models = [_SINGLE[library](rows, column, how=how) for column in y.T]
    if library == "gradient_boosting":
        return ForestLeaves.joined([ForestLeaves.wrap(model, columns=rows.shape[1]) for model in models])
    form = LightGBMLeaves if library == "lightgbm" else XGBoostLeaves
    return form(models, columns=rows.shape[1], categorical=how.categorical)


class _How(NamedTuple):
    """What all libraries are told alike."""

    trees: Trees
    categorical: tuple[int, ...]
    weights: np.ndarray | None
    seed: int

    @property
    def rate(self) -> float:
        return self.trees.learning_rate or _RATE

    @property
    def threads(self) -> int:
        """As many as torch uses."""
        return torch.get_num_threads()


def _catboost(rows: np.ndarray, y: np.ndarray, *, how: _How) -> LeafModel:
    import catboost

    model = catboost.CatBoostRegressor(
        loss_function="RMSE" if y.shape[1] == 1 else "MultiRMSE",
        iterations=how.trees.number,
        depth=how.trees.depth,
        learning_rate=how.trees.learning_rate,
        random_seed=how.seed,
        thread_count=how.threads,
        allow_writing_files=False,
        allow_const_label=True,
        verbose=False,
    )
    data = catboost_rows(rows, how.categorical)
    target = y if y.shape[1] > 1 else y[:, 0]
    model.fit(data, target, cat_features=list(how.categorical), sample_weight=how.weights)
    return CatBoostLeaves([model], columns=rows.shape[1], categorical=how.categorical)


def _lightgbm(rows: np.ndarray, y: np.ndarray, *, how: _How) -> Any:
    import lightgbm

    settings = {
        "objective": "regression",
        "learning_rate": how.rate,
        "max_depth": how.trees.depth,
        "num_leaves": 2**how.trees.depth,
        "seed": how.seed,
        "num_threads": how.threads,
        "verbose": -1,
    }
    data = lightgbm.Dataset(
        rows, y, weight=how.weights, categorical_feature=list(how.categorical), params={"verbose": -1}
    )
    return lightgbm.train(settings, data, num_boost_round=how.trees.number)


def _xgboost(rows: np.ndarray, y: np.ndarray, *, how: _How) -> Any:
    import xgboost

    settings = {
        "objective": "reg:squarederror",
        "eta": how.rate,
        "max_depth": how.trees.depth,
        "seed": how.seed,
        "nthread": how.threads,
    }
    data = xgboost_matrix(rows, how.categorical)
    data.set_info(label=y, weight=how.weights)
    return xgboost.train(settings, data, num_boost_round=how.trees.number)


def _forest(rows: np.ndarray, y: np.ndarray, *, how: _How) -> LeafModel:
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(how.trees.number, max_depth=how.trees.depth, random_state=how.seed)
    model.fit(rows, y if y.shape[1] > 1 else y[:, 0], sample_weight=how.weights)
    return ForestLeaves.wrap(model, columns=rows.shape[1])


def _gradient_boosting(rows: np.ndarray, y: np.ndarray, *, how: _How) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    if np.isnan(rows).any():
        raise DataError("Trees('gradient_boosting') take no gaps, and there are some. Take 'forest', or a booster.")
    model = GradientBoostingRegressor(
        n_estimators=how.trees.number, learning_rate=how.rate, max_depth=how.trees.depth, random_state=how.seed
    )
    return model.fit(rows, y, sample_weight=how.weights)


_JOINT: dict[str, Callable[..., LeafModel]] = {"catboost": _catboost, "forest": _forest}
_SINGLE: dict[str, Callable[..., Any]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "gradient_boosting": _gradient_boosting,
}

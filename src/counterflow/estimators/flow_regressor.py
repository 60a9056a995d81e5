"""Probabilistic regression in the manner of scikit-learn: the whole law of y under the row of a table."""

from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import torch
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.random import make_generator
from counterflow.estimators.density_flows import held_out_share
from counterflow.estimators.inputs import seed_from
from counterflow.estimators.regressor_folder import load_regressor, save_regressor
from counterflow.estimators.regressor_intervals import Conformal
from counterflow.estimators.regressor_law import TableLaw
from counterflow.estimators.regressor_predictions import AbstractLawPredictions
from counterflow.estimators.regressor_rows import RowReader, checked_targets, training_table
from counterflow.regression import ConditionalFlow, RegFlow, TreeFlow, fit_regression
from counterflow.regression.methods import make_method
from counterflow.tables import Schema

__all__ = ["FlowRegressor"]


class FlowRegressor(AbstractLawPredictions):
    r"""The law of a target, or of several at once, under the row of a table, learned by flows.

    .. math:: \max_\theta \sum_i \log q_\theta(y_i \mid x_i)

    Columns may hold numbers, categories and gaps. Log-densities are natural logarithms per unit of y; where a target
    holds whole numbers only they are logarithms of probabilities, and a warning says so.

    Args:
        method: ``"spline"`` (a conditional spline flow, the default), ``"treeflow"`` (usually the best on tables),
            ``"regflow"``, ``"continuous"``, ``"mixture"`` (a mixture density network), ``"gaussian"``; or the record of
            one: :class:`~counterflow.regression.ConditionalFlow`, :class:`~counterflow.regression.TreeFlow`,
            :class:`~counterflow.regression.RegFlow`.
        members: How many densities are trained and averaged.
        calibration: The share of rows that are set aside to correct prediction intervals, in [0, 1); see
            :meth:`calibrate`.
        max_epochs: The most passes over the rows.
        patience: Stop after this many epochs in a row without a better held-out density.
        batch_size: The most rows of a batch; ``None`` for a tenth of the rows, from 32 to 128, and
            more where an epoch would have more than 200 batches.
        learning_rate: Adam's step size at the start; it falls to zero over ``max_epochs``.
        weight_decay: The decay rate of the weights.
        validation: The share of rows that each member holds out to stop early, in [0, 1).
        schema: What the columns are; ``None`` infers it, and takes gaps for a value of their own.
        whole_numbers: Whether y holds whole numbers; ``"auto"`` looks at each target.
        draws: How many draws stand for the law of several targets where a mean, quantile or interval is asked for.
        device: Where to train. Everything else happens on the CPU, in float64.
        time_limit: Seconds after which the training of each member stops; ``None`` for no limit.
        progress: Show a progress bar on an interactive terminal.
        random_state: A seed, a random generator of numpy, or ``None`` for another result each time.

    Attributes:
        schema_ (Schema): The columns.
        law_ (TableLaw): What was learned; ``law_.regression`` is a :class:`~counterflow.regression.DensityRegression`.
        conformal_ (Conformal | None): What corrects prediction intervals, if anything does.
        n_features_in_ (int): The number of columns seen in ``fit``.
        feature_names_in_ (ndarray): Their names, if ``fit`` saw a frame.

    Reference:
        Wielopolski, Zieba, "TreeFlow", 2023; Zieba et al., "RegFlow", 2020.

    Example:
        >>> x = np.random.default_rng(0).uniform(size=(300, 1))
        >>> y = 10 * x[:, 0] + np.random.default_rng(1).normal(size=300)
        >>> law = FlowRegressor("gaussian", members=1, max_epochs=30, random_state=0).fit(x, y)
        >>> law.predict(x[:2]).shape, law.predict_interval(x[:2], coverage=0.8).shape
        ((2,), (2, 2))
    """

    n_features_in_: int
    feature_names_in_: np.ndarray

    @no_type_check  # scikit-learn: a constructor stores what it is given, whatever it is, and ``fit`` checks
    def __init__(
        self,
        method: str | ConditionalFlow | RegFlow | TreeFlow = "spline",
        *,
        members: int = 3,
        calibration: float = 0.0,
        max_epochs: int = 150,
        patience: int = 25,
        batch_size: int | None = None,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation: float = 0.1,
        schema: Schema | None = None,
        whole_numbers: bool | str = "auto",
        draws: int = 1000,
        device: str = "auto",
        time_limit: float | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> None:
        self.method = method
        self.members = members
        self.calibration = calibration
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.schema = schema
        self.whole_numbers = whole_numbers
        self.draws = draws
        self.device = device
        self.time_limit = time_limit
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> "FlowRegressor":
        """Learn the law of y under the rows of X.

        Args:
            X: A pandas or polars frame, a pyarrow table, or an array of shape (rows, columns); at least four rows.
            y: One number for each row, or several: (rows,) or (rows, targets).
            sample_weight: How much each row counts, at least 0; only ratios matter.

        Returns:
            The estimator itself.

        Raises:
            DataError: X or y cannot be learned from; the sentence says where.
            ArgumentError: A setting is outside its range.
        """
        method = make_method(self.method)
        check_count(self.draws, "draws")
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        X, codec, weights = training_table(self, X, schema=self.schema, sample_weight=sample_weight)
        targets = checked_targets(y, X.shape[0], whole=self.whole_numbers)
        generator = make_generator(seed_from(self.random_state, "fit"))
        numbers, values = torch.from_numpy(codec.to_numbers(X)), torch.from_numpy(targets.values)
        if weights is not None:
            counts = torch.from_numpy(weights > 0)
            numbers, values, weights = numbers[counts], values[counts], torch.from_numpy(weights)[counts]
        rows = RowReader.of(codec.schema, numbers, trees=isinstance(method, TreeFlow))
        features = rows.features(numbers)
        train, held = self._split(len(values), generator)
        regression = fit_regression(
            features[train],
            values[train],
            method=method,
            levels=rows.levels if rows.trees else None,
            noise=tuple("cell" if whole else 0.0 for whole in targets.whole),
            weights=None if weights is None else weights[train],
            **self._training(len(train), generator),
        )
        self._keep(TableLaw(regression, rows, flat=targets.flat, whole=targets.whole, names=targets.names))
        if len(held):
            self.conformal_ = self._conformal(features[held], values[held])
        return self

    def calibrate(self, X: Any, y: Any) -> "FlowRegressor":
        r"""Correct prediction intervals by rows that the fit has not seen: conformal prediction.

        A fresh row that is exchangeable with these lies in an interval of coverage c with a chance of at least c, and
        of at most c + 1 / (n + 1), over calibrations and rows together. Nothing is promised for one row, or a subgroup.

        Args:
            X: Calibration rows.
            y: Their targets.

        Returns:
            The estimator itself.

        Raises:
            NotFittedError: ``fit`` comes first.
            DataError: X or y are not like those of ``fit``.

        Reference:
            Chernozhukov, Wuethrich, Zhu, "Distributional conformal prediction", 2021, theorem 1.
        """
        x, targets = self._pair(X, y)
        self.conformal_ = self._conformal(x, targets)
        return self

    def save(self, folder: str | Path) -> Path:
        """Save to a folder of JSON and safetensors, all or nothing; it holds no rows, and nothing is pickled.

        Raises:
            NotFittedError: ``fit`` comes first.
            PersistenceError: The folder cannot be written.
        """
        check_is_fitted(self, "law_")
        return save_regressor(self, folder)

    @classmethod
    def load(cls, folder: str | Path, *, embedding: Any = None) -> "FlowRegressor":
        """Load what :meth:`save` wrote: the same answers, bit by bit.

        Args:
            folder: The folder.
            embedding: What built the embedding, if it was one of your own.

        Raises:
            PersistenceError: The folder is missing, damaged, of another kind or of another version.
        """
        return load_regressor(cls(), folder, embedding=embedding)

    def __sklearn_tags__(self) -> Tags:
        """Say that columns may hold text and gaps, targets may be several, and ``score`` is no R squared."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        if tags.regressor_tags is not None:
            tags.regressor_tags.poor_score = True
        return tags

    def _split(self, rows: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows to learn from, and rows set aside for calibration."""
        if not 0 <= self.calibration < 1:
            raise ArgumentError(f"calibration must be a share in [0, 1), got {self.calibration}. A fifth is 0.2.")
        order = torch.randperm(rows, generator=generator)
        held = round(self.calibration * rows)
        return order[held:].sort().values, order[:held]

    def _training(self, rows: int, generator: torch.Generator) -> dict[str, Any]:
        """The settings that training takes as they are."""
        names = ("members", "max_epochs", "patience", "batch_size", "learning_rate", "weight_decay", "device")
        return {
            **{name: getattr(self, name) for name in (*names, "time_limit")},
            "validation": held_out_share(self.validation, rows),
            "generator": generator,
            "progress": bool(self.progress),
        }

    def _keep(self, law: TableLaw, conformal: Conformal | None = None) -> None:
        self.law_ = law
        self.schema_ = law.rows.schema
        self.conformal_ = conformal

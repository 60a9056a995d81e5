"""What may be asked of a learned law: numbers, quantiles, intervals, draws, scores, and a model to explain."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator
from counterflow.estimators.inputs import checked_table, checked_weights, seed_from
from counterflow.estimators.regressor_intervals import Conformal, check_coverage, conformal_scores, intervals
from counterflow.estimators.regressor_law import TableLaw, check_kind
from counterflow.estimators.regressor_question import Summary, as_adapted_model
from counterflow.metrics import crps
from counterflow.models import AdaptedModel

__all__ = ["AbstractLawPredictions"]


class AbstractLawPredictions(RegressorMixin, BaseEstimator, ABC):
    """The questions, for an estimator whose ``fit`` leaves a ``law_`` and perhaps a ``conformal_``."""

    draws: int
    schema: Any
    law_: TableLaw
    conformal_: Conformal | None

    @abstractmethod
    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> "AbstractLawPredictions":
        """Learn the law."""

    def predict(self, X: Any, *, kind: str = "mean") -> Float[np.ndarray, "rows *targets"]:
        """Predict a number for each target: the mean, the median or the mode of its law.

        Args:
            X: A table like the one that ``fit`` saw.
            kind: ``"mean"``, ``"median"`` or ``"mode"``. Of several targets the median is each one's own, and the mode
                is the likeliest of ``draws`` draws.

        Returns:
            (rows,) or (rows, targets), as y came.

        Raises:
            NotFittedError: ``fit`` comes first.
            DataError: X is not like the table that ``fit`` saw.
            ArgumentError: ``kind`` is none of the three.
        """
        check_kind(kind)
        return self._law.shaped(self._law.summary(self._read(X), kind, draws=self.draws))

    def predict_quantiles(
        self, X: Any, quantiles: Any = (0.05, 0.5, 0.95)
    ) -> Float[np.ndarray, "rows levels *targets"]:
        """Predict quantiles: of one target exactly, of several each one's own from draws.

        Args:
            X: As in :meth:`predict`.
            quantiles: Levels in (0, 1).

        Returns:
            (rows, levels) or (rows, levels, targets).

        Raises:
            ArgumentError: A level lies outside of (0, 1).
        """
        levels = _checked_levels(quantiles)
        x, law = self._read(X), self._law
        if law.regression.targets == 1:
            return law.shaped(law.rounded(law.regression.quantiles(levels, x)).unsqueeze(-1))
        found = law.regression.draws_alike(self.draws, x).quantile(levels, 1)
        return law.shaped(law.rounded(found).transpose(0, 1))

    def predict_density(self, X: Any, y: Any) -> Float[np.ndarray, "rows values"]:
        """Compute the density of one target at some values, the same for all rows or its own for each.

        Args:
            X: As in :meth:`predict`.
            y: Values, (values,) or (rows, values).

        Returns:
            Densities per unit of y; of whole numbers, probabilities.

        Raises:
            ArgumentError: There are several targets: see :meth:`log_likelihood`.
            ShapeError: The values fit no row, or one is NaN.
        """
        x, values = self._grid(X, y, "predict_density")
        return self._law.log_likelihood_each(x, values).exp().numpy()

    def predict_cdf(self, X: Any, y: Any) -> Float[np.ndarray, "rows values"]:
        """Compute P(Y <= y | x) of one target, exactly; arguments as in :meth:`predict_density`."""
        x, values = self._grid(X, y, "predict_cdf")
        return self._law.cdf(x, values).numpy()

    def predict_interval(self, X: Any, *, coverage: float = 0.9) -> Float[np.ndarray, "rows ends *targets"]:
        """Predict intervals that hold the target with a given chance; of several targets, all at once.

        After :meth:`calibrate`, or with ``calibration`` above 0, that chance holds for fresh exchangeable rows whatever
        was learned; else it is what the law itself says.

        Args:
            X: As in :meth:`predict`.
            coverage: In (0, 1).

        Returns:
            Lower and upper ends, (rows, 2) or (rows, 2, targets); infinite where too few rows calibrate.

        Raises:
            ArgumentError: ``coverage`` lies outside of (0, 1).
        """
        check_coverage(coverage)
        law = self._law
        found = intervals(law.regression, self._read(X), coverage, conformal=self.conformal_, draws=self.draws)
        return law.shaped(law.rounded(torch.from_numpy(found)))

    def sample(self, X: Any, n_samples: int = 1, *, random_state: Any = None) -> Float[np.ndarray, "rows n *targets"]:
        """Draw targets for each row.

        Args:
            X: As in :meth:`predict`.
            n_samples: How many for each.
            random_state: A seed, a random generator of numpy, or ``None`` for others each time.

        Returns:
            (rows, n_samples) or (rows, n_samples, targets).
        """
        generator = make_generator(seed_from(random_state, "sample"))
        found = self._law.regression.sample(n_samples, self._read(X), generator=generator)
        return self._law.shaped(self._law.rounded(found))

    def log_likelihood(self, X: Any, y: Any) -> Float[np.ndarray, " rows"]:
        """Compute the log-likelihood of each row's target, in nats per unit of y.

        Of whole numbers it is the logarithm of their probability.
        """
        return self._law.log_likelihood(*self._pair(X, y)).numpy()

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the mean log-likelihood (not R squared), in nats; larger is better."""
        each = self.log_likelihood(X, y)
        return float(np.average(each, weights=checked_weights(sample_weight, each)))

    def pit(self, X: Any, y: Any, *, random_state: Any = 0) -> Float[np.ndarray, " rows"]:
        """Compute F(y | x) of one target: uniform on [0, 1] if the law is right, see ``metrics.pit_distance``.

        Whole numbers get a place in their cell at random.
        """
        x, values = self._pair(X, y)
        return self._law.regression.cdf(self._in_cells(values, random_state), x)[:, 0].numpy()

    def crps(self, X: Any, y: Any) -> Float[np.ndarray, "rows *targets"]:
        """Compute the continuous ranked probability score of each row and target, in units of y; smaller is better."""
        x, values = self._pair(X, y)
        law = self._law
        one = law.regression.targets == 1
        points = law.points(x).unsqueeze(-1) if one else law.regression.draws_alike(self.draws, x)
        columns = [crps(points[..., i].numpy(), values[:, i].numpy()) for i in range(values.shape[1])]
        return law.shaped(np.stack(columns, 1))

    def as_model(self, *, quantile: float | None = None, kind: str = "mean", target: int = 0) -> AdaptedModel:
        """Give one number of the law as a regressor that a counterfactual question can be asked of.

        "What must change so that the 90% quantile falls under 10?" is
        ``CounterfactualExplainer(law.as_model(quantile=0.9), schema=law.schema_)`` with ``desired=(None, 10)``.

        Args:
            quantile: A level in (0, 1); ``None`` for ``kind``.
            kind: ``"mean"``, ``"median"`` or ``"mode"``.
            target: Which target, if there are several.

        Returns:
            The adapted model; with nets it is differentiable in the numbers of the table.

        Raises:
            ArgumentError: The level, the kind or the target does not exist.
        """
        check_is_fitted(self, "law_")
        return as_adapted_model(self.law_, Summary(quantile, kind, target, self.draws))

    @property
    def _law(self) -> TableLaw:
        check_is_fitted(self, "law_")
        return self.law_

    def _read(self, X: Any) -> torch.Tensor:
        law = self._law
        X = checked_table(self, X, reset=False, missing=True, strict=self.schema is None)
        return law.rows.read(X)

    def _pair(self, X: Any, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._read(X)
        return x, self._law.targets(y, len(x))

    def _grid(self, X: Any, y: Any, asked: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._read(X)
        if self._law.regression.targets > 1:
            raise ArgumentError(f"{asked} must be asked of one target, and there are several. See log_likelihood.")
        values = torch.from_numpy(np.array(y, dtype=np.float64, ndmin=1))
        if values.dim() > 2 or (values.dim() == 2 and len(values) not in (1, len(x))) or bool(values.isnan().any()):
            raise ShapeError(
                f"y must be values (values,) for all rows or (rows, values) with as many rows as X ({len(x)}), none of "
                f"them NaN, got shape {tuple(values.shape)}."
            )
        return x, values.expand(len(x), values.shape[-1]).contiguous()

    def _conformal(self, x: torch.Tensor, y: torch.Tensor) -> Conformal:
        return Conformal(conformal_scores(self._law.regression, x, self._in_cells(y, 0), draws=self.draws))

    def _in_cells(self, y: torch.Tensor, random_state: Any) -> torch.Tensor:
        """Whole numbers at a random place of their cells; other targets as they are."""
        if not any(self._law.whole):
            return y
        generator = make_generator(seed_from(random_state, "cells"))
        noise = torch.rand(y.shape, dtype=y.dtype, generator=generator) - 0.5
        return torch.where(torch.tensor(self._law.whole), y + noise, y)


def _checked_levels(quantiles: Any) -> torch.Tensor:
    try:
        levels = np.array(quantiles, dtype=np.float64, ndmin=1)
    except (ValueError, TypeError):
        levels = np.array([np.nan])
    if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
        raise ArgumentError(f"quantiles must be numbers in (0, 1), got {quantiles!r}. The median is 0.5.")
    return torch.from_numpy(levels)

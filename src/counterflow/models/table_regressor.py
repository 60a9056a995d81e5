"""A regressor of our own for those who bring none: ridge regression on a table of mixed columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import DataError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.fingerprints import fingerprint
from counterflow.models.setting import Setting
from counterflow.models.table_linear import LinearTableModel, design
from counterflow.tables.schema import Schema

__all__ = ["TableRegressor", "adapt_table_regressor"]


class TableRegressor(LinearTableModel):
    r"""Ridge regression on standardized numbers, categories and special codes.

    .. math:: f(x) = b + w^\top \phi(x), \qquad
        (b, w) = \arg\min \sum_i (y_i - b - w^\top \phi(x_i))^2 + \lambda \|w\|^2

    The features are those of :class:`~counterflow.models.TableClassifier`. It is plain data: weights and a schema.

    Args:
        schema: The columns.
        tensors: ``center``, ``scale``, ``weight`` and ``bias``, as :meth:`fit` finds them.

    Example:
        >>> from counterflow.tables import Column
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = TableRegressor.fit(Schema((Column("x0"),)), x, [1.0, 3.0, 5.0, 7.0], penalty=1e-9)
        >>> model.predict(np.array([[4.0]])).round(6).tolist()
        [9.0]
    """

    @classmethod
    def fit(cls, schema: Schema, frame: Any, values: Any, *, penalty: float = 1.0) -> "TableRegressor":
        """Fit by penalized least squares (scikit-learn's ``Ridge``); the bias is not penalized.

        Args:
            schema: The columns.
            frame: Training rows.
            values: The numbers to predict: a list, an array or a column of a frame.
            penalty: The weight of the quadratic penalty, scikit-learn's ``alpha``.

        Returns:
            The fitted regressor.

        Raises:
            DataError: A value is no finite number, or the frame does not fit the schema.
        """
        from sklearn.linear_model import Ridge

        targets = _finite(values)
        features, units = design(schema, frame)
        found = Ridge(alpha=penalty, solver="cholesky").fit(features, targets)
        weight, bias = torch.from_numpy(found.coef_)[None], torch.tensor([found.intercept_], dtype=torch.float64)
        return cls(schema, {**units, "weight": weight, "bias": bias})

    def predict(self, frame: Any) -> Float[np.ndarray, " rows"]:
        """The value of each row."""
        return self.scores_of_frame(frame)[:, 0].numpy()

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""
        return {"schema": self.schema.to_dict()}, dict(self.tensors)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "TableRegressor":
        """Build it again from what :meth:`to_parts` gave."""
        return cls(Schema.from_dict(config["schema"]), tensors)


def adapt_table_regressor(model: TableRegressor, setting: Setting) -> AdaptedModel:
    """Adapt our own regressor: it is a formula already."""
    return AdaptedModel(
        name="the ridge regression that counterflow fitted",
        fingerprint=fingerprint(*model.to_parts()),
        classes=None,
        predict=model.predict,
        formula=model.scores,
    )


def _finite(values: Any) -> Float[np.ndarray, " rows"]:
    """The values as numbers."""
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"a regressor needs numbers to predict: {error}. Check the target.") from error
    if not np.isfinite(numbers).all():
        raise DataError("a regressor needs finite numbers to predict, got missing or infinite ones. Leave them out.")
    return numbers

"""A classifier of our own for those who bring none: logistic regression on a table of mixed columns."""

from collections.abc import Mapping, Sequence
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

__all__ = ["TableClassifier", "adapt_table_classifier"]


class TableClassifier(LinearTableModel):
    r"""Multinomial logistic regression on standardized numbers, categories and special codes.

    .. math:: p(k \mid x) \propto \exp(b_k + w_k^\top \phi(x))

    A number enters standardized; at a special code it enters as its mean, and the code has a weight of its own, so that
    -9 is not read as "nine less than nothing". A category has a weight each. It is plain data: weights and a schema.

    Args:
        schema: The columns.
        classes: The labels.
        tensors: ``center``, ``scale``, ``weight`` and ``bias``, as :meth:`fit` finds them.

    Example:
        >>> from counterflow.tables import Column
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = TableClassifier.fit(Schema((Column("x0"),)), x, ["no", "no", "yes", "yes"])
        >>> model.predict(np.array([[-1.0], [4.0]])).tolist()
        ['no', 'yes']
    """

    def __init__(self, schema: Schema, classes: Sequence[Any], tensors: Mapping[str, Tensor]) -> None:
        super().__init__(schema, tensors)
        self.classes = tuple(classes)

    @classmethod
    def fit(cls, schema: Schema, frame: Any, labels: Any, *, strength: float = 1.0) -> "TableClassifier":
        """Fit by penalized maximum likelihood (scikit-learn's L-BFGS).

        Args:
            schema: The columns.
            frame: Training rows.
            labels: Their classes: a list, an array or a column of a frame.
            strength: The inverse of the quadratic penalty, scikit-learn's ``C``.

        Returns:
            The fitted classifier.

        Raises:
            DataError: The labels hold one class only, or the frame does not fit the schema.
        """
        from sklearn.linear_model import LogisticRegression

        labels = _plain_labels(labels)
        known = sorted(set(labels), key=lambda label: (str(type(label)), label))
        if len(known) < 2:
            raise DataError(
                f"a classifier needs rows of two classes at least, got only {known[0]!r}. Check the target."
            )
        features, units = design(schema, frame)
        positions = {label: place for place, label in enumerate(known)}
        codes = np.array([positions[label] for label in labels])
        found = LogisticRegression(C=strength, max_iter=2000, tol=1e-6).fit(features, codes)
        weight, bias = torch.from_numpy(found.coef_), torch.from_numpy(found.intercept_)
        if len(known) == 2:
            weight, bias = torch.cat((-weight, weight)) / 2, torch.cat((-bias, bias)) / 2
        return cls(schema, known, {**units, "weight": weight, "bias": bias})

    def logits(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows classes"]:
        """Unnormalized log-probabilities of rows in the codec's form."""
        return self.scores(numbers)

    def predict_proba(self, frame: Any) -> Float[np.ndarray, "rows classes"]:
        """The probability of each class."""
        return self.scores_of_frame(frame).softmax(1).numpy()

    def predict(self, frame: Any) -> np.ndarray:
        """The most probable class of each row."""
        labels = np.empty(len(self.classes), dtype=object)
        labels[:] = self.classes
        return labels[self.predict_proba(frame).argmax(1)]

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""
        return {"schema": self.schema.to_dict(), "classes": list(self.classes)}, dict(self.tensors)

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "TableClassifier":
        """Build it again from what :meth:`to_parts` gave."""
        return cls(Schema.from_dict(config["schema"]), config["classes"], tensors)


def adapt_table_classifier(model: TableClassifier, setting: Setting) -> AdaptedModel:
    """Adapt our own classifier: it is a formula already."""
    return AdaptedModel(
        name="the logistic regression that counterflow fitted",
        fingerprint=fingerprint(*model.to_parts()),
        classes=model.classes,
        predict=model.predict,
        judge=model.predict_proba,
        formula=model.logits,
    )


def _plain_labels(labels: Any) -> list[Any]:
    """Labels of any kind as plain values, which a saved folder can hold."""
    values = labels.to_list() if hasattr(labels, "to_list") else labels
    return [value.item() if isinstance(value, np.generic) else value for value in values]

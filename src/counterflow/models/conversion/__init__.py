"""Exact conversion of fitted scikit-learn models to torch modules in float64.

A converter takes a fitted step and the :class:`Columns` so far, and gives the columns after it. Everything affine is
fused into one matrix product (plus table lookups for categories); what is not affine becomes a stage of its own.
Whatever has no exact converter raises :class:`NotConvertible` with a sentence that names the step: nothing is
approximated.
"""

from counterflow.models.conversion.columns import Columns, NotConvertible
from counterflow.models.conversion.registry import convert_estimator, convert_transformer

__all__ = ["Columns", "NotConvertible", "convert_estimator", "convert_transformer"]

"""The one room that adapts users' models: scikit-learn's are converted exactly, torch networks are borrowed.

Boosters, ONNX files and functions are asked as they are. :func:`adapt` gives an :class:`AdaptedModel`, whatever came;
:func:`wrap` says of a model what it answers where it does not say so itself; :func:`distill` trains a differentiable
stand-in for a model that has no formula.
"""

from counterflow.models.adapted import AdaptedModel
from counterflow.models.adapting import adapt
from counterflow.models.agreement import StandInReport
from counterflow.models.borrowing import Loan
from counterflow.models.files import MODEL_FILES, check_whole, read_model
from counterflow.models.fingerprints import fingerprint
from counterflow.models.onnx_network import OnnxNetwork, read_network
from counterflow.models.own import own_parts, restore_own
from counterflow.models.stand_in import distill, restore_stand_in, stand_in_parts
from counterflow.models.table_classifier import TableClassifier
from counterflow.models.table_regressor import TableRegressor
from counterflow.models.wrapping import WrappedModel, wrap

__all__ = [
    "MODEL_FILES",
    "check_whole",
    "AdaptedModel",
    "Loan",
    "OnnxNetwork",
    "StandInReport",
    "TableClassifier",
    "TableRegressor",
    "WrappedModel",
    "adapt",
    "distill",
    "fingerprint",
    "own_parts",
    "read_model",
    "read_network",
    "restore_own",
    "restore_stand_in",
    "stand_in_parts",
    "wrap",
]

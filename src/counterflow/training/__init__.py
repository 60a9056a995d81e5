"""Training: one loop for everything that learns, and maximum likelihood for flows on it."""

from counterflow.core.assignment import optimal_assignment
from counterflow.training._fit import fit
from counterflow.training._optimise import optimise
from counterflow.training.batches import Augment, Batch, TensorBatches
from counterflow.training.flow_matching import flow_matching_loss
from counterflow.training.likelihood import negative_log_likelihood
from counterflow.training.progress import JsonLinesLog, Logger
from counterflow.training.report import EpochRecord, FitReport
from counterflow.training.settings import TrainingSettings
from counterflow.training.step import TrainingStep

__all__ = [
    "Augment",
    "Batch",
    "EpochRecord",
    "FitReport",
    "JsonLinesLog",
    "Logger",
    "TensorBatches",
    "TrainingSettings",
    "TrainingStep",
    "fit",
    "flow_matching_loss",
    "negative_log_likelihood",
    "optimal_assignment",
    "optimise",
]

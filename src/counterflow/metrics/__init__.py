"""Metrics of counterfactual answers: pure functions on plain arrays, each defined in its docstring.

:func:`evaluate` gathers them; the share of answers that convince an independent witness stands first. Beside them are
metrics of samples, of clouds of points (:func:`cloud_distances`, :func:`nearest_neighbor_accuracy`), and of forecasts
of places and paths (:func:`final_displacement_error`, :func:`hit_rate`).
"""

from counterflow.metrics.bits import bits_per_dimension
from counterflow.metrics.changes import changed_features, sparsity
from counterflow.metrics.cloud_sets import (
    NeighborAccuracy,
    matching_coverage,
    minimum_matching_distance,
    nearest_neighbor_accuracy,
    occupancy_divergence,
)
from counterflow.metrics.clouds import chamfer_distance, cloud_distances, earth_mover_distance
from counterflow.metrics.conformal import (
    conformal_pvalue,
    conformal_threshold,
    is_informative_witness,
    permutation_rejection,
    permute_one_column,
)
from counterflow.metrics.evaluation import Metrics, evaluate
from counterflow.metrics.faithfulness import langevin_samples, unfaithfulness
from counterflow.metrics.futures import (
    average_displacement_error,
    energy_distance,
    final_displacement_error,
    hit_rate,
    mode_coverage,
)
from counterflow.metrics.image_changes import (
    changed_pixels,
    gini_index,
    hoyer_sparsity,
    roughness,
    total_variation,
)
from counterflow.metrics.intervals import Interval, bootstrap_interval, paired_difference, wilson_interval
from counterflow.metrics.modes import Modes, mean_shift_modes
from counterflow.metrics.neighbors import nearest_neighbors, neighbor_target_share
from counterflow.metrics.outliers import isolation_forest_scores, lof_scores
from counterflow.metrics.predictive import crps, interval_coverage, pinball_loss, pit_distance
from counterflow.metrics.proximity import (
    gower_distance,
    l1_distance,
    l2_distance,
    lp_distance,
    mad_distance,
    mad_scale,
    mixed_distance,
    range_scale,
    standard_scale,
)
from counterflow.metrics.shares import (
    actionability,
    coverage,
    interval_validity,
    plausible_share,
    pool_validity,
    target_distance,
    validity,
    witness_share,
)
from counterflow.metrics.spread import diversity
from counterflow.metrics.stacked_classifier import ClassifierSettings, StackedClassifier, fit_stack
from counterflow.metrics.two_samples import c2st, cross_validation_folds

__all__ = [
    "ClassifierSettings",
    "Interval",
    "Metrics",
    "Modes",
    "NeighborAccuracy",
    "StackedClassifier",
    "actionability",
    "average_displacement_error",
    "bits_per_dimension",
    "bootstrap_interval",
    "c2st",
    "chamfer_distance",
    "changed_features",
    "changed_pixels",
    "cloud_distances",
    "conformal_pvalue",
    "conformal_threshold",
    "coverage",
    "crps",
    "interval_coverage",
    "pinball_loss",
    "pit_distance",
    "cross_validation_folds",
    "diversity",
    "earth_mover_distance",
    "energy_distance",
    "evaluate",
    "final_displacement_error",
    "fit_stack",
    "gini_index",
    "gower_distance",
    "hit_rate",
    "hoyer_sparsity",
    "interval_validity",
    "is_informative_witness",
    "isolation_forest_scores",
    "l1_distance",
    "l2_distance",
    "langevin_samples",
    "lof_scores",
    "lp_distance",
    "mad_distance",
    "mad_scale",
    "matching_coverage",
    "mean_shift_modes",
    "minimum_matching_distance",
    "mixed_distance",
    "mode_coverage",
    "nearest_neighbor_accuracy",
    "nearest_neighbors",
    "neighbor_target_share",
    "occupancy_divergence",
    "paired_difference",
    "permutation_rejection",
    "permute_one_column",
    "plausible_share",
    "pool_validity",
    "range_scale",
    "roughness",
    "sparsity",
    "standard_scale",
    "target_distance",
    "total_variation",
    "unfaithfulness",
    "validity",
    "wilson_interval",
    "witness_share",
]

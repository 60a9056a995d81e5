"""The geometry behind diffeomorphic counterfactuals: the metric of a flow, its spectrum, tangent spaces and paths."""

from counterflow.geometry.ascent import ascent_gap, latent_step, metric_step
from counterflow.geometry.jacobians import data_jacobian, jacobian
from counterflow.geometry.metric import induced_metric, inverse_metric, raise_gradient
from counterflow.geometry.neighbors import neighbor_dimension, pooled_dimension
from counterflow.geometry.paths import latent_distance, latent_line
from counterflow.geometry.spectrum import jacobian_singular_values, local_dimension, tangent_space

__all__ = [
    "ascent_gap",
    "data_jacobian",
    "induced_metric",
    "inverse_metric",
    "jacobian",
    "jacobian_singular_values",
    "latent_distance",
    "latent_line",
    "latent_step",
    "local_dimension",
    "metric_step",
    "neighbor_dimension",
    "pooled_dimension",
    "raise_gradient",
    "tangent_space",
]

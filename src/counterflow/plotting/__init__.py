"""Pictures and reports of records: what was asked, what was answered, and how plausible the answers are.

Every function that draws takes ``ax=`` and returns the axes, shows nothing by itself, and leaves matplotlib's settings
as they were. Importing this room without matplotlib is a :class:`~counterflow.core.errors.MissingExtra`.
"""

from counterflow.plotting import _door  # noqa: F401  (first: it says what to install if matplotlib is missing)
from counterflow.plotting._ascent import plot_ascent, plot_ascent_path
from counterflow.plotting._audit import plot_audit
from counterflow.plotting._audit_report import audit_report
from counterflow.plotting._changes import plot_changes
from counterflow.plotting._clouds import plot_clouds, plot_interpolation
from counterflow.plotting._coverage import plot_coverage
from counterflow.plotting._density import plot_density
from counterflow.plotting._density_map import plot_density_map
from counterflow.plotting._flow_density import plot_flow_density
from counterflow.plotting._history import plot_history
from counterflow.plotting._images import plot_images, plot_tangents
from counterflow.plotting._layers import plot_layers
from counterflow.plotting._layers_slider import layers_slider
from counterflow.plotting._map import plot_map
from counterflow.plotting._pairs import plot_pairs
from counterflow.plotting._path import plot_path
from counterflow.plotting._plot import plot
from counterflow.plotting._predictions import plot_pit, plot_predictions
from counterflow.plotting._predictive import plot_predictive, plot_predictive_check
from counterflow.plotting._ranks import plot_ranks
from counterflow.plotting._report import report
from counterflow.plotting._spectrum import plot_spectrum

__all__ = [
    "audit_report",
    "layers_slider",
    "plot",
    "plot_ascent",
    "plot_ascent_path",
    "plot_audit",
    "plot_changes",
    "plot_clouds",
    "plot_coverage",
    "plot_density",
    "plot_density_map",
    "plot_flow_density",
    "plot_history",
    "plot_images",
    "plot_interpolation",
    "plot_layers",
    "plot_map",
    "plot_pairs",
    "plot_path",
    "plot_pit",
    "plot_predictions",
    "plot_predictive",
    "plot_predictive_check",
    "plot_ranks",
    "plot_spectrum",
    "plot_tangents",
    "report",
]

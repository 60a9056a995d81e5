"""Pictures and reports of records: what was asked, what was answered, and how plausible the answers are.

Every function that draws takes ``ax=`` and returns the axes, shows nothing by itself, and leaves matplotlib's settings
as they were. Importing this room without matplotlib is a :class:`~counterflow.core.errors.MissingExtra`.
"""

from counterflow.plotting import _door  # noqa: F401  (first: it says what to install if matplotlib is missing)
from counterflow.plotting._audit import plot_audit
from counterflow.plotting._audit_report import audit_report
from counterflow.plotting._changes import plot_changes
from counterflow.plotting._density import plot_density
from counterflow.plotting._flow_density import plot_flow_density
from counterflow.plotting._history import plot_history
from counterflow.plotting._map import plot_map
from counterflow.plotting._path import plot_path
from counterflow.plotting._plot import plot
from counterflow.plotting._report import report

__all__ = [
    "audit_report",
    "plot",
    "plot_audit",
    "plot_changes",
    "plot_density",
    "plot_flow_density",
    "plot_history",
    "plot_map",
    "plot_path",
    "report",
]

"""The one place that finds out whether matplotlib is there."""

from importlib.util import find_spec

from counterflow.core.errors import MissingExtra

__all__ = ["require_matplotlib"]


def require_matplotlib() -> None:
    """Say what is missing, and how to get it.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingExtra("plots", "matplotlib", "plots")


require_matplotlib()

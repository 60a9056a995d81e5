"""What the figures were taken on."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["cores", "describe_machine", "today"]

PACKAGES = ("counterflow", "torch", "numpy", "scikit-learn")
"""Contestants tell their own versions."""


def today() -> str:
    """The date in UTC, as in file names."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def describe_machine(*, threads: int) -> dict[str, Any]:
    """Versions, processor, cores, threads, and how busy the machine was before anything began.

    Args:
        threads: How many threads each contestant may use.
    """
    return {
        "processor": _processor(),
        "cores": cores(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """The model of the processor, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.exists():
        lines = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if lines:
            return lines[0]
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

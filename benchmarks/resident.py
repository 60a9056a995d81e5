"""How much memory this process holds, as the system counts it."""

import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["measure_memory", "resident_mb"]

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def resident_mb() -> float:
    """The megabytes (of 10^6 bytes) that are resident now; where the system does not tell, the most there ever were."""
    return _field("VmRSS") if STATUS.exists() else _most_ever()


def measure_memory(call: Callable[[], object], *, before: float) -> dict[str, float]:
    """How much memory a call needs.

    Args:
        call: What to run, once.
        before: The resident megabytes before anything was built.

    Returns:
        Megabytes: ``rest_mb`` between calls and ``peak_mb`` within one, both above ``before``, and the difference
        ``call_mb``.
    """
    gc.collect()
    _give_back()
    rest = resident_mb()
    _forget_peak()
    call()
    peak = max(_peak_mb(), rest)
    figures = {"rest_mb": rest - before, "peak_mb": peak - before, "call_mb": peak - rest}
    return {name: round(value, 1) for name, value in figures.items()}


def _peak_mb() -> float:
    return _field("VmHWM") if STATUS.exists() else _most_ever()


def _forget_peak() -> None:
    """Let the system count the peak from now on, where it can."""
    if CLEAR.exists():
        CLEAR.write_text("5")


def _give_back() -> None:
    """Let the C library give back what it holds in reserve, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _field(name: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _most_ever() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6

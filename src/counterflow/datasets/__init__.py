"""Data to try things on: scikit-learn's bundled tables, a made-up loan table, and toy densities in the plane."""

from counterflow.datasets.bundled import NAMES, load
from counterflow.datasets.credit import loan
from counterflow.datasets.dataset import Dataset
from counterflow.datasets.toys import (
    TOYS,
    checkerboard,
    eight_gaussians,
    pinwheel,
    rings,
    spiral,
    two_moons,
)

__all__ = [
    "NAMES",
    "TOYS",
    "Dataset",
    "checkerboard",
    "eight_gaussians",
    "load",
    "loan",
    "pinwheel",
    "rings",
    "spiral",
    "two_moons",
]

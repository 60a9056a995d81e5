"""Data to try things on.

Tables that scikit-learn bundles and a made-up loan table; toy densities in the plane, clouds of points on shapes of
known families, and scenes at road forks with their exact law; readers of three image sets as their owners ship them, on
which papers about counterfactuals of images rest; and of a benchmark's posteriors.
"""

from counterflow.datasets.bundled import NAMES, load
from counterflow.datasets.chests import FINDINGS, chexpert
from counterflow.datasets.credit import loan
from counterflow.datasets.crowds import mall
from counterflow.datasets.dataset import Dataset
from counterflow.datasets.faces import celeba
from counterflow.datasets.forks import EXITS, Forks, forks
from counterflow.datasets.image_set import ImageSet
from counterflow.datasets.posteriors import ReferencePosterior, reference_posterior
from counterflow.datasets.shapes import SOLIDS, Ellipses, Solids, ellipses, solids
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
    "EXITS",
    "FINDINGS",
    "NAMES",
    "SOLIDS",
    "TOYS",
    "Dataset",
    "Ellipses",
    "Forks",
    "ImageSet",
    "ReferencePosterior",
    "Solids",
    "celeba",
    "checkerboard",
    "chexpert",
    "eight_gaussians",
    "ellipses",
    "forks",
    "load",
    "loan",
    "mall",
    "pinwheel",
    "reference_posterior",
    "rings",
    "solids",
    "spiral",
    "two_moons",
]

"""Invertible maps between data and latent, each giving value and log-determinant in one pass."""

from counterflow.bijections.actnorm import ActNorm
from counterflow.bijections.affine import Affine
from counterflow.bijections.autoregressive import Autoregressive
from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.bijections.chain import Chain
from counterflow.bijections.coupling import Coupling
from counterflow.bijections.elementwise import AbstractElementwise, Elementwise
from counterflow.bijections.exp import Exp
from counterflow.bijections.invert import Invert
from counterflow.bijections.linear import AbstractLinear, Linear
from counterflow.bijections.lu import LULinear
from counterflow.bijections.mixture_cdf import MixtureCDF, transport
from counterflow.bijections.normal_cdf import NormalCDF
from counterflow.bijections.orthogonal import Orthogonal
from counterflow.bijections.permutation import Permutation
from counterflow.bijections.planar import Planar
from counterflow.bijections.radial import Radial
from counterflow.bijections.sigmoid import Sigmoid
from counterflow.bijections.sylvester import Sylvester
from counterflow.bijections.transformers import AbstractTransformer, ScaleShift, Shift, Spline
from counterflow.bijections.triangular import LowerTriangular
from counterflow.bijections.verify import verify
from counterflow.bijections.whitening import Whitening

__all__ = [
    "AbstractBijection",
    "AbstractDataDependent",
    "AbstractElementwise",
    "AbstractLinear",
    "AbstractTransformer",
    "ActNorm",
    "Affine",
    "Autoregressive",
    "Chain",
    "Coupling",
    "Elementwise",
    "Exp",
    "Invert",
    "LULinear",
    "Linear",
    "LowerTriangular",
    "MixtureCDF",
    "NormalCDF",
    "Orthogonal",
    "Permutation",
    "Planar",
    "Radial",
    "ScaleShift",
    "Shift",
    "Sigmoid",
    "Spline",
    "Sylvester",
    "Whitening",
    "transport",
    "verify",
]

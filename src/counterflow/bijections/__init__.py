"""Invertible maps between data and latent, each giving value and log-determinant in one pass."""

from counterflow.bijections.absolute import AbsoluteValue
from counterflow.bijections.actnorm import ActNorm
from counterflow.bijections.affine import Affine
from counterflow.bijections.argmax import Argmax
from counterflow.bijections.autoregressive import Autoregressive
from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.bijections.bernstein import Bernstein
from counterflow.bijections.bounded import Bounded
from counterflow.bijections.chain import Chain
from counterflow.bijections.checkerboard import CheckerboardCoupling
from counterflow.bijections.circular_coupling import CircularCoupling
from counterflow.bijections.circular_spline import CircularSpline
from counterflow.bijections.clip import Clip
from counterflow.bijections.continuous import Continuous, solve_report, trajectory
from counterflow.bijections.conv_coupling import ConvCoupling
from counterflow.bijections.coupling import Coupling
from counterflow.bijections.dequantization import UniformDequantization, VariationalDequantization
from counterflow.bijections.elementwise import AbstractElementwise, Elementwise
from counterflow.bijections.exp import Exp
from counterflow.bijections.gaussianize import Gaussianize
from counterflow.bijections.given_affine import GivenAffine
from counterflow.bijections.interval import Interval
from counterflow.bijections.invert import Invert
from counterflow.bijections.linear import AbstractLinear, Linear
from counterflow.bijections.lu import LULinear
from counterflow.bijections.mixture_cdf import MixtureCDF, transport
from counterflow.bijections.monotone_integral import MonotoneIntegral
from counterflow.bijections.monotone_net import MonotoneNet
from counterflow.bijections.normal_cdf import NormalCDF
from counterflow.bijections.on_channels import OnChannels
from counterflow.bijections.on_features import OnFeatures
from counterflow.bijections.orthogonal import Orthogonal
from counterflow.bijections.permutation import Permutation
from counterflow.bijections.pixelwise import PixelWise, invertible_conv
from counterflow.bijections.planar import Planar
from counterflow.bijections.radial import Radial
from counterflow.bijections.residual import Residual
from counterflow.bijections.sigmoid import Sigmoid
from counterflow.bijections.sort import Sort
from counterflow.bijections.squeeze import Squeezed, squeeze, unsqueeze
from counterflow.bijections.sum_of_squares import SumOfSquares
from counterflow.bijections.surjection import AbstractSurjection, SideBySide
from counterflow.bijections.sylvester import Sylvester
from counterflow.bijections.transformer_autoregressive import TransformerAutoregressive
from counterflow.bijections.transformers import AbstractTransformer, ScaleShift, Shift, Spline
from counterflow.bijections.triangular import LowerTriangular
from counterflow.bijections.truncated_whitening import TruncatedWhitening
from counterflow.bijections.verify import verify
from counterflow.bijections.whitening import Whitening

__all__ = [
    "GivenAffine",
    "AbsoluteValue",
    "AbstractSurjection",
    "Argmax",
    "Clip",
    "Interval",
    "SideBySide",
    "Sort",
    "UniformDequantization",
    "VariationalDequantization",
    "AbstractBijection",
    "AbstractDataDependent",
    "AbstractElementwise",
    "AbstractLinear",
    "AbstractTransformer",
    "ActNorm",
    "Affine",
    "Autoregressive",
    "Bernstein",
    "Bounded",
    "Chain",
    "CheckerboardCoupling",
    "CircularCoupling",
    "CircularSpline",
    "Continuous",
    "ConvCoupling",
    "Coupling",
    "Elementwise",
    "Exp",
    "Gaussianize",
    "Invert",
    "LULinear",
    "Linear",
    "LowerTriangular",
    "MixtureCDF",
    "MonotoneIntegral",
    "MonotoneNet",
    "NormalCDF",
    "OnChannels",
    "OnFeatures",
    "Orthogonal",
    "Permutation",
    "PixelWise",
    "Planar",
    "Radial",
    "Residual",
    "ScaleShift",
    "Shift",
    "Sigmoid",
    "Spline",
    "Squeezed",
    "SumOfSquares",
    "Sylvester",
    "TransformerAutoregressive",
    "TruncatedWhitening",
    "Whitening",
    "invertible_conv",
    "solve_report",
    "squeeze",
    "trajectory",
    "transport",
    "unsqueeze",
    "verify",
]

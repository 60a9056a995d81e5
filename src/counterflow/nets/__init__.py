"""Conditioners: plain modules that map a point and a context to the parameters of a bijection."""

from counterflow.nets.conv import ConvNet, ResidualConvNet, make_conv, make_conv_conditioner
from counterflow.nets.divergence import bind_module
from counterflow.nets.embeddings import Embedding, EmbeddingLike, make_embedding
from counterflow.nets.film import FilmMLP
from counterflow.nets.linear import ACTIVATIONS, make_linear
from counterflow.nets.lipschitz import LipschitzMLP, spectral_bound
from counterflow.nets.masked import MaskedLinear, MaskedMLP
from counterflow.nets.mlp import MLP, Constant, make_conditioner
from counterflow.nets.observations import ObservationReader
from counterflow.nets.packed import PackedEncoder, pack
from counterflow.nets.precision import conditioners_in, run_conditioner
from counterflow.nets.pyramid import ImageDecoder, ImageEncoder
from counterflow.nets.recurrent import RecurrentEncoder
from counterflow.nets.residual import ResidualMLP
from counterflow.nets.series import SeriesEncoder
from counterflow.nets.sets import SetEncoder
from counterflow.nets.stepwise import Stepwise
from counterflow.nets.transformer import CausalTransformer
from counterflow.nets.velocity import VelocityMLP

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "CausalTransformer",
    "Constant",
    "Embedding",
    "EmbeddingLike",
    "ObservationReader",
    "RecurrentEncoder",
    "ConvNet",
    "FilmMLP",
    "ImageDecoder",
    "ImageEncoder",
    "LipschitzMLP",
    "MaskedLinear",
    "MaskedMLP",
    "PackedEncoder",
    "ResidualConvNet",
    "ResidualMLP",
    "SeriesEncoder",
    "SetEncoder",
    "VelocityMLP",
    "bind_module",
    "Stepwise",
    "conditioners_in",
    "make_embedding",
    "make_conditioner",
    "make_conv",
    "make_conv_conditioner",
    "make_linear",
    "pack",
    "run_conditioner",
    "spectral_bound",
]

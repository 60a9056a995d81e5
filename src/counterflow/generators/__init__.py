"""Generators: anything that encodes points into latents and decodes latents into points.

Flows do so exactly (:class:`FlowGenerator`), autoencoders nearly (:class:`AutoencoderGenerator`), and a decoder alone
by search (:class:`InvertedDecoder`). :func:`as_generator` takes any of them for what latent ascent needs.
"""

from counterflow.generators.autoencoder import AutoencoderGenerator
from counterflow.generators.exact import FlowGenerator, Identity
from counterflow.generators.inversion import Inversion, InversionSettings, InvertedDecoder, invert
from counterflow.generators.protocol import Generator, HasLogProb, Refines, as_generator

__all__ = [
    "AutoencoderGenerator",
    "FlowGenerator",
    "Generator",
    "HasLogProb",
    "Identity",
    "Inversion",
    "InversionSettings",
    "InvertedDecoder",
    "Refines",
    "as_generator",
    "invert",
]

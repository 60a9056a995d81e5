"""Generators: anything that encodes points into latents and decodes latents into points.

Flows do so exactly (:class:`FlowGenerator`), autoencoders nearly (:class:`AutoencoderGenerator`), and a decoder alone
by search (:class:`InvertedDecoder`). :func:`as_generator` takes any of them for what latent ascent needs. Beside flows
there are variational autoencoders (:func:`conv_vae`, :func:`fit_vae`) and adversarial networks (:func:`conv_gan`,
:func:`fit_gan`).
"""

from counterflow.generators._fit_gan import adversarial_loss, fit_gan, sliced_distance
from counterflow.generators._fit_vae import fit_vae
from counterflow.generators.autoencoder import AutoencoderGenerator
from counterflow.generators.convolutional import conv_gan, conv_vae
from counterflow.generators.exact import FlowGenerator, Identity
from counterflow.generators.gan import GAN
from counterflow.generators.inversion import Inversion, InversionSettings, InvertedDecoder, invert
from counterflow.generators.pixels import AbstractPixels, BernoulliPixels, LogisticPixels, NormalPixels
from counterflow.generators.protocol import Generator, HasLogProb, Refines, as_generator
from counterflow.generators.vae import VAE

__all__ = [
    "GAN",
    "VAE",
    "AbstractPixels",
    "AutoencoderGenerator",
    "BernoulliPixels",
    "FlowGenerator",
    "Generator",
    "HasLogProb",
    "Identity",
    "Inversion",
    "InversionSettings",
    "InvertedDecoder",
    "LogisticPixels",
    "NormalPixels",
    "Refines",
    "adversarial_loss",
    "as_generator",
    "conv_gan",
    "conv_vae",
    "fit_gan",
    "fit_vae",
    "invert",
    "sliced_distance",
]

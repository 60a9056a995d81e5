"""The latent plug-in: a conditional flow of the latents of any autoencoder, which stays as it is.

:func:`fit_latent_flow` makes a :class:`LatentFlow` of an autoencoder and of what is known of its points. It draws
points with given attributes, classifies by Bayes' rule, and changes attributes while everything else is kept.
"""

from counterflow.latent._fit import fit_latent_flow
from counterflow.latent.attributes import Attribute, Attributes, ClassAttribute, NumberAttribute
from counterflow.latent.classifying import Classification
from counterflow.latent.conditioned import ConditionedGenerator
from counterflow.latent.editing import LatentEdit, RoundTrip
from counterflow.latent.learning import learn_attributes
from counterflow.latent.model import LatentFlow

__all__ = [
    "Attribute",
    "Attributes",
    "ClassAttribute",
    "Classification",
    "ConditionedGenerator",
    "LatentEdit",
    "LatentFlow",
    "NumberAttribute",
    "RoundTrip",
    "fit_latent_flow",
    "learn_attributes",
]

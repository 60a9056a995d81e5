"""How a latent flow starts, and what it leaves in a folder."""

from pathlib import Path
from typing import Any

from torch import nn

from counterflow.bijections import Chain, Whitening
from counterflow.core.errors import PersistenceError
from counterflow.flows import Flow, from_config
from counterflow.generators import Generator
from counterflow.latent.attributes import Attributes
from counterflow.persistence import fingerprint, load_folder, save_folder

__all__ = ["load_parts", "save_parts", "whitened"]

_KIND = "latent flow"


def whitened(flow: Flow) -> Flow:
    r"""Put a whitening in front of a flow, so that it starts as the normal law whose mean is linear in the context.

    For classes that is linear discriminant analysis: one mean for each class, one covariance for all.

    Args:
        flow: The flow of a recipe.

    Returns:
        A flow that remembers the recipe of ``flow`` as its ``config``.

    Example:
        >>> from counterflow import flows
        >>> type(whitened(flows.maf(3)).bijection.parts[0]).__name__
        'Whitening'
    """
    first = Whitening(flow.features, context_features=flow.context_features)
    parts = flow.bijection.parts if isinstance(flow.bijection, Chain) else (flow.bijection,)
    return Flow(Chain([first, *parts]), flow.base, config=flow.config)


def save_parts(
    folder: str | Path, flow: Flow, *, attributes: Attributes, autoencoder: Generator, settings: dict[str, Any]
) -> None:
    """Save a flow, its attributes and the hash of its autoencoder's weights.

    Raises:
        PersistenceError: The flow was composed by hand, so that no recipe can rebuild it.
    """
    if flow.config is None:
        raise PersistenceError(
            "only a latent flow whose flow a recipe built can be saved to a folder, got one composed by hand. "
            "Save .flow.state_dict() and build the flow in code again."
        )
    config = {
        "flow": flow.config,
        "whitened": isinstance(flow.bijection, Chain) and isinstance(flow.bijection.parts[0], Whitening),
        "attributes": attributes.plain(),
        "autoencoder": _weights_hash(autoencoder),
        **settings,
    }
    save_folder(folder, _KIND, config=config, tensors=flow.state_dict())


def load_parts(folder: str | Path, autoencoder: Generator) -> tuple[Flow, Attributes, dict[str, Any]]:
    """Load what :func:`save_parts` wrote.

    Raises:
        PersistenceError: The folder is missing, damaged or of another kind, or the autoencoder has other weights.
    """
    config, tensors = load_folder(folder, _KIND)
    if config.pop("autoencoder") != _weights_hash(autoencoder):
        raise PersistenceError(
            f"'{folder}' was learned from another autoencoder: its weights have another hash. "
            "Pass the one that it was fitted with."
        )
    inner = from_config(config.pop("flow"))
    flow = whitened(inner) if config.pop("whitened") else inner
    for tensor in tensors.values():
        if tensor.is_floating_point():
            flow.to(tensor.dtype)
    flow.load_state_dict(tensors)
    attributes = Attributes.from_plain(config.pop("attributes"))
    shapes = {name: tuple(config.pop(name)) for name in ("event_shape", "latent_shape")}
    return flow.eval(), attributes, {**shapes, **config}


def _weights_hash(autoencoder: Generator) -> str | None:
    """The hash of all weights; ``None`` for functions, which have none to compare."""
    tensors = autoencoder.state_dict() if isinstance(autoencoder, nn.Module) else {}
    return fingerprint(tensors) if tensors else None

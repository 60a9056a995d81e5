"""What makes a function a recipe: its settings are written down, so that the flow can be built again."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from counterflow.core.errors import ArgumentError
from counterflow.flows.flow import Flow
from counterflow.persistence import load_folder

__all__ = ["RECIPES", "TABLE_RECIPES", "from_config", "image_recipe", "load", "recipe"]

P = ParamSpec("P")

RECIPES: dict[str, Callable[..., Flow]] = {}
"""Every recipe by its name."""

TABLE_RECIPES: dict[str, Callable[..., Flow]] = {}
"""Those whose points are rows of numbers, built as ``build(features, ...)``; the others take an image's shape."""


def recipe(build: Callable[P, Flow]) -> Callable[P, Flow]:
    """Register a function that builds a flow of rows, and write its arguments into ``flow.config``."""
    built = image_recipe(build)
    TABLE_RECIPES[build.__name__] = built
    return built


def image_recipe(build: Callable[P, Flow]) -> Callable[P, Flow]:
    """Register a function that builds a flow of images, and write its arguments into ``flow.config``."""
    signature = inspect.signature(build)

    @wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Flow:
        flow = build(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        settings = {name: _plain(value) for name, value in bound.arguments.items() if name != "generator"}
        flow.config = {"recipe": build.__name__, **settings}
        return flow

    RECIPES[build.__name__] = built
    return built


def from_config(config: dict[str, Any]) -> Flow:
    """Build a flow again from ``flow.config``; the weights are fresh.

    Raises:
        ArgumentError: If no recipe has that name.

    Example:
        >>> from counterflow import flows
        >>> config = flows.realnvp(3, layers=2).config
        >>> flows.from_config(config).config == config
        True
    """
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    name = settings.pop("recipe", None)
    if name not in RECIPES:
        raise ArgumentError(f"recipe must be one of {', '.join(sorted(RECIPES))}, got {name!r}. Choose one of them.")
    return RECIPES[name](**settings)


def load(folder: str | Path) -> Flow:
    """Load a flow that ``flow.save`` wrote: the same recipe, the same weights, bit by bit.

    Raises:
        PersistenceError: If the folder is missing, damaged, of another kind or of another version.
    """
    config, tensors = load_folder(folder, "flow")
    flow = from_config(config)
    for tensor in tensors.values():
        if tensor.is_floating_point():
            flow.to(tensor.dtype)
    flow.load_state_dict(tensors)
    return flow


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

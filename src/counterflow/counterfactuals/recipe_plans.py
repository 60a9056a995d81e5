"""Flows of the user's choice for p(x|y): any recipe of the engine, as a plan that can be saved."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from counterflow.bijections import Chain, Whitening
from counterflow.core.errors import ArgumentError
from counterflow.core.random import make_generator
from counterflow.flows import RECIPES, Flow

__all__ = ["Recipe", "RecipePlan", "plans_of"]

Recipe = Callable[..., Flow]
"""Called as ``recipe(features, context_features=k)``: a recipe of :mod:`counterflow.flows`, or a partial of one."""

_GIVEN = ("recipe", "features", "context_features")


@dataclass(frozen=True)
class RecipePlan:
    """A class-conditional flow of a recipe, which begins as the Gaussian of its data, as plain settings.

    Args:
        family: The recipe's name.
        settings: Its settings, without features and context.
        seed: Where first weights come from.
    """

    family: str
    settings: dict[str, Any]
    seed: int

    def build(self, features: int, classes: int) -> Flow:
        """The flow, with fresh weights, behind a whitening of each class."""
        recipe = RECIPES[self.family]
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in self.settings.items()}
        if "generator" in inspect.signature(recipe).parameters:
            settings["generator"] = make_generator(self.seed)
        flow = recipe(features, context_features=classes, **settings)
        return Flow(Chain([Whitening(features, context_features=classes), flow.bijection]), flow.base)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a saved folder."""
        return asdict(self)


def plans_of(density: Recipe | Sequence[Recipe], seed: int) -> tuple[RecipePlan, ...]:
    """The plans of one recipe or of several, whose lowest density counts.

    Args:
        density: The recipes; tried once each on four features and two classes.
        seed: Where first weights come from.

    Raises:
        ArgumentError: One is no recipe of a conditional flow.

    Example:
        >>> from functools import partial
        >>> from counterflow import flows
        >>> (plan,) = plans_of(partial(flows.realnvp, layers=4), seed=0)
        >>> plan.family, plan.settings["layers"], plan.build(3, 2).context_features
        ('realnvp', 4, 2)
    """
    recipes = (density,) if callable(density) else tuple(density)
    if not recipes:
        raise ArgumentError("density must name one recipe at least, got none. Leave it out for the usual flows.")
    return tuple(_plan(recipe, seed + member) for member, recipe in enumerate(recipes))


def _plan(recipe: Any, seed: int) -> RecipePlan:
    flow = recipe(4, context_features=2) if callable(recipe) and not isinstance(recipe, Flow) else None
    if not isinstance(flow, Flow) or flow.config is None or flow.context_features != 2:
        raise ArgumentError(
            "density must be a recipe of a conditional flow, such as flows.maf or partial(flows.realnvp, layers=6), or "
            f"several of them, got {recipe!r}."
        )
    settings = {name: value for name, value in flow.config.items() if name not in _GIVEN}
    return RecipePlan(flow.config["recipe"], settings, seed)

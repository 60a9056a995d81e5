"""The methods of counterfactual search by name, and their configs as plain data."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import PPCEF, DiCoFlex, Method
from counterflow.counterfactuals.baselines import GrowingSpheres, Nearest, Wachter
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["METHODS", "check_method", "config_of", "method_from_dict", "method_to_dict"]

METHODS: dict[str, Callable[..., Method]] = {
    "ppcef": PPCEF,
    "dicoflex": DiCoFlex,
    "wachter": Wachter,
    "nearest": Nearest,
    "growing_spheres": GrowingSpheres,
}
"""The methods by name. Put a class of your own here (a frozen dataclass with ``norm`` and ``find(task)``) and it can be
named, saved and loaded, and enters the laws and the benchmark."""


def method_to_dict(method: Method) -> dict[str, Any]:
    """A method's config as plain data; of an object that is not in :data:`METHODS` its type's name alone."""
    name = next((name for name, kind in METHODS.items() if type(method) is kind), type(method).__name__)
    return {"name": name, **(asdict(method) if is_dataclass(method) and not isinstance(method, type) else {})}


def method_from_dict(data: dict[str, Any]) -> Method:
    """Read what :func:`method_to_dict` gave.

    Raises:
        ArgumentError: The method is none of :data:`METHODS`.
    """
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    name = str(settings.pop("name"))
    check_method(name)
    return METHODS[name](**settings)


def check_method(method: Any) -> None:
    """Refuse what is neither the name of a method nor an object that finds answers.

    Raises:
        ArgumentError: It is not; the sentence lists the names.
    """
    if isinstance(method, str) and method not in METHODS:
        raise ArgumentError(
            f"method must be one of {listed(list(METHODS))}, got {method!r}.{did_you_mean(method, METHODS)}"
        )
    if not isinstance(method, str) and (isinstance(method, type) or not isinstance(method, Method)):
        raise ArgumentError(
            "method must be a name, a config such as PPCEF(), or an object with norm and find(task), "
            f"got {type(method).__name__}."
        )


def config_of(method: str | Method) -> Method:
    """The config that a name stands for; a config stands for itself."""
    check_method(method)
    return METHODS[method]() if isinstance(method, str) else method

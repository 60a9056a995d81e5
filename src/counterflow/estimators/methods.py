"""The methods of counterfactual search by name, and their configs as plain data."""

from dataclasses import asdict
from typing import Any

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.baselines import Wachter
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["METHODS", "MethodConfig", "check_method", "config_of", "method_from_dict", "method_to_dict"]

MethodConfig = PPCEF | Wachter

METHODS: dict[str, type[PPCEF] | type[Wachter]] = {"ppcef": PPCEF, "wachter": Wachter}
"""The methods by name; a frozen config of one may be given in its place."""


def method_to_dict(method: MethodConfig) -> dict[str, Any]:
    """A method's config as plain data."""
    name = next(name for name, kind in METHODS.items() if isinstance(method, kind))
    return {"name": name, **asdict(method)}


def method_from_dict(data: dict[str, Any]) -> MethodConfig:
    """Read what :func:`method_to_dict` gave."""
    settings = dict(data)
    return METHODS[settings.pop("name")](**settings)


def check_method(method: Any) -> None:
    """Refuse what is neither the name nor the config of a method.

    Raises:
        ArgumentError: It is not; the sentence lists the names.
    """
    if isinstance(method, str) and method not in METHODS:
        raise ArgumentError(
            f"method must be one of {listed(list(METHODS))}, got {method!r}.{did_you_mean(method, METHODS)}"
        )
    if not isinstance(method, str) and not isinstance(method, tuple(METHODS.values())):
        raise ArgumentError(f"method must be a name or a config such as PPCEF(), got {type(method).__name__}.")


def config_of(method: str | MethodConfig) -> MethodConfig:
    """The config that a name stands for; a config stands for itself."""
    check_method(method)
    return METHODS[method]() if isinstance(method, str) else method

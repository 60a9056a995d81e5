"""Plain JSON data: what may stand in a saved folder's settings."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from counterflow.core.errors import ArgumentError

__all__ = ["plain_data"]


def plain_data(data: Any, name: str = "data") -> Any:
    """Check that ``data`` survives JSON unchanged, and return it in JSON's own types.

    Args:
        data: ``None``, booleans, finite numbers (numpy's too), strings, and lists, tuples and dictionaries of these.
        name: What to call it in an error.

    Returns:
        The same with tuples as lists and numpy numbers as Python's.

    Raises:
        ArgumentError: Something in it is no plain data; the sentence says where.

    Example:
        >>> plain_data({"hidden": (64, 64), "rate": np.float64(0.5)})
        {'hidden': [64, 64], 'rate': 0.5}
    """
    match data:
        case np.generic():
            return plain_data(data.item(), name)
        case float() if not math.isfinite(data):
            raise ArgumentError(f"{name} is {data}, which JSON cannot hold: use None or put it in a tensor.")
        case None | bool() | int() | float() | str():
            return data
        case list() | tuple():
            return [plain_data(item, f"{name}[{position}]") for position, item in enumerate(data)]
        case Mapping():
            return {_checked_key(key, name): plain_data(item, f"{name}[{key!r}]") for key, item in data.items()}
    raise ArgumentError(
        f"{name} must be plain data (None, booleans, numbers, strings, lists, dictionaries), "
        f"got {type(data).__name__}: arrays belong in tensors."
    )


def _checked_key(key: object, name: str) -> str:
    if not isinstance(key, str):
        raise ArgumentError(f"{name} must have strings as keys, got {key!r} of type {type(key).__name__}.")
    return key

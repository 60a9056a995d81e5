"""One hash for settings, tables and weights, so that "the same" can be checked years later."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from counterflow.core.errors import ArgumentError

__all__ = ["fingerprint"]


def fingerprint(data: object) -> str:
    """The sha256 of plain data: equal for equal content, on every machine and in every session.

    Dictionaries count without their order. Numbers count with their type (``1`` is not ``1.0``); arrays and tensors
    with their dtype and shape, and an array equals the tensor of the same content.

    Args:
        data: ``None``, booleans, numbers, strings, bytes, numpy arrays, tensors, dataclasses, and lists, tuples and
            dictionaries (with string keys) of these.

    Returns:
        64 hexadecimal digits.

    Raises:
        ArgumentError: ``data`` holds something whose content cannot be read off.

    Example:
        >>> fingerprint({"a": 1, "b": [2.0, None]}) == fingerprint({"b": [2.0, None], "a": 1})
        True
        >>> fingerprint("apple")[:8]
        '211c10c3'
    """
    digest = hashlib.sha256()
    for piece in _pieces(data):
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()


def _pieces(data: object) -> Iterator[bytes | memoryview]:
    """The content as a stream of byte strings; each is hashed after its length, so that no two contents collide."""
    match data:
        case np.generic():
            yield from _pieces(data.item())
        case None | bool() | int() | float() | str():
            yield json.dumps(data).encode()
        case bytes():
            yield from (b"bytes", data)
        case Tensor() | np.ndarray():
            yield from _array_pieces(data)
        case Mapping():
            yield f"map {len(data)}".encode()
            for key in sorted(data, key=repr):
                yield from _pieces(key)
                yield from _pieces(data[key])
        case list() | tuple():
            yield f"list {len(data)}".encode()
            for item in data:
                yield from _pieces(item)
        case _ if dataclasses.is_dataclass(data) and not isinstance(data, type):
            yield type(data).__name__.encode()
            yield from _pieces({field.name: getattr(data, field.name) for field in dataclasses.fields(data)})
        case _:
            raise ArgumentError(
                f"A fingerprint is taken of plain data, arrays and tensors, got {type(data).__name__}: "
                "pass its settings as a dictionary and its numbers as arrays."
            )


def _array_pieces(array: Tensor | np.ndarray) -> Iterator[bytes | memoryview]:
    """Dtype, shape and little-endian bytes; arrays of objects or text are read as lists."""
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biufc":
        yield from _pieces(array.tolist())
        return
    if isinstance(array, Tensor):
        name = str(array.dtype).removeprefix("torch.")
        raw = array.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    else:
        name = array.dtype.name
        raw = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    yield f"{name} {tuple(array.shape)}".encode()
    yield raw.data

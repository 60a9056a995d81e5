"""A hash of everything that makes a model answer as it does, for the provenance of an answer."""

import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["fingerprint"]

ADDRESS = re.compile(r"( at )?(0x)?[0-9A-Fa-f]{8,}")
PLAIN = (str, int, float, complex, bool, bytes, type(None))


def fingerprint(*parts: Any) -> str:
    """The sha256 of models, networks, functions, files and plain values, stable across processes.

    Networks are known by their architecture and every tensor, scikit-learn estimators by every attribute, functions by
    their code, files (a :class:`~pathlib.Path`) by their bytes. Objects that hide their state count with their type
    and what they print.

    Args:
        parts: What to hash, in order.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> fingerprint({"weight": np.ones(2)}) == fingerprint({"weight": np.ones(2)})
        True
        >>> fingerprint(np.ones(2)) == fingerprint(np.ones(3))
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part, ()):
            digest.update(len(piece).to_bytes(8, "little"))
            digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    """The value as a stream of bytes; a value inside itself ends the walk."""
    yield type(value).__qualname__.encode()
    if id(value) in above:
        return
    inside = (*above, id(value))
    if isinstance(value, PLAIN):
        yield repr(value).encode()
    elif isinstance(value, Path):
        yield value.read_bytes()
    elif isinstance(value, bytearray | memoryview):
        yield bytes(value)
    elif isinstance(value, torch.Tensor | np.ndarray | np.generic):
        yield from _array(np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value))
    elif isinstance(value, Mapping | list | tuple):
        entries = sorted(value.items(), key=lambda item: repr(item[0])) if isinstance(value, Mapping) else value
        for entry in entries:
            yield from _pieces(entry, inside)
    elif isinstance(value, set | frozenset):
        yield repr(sorted(map(repr, value))).encode()
    else:
        yield from _object(value, inside)


def _array(array: np.ndarray) -> Iterator[bytes]:
    yield f"{array.dtype.str}{array.shape}".encode()
    if array.dtype.names:  # a record may have bytes of padding, which mean nothing
        for name in array.dtype.names:
            yield from _array(array[name])
    elif array.dtype.hasobject:
        yield repr(array.tolist()).encode()
    else:
        yield np.ascontiguousarray(array).tobytes()


def _object(value: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    if isinstance(value, nn.Module):
        yield ADDRESS.sub("", repr(value)).encode()
        yield from _pieces(dict(value.state_dict()), above)
    elif inspect.ismethod(value):
        yield value.__name__.encode()
        yield from _pieces(value.__self__, above)
    elif hasattr(value, "__code__"):
        yield from _code(value.__code__, above)
        yield from _pieces([cell.cell_contents for cell in value.__closure__ or ()], above)
        yield from _pieces([value.__defaults__, value.__kwdefaults__], above)
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}".encode()
    else:
        yield from _state(value, above)


def _code(code: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield from _code(constant, above) if hasattr(constant, "co_code") else _pieces(constant, above)


def _state(value: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    """The attributes of an object, or what it gives as its state, or what it prints."""
    generator = getattr(value, "bit_generator", None)  # numpy's generators print an address and give no state
    state = getattr(generator, "state", None)
    for name in () if state else ("get_state", "__getstate__"):  # random states, and compiled classes such as a tree
        method = getattr(value, name, None)
        if callable(method) and not isinstance(value, type):
            try:
                state = method()
                break
            except TypeError:
                continue
    state = vars(value) if state is None and hasattr(value, "__dict__") else state
    if state is None or isinstance(state, str):
        yield ADDRESS.sub("", repr(value)).encode()
    else:
        yield from _pieces(state, above)

"""Compiled functions whose surroundings never change, so that a call checks its tensors and nothing else."""

import types
from collections.abc import Callable, Collection
from typing import Any

import torch

__all__ = ["compile_alone", "unshared"]


def unshared(function: types.FunctionType) -> types.FunctionType:
    """Copy a function, its code object included.

    The compiler keeps what it made with the code object, where every closure over it finds it: without the checks that
    tell closures apart, each needs a code object of its own.

    Example:
        >>> def double(x):
        ...     return 2 * x
        >>> copy = unshared(double)
        >>> copy(3), copy.__code__ is double.__code__
        (6, False)
    """
    copy = types.FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def compile_alone(
    function: types.FunctionType, *, checked: Collection[str], options: dict[str, Any] | None = None, **settings: Any
) -> Callable[..., Any]:
    """Compile a function that reads nothing from its surroundings that may change.

    Usually every call checks all that was read when the function was compiled: hundreds of attributes of modules.
    Here a call checks the arguments that are named, or nothing at all; versions of torch that cannot leave checks out
    make them all.

    Args:
        function: A function, not a method.
        checked: The names of its tensor arguments, whose shapes and dtypes each call checks; empty to check nothing.
        options: More options of the compiler.
        **settings: More arguments of ``torch.compile``.

    Returns:
        The compiled function; the compiler works when it is called first.
    """
    options = dict(options or {})
    if hasattr(torch.compiler, "skip_all_guards_unsafe"):  # a torch that has filters of guards
        options["guard_filter_fn"] = lambda guards: _kept(guards, checked)
    return torch.compile(unshared(function), options=options, **settings)


def _kept(guards: Any, checked: Collection[str]) -> list[bool]:
    """Which checks stay; all, where a version of torch names arguments in a way that is not known here."""
    own = [guard.name.removeprefix("L['").removesuffix("']") in checked for guard in guards]
    if checked and not any(own):
        return [True] * len(own)
    return [
        kept or (bool(checked) and guard.guard_type == "SHAPE_ENV") for kept, guard in zip(own, guards, strict=True)
    ]

"""The console script: what a command ends with, and what an error looks like."""

import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence

from counterflow.cli.screen import tell
from counterflow.core.errors import CounterflowError

__all__ = ["Stopped", "main"]

WRONG_INPUT, FAULT, INTERRUPTED = 2, 3, 130

_AS_OPTIONS = {
    "missing='atom'": "--missing atom",
    "missing='drop'": "--missing drop",
    "ignore=": "--ignore",
    "immutable=": "--lock",
    "is immutable and": "is locked and",
    "increase_only": "--increase-only",
    "decrease_only": "--decrease-only",
    "named in ranges": "named in --range",
    "named in allowed": "named in --allow",
    "ranges=": "--range",
    "allowed=": "--allow",
    "method='": "--method '",
    "min_plausibility": "--min-plausibility",
    "max_changes": "--max-changes",
}
"""How a sentence of the library is said on the command line."""


class Stopped(Exception):
    """Ctrl-C, with the sentence that tells how to go on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; ``None`` takes it from ``sys.argv``.

    Returns:
        The exit code: 0 for success, 1 where ``replay`` finds other answers, 2 for wrong input, 3 for a fault of the
        program itself, 130 after Ctrl-C.

    Example:
        >>> main(["--version"])
        counterflow ...
        0
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve a busy machine
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run([word for word in given if word != "--debug"])
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, sentence = _verdict(error)
        if sentence:
            tell(f"counterflow: {sentence}")
        return code


def _run(arguments: list[str]) -> int:
    from counterflow.cli.app import app

    code = app(args=arguments, prog_name="counterflow", standalone_mode=False)
    if code == INTERRUPTED:
        tell("counterflow: interrupted.")
    return code if isinstance(code, int) else 0


def _verdict(error: Exception) -> tuple[int, str]:
    """The exit code of an error, and its one sentence."""
    if isinstance(error, Stopped):
        return INTERRUPTED, str(error)
    if type(error).__name__ == "Abort":  # what Ctrl-C becomes in some versions of typer
        return INTERRUPTED, "interrupted."
    if isinstance(error, CounterflowError):
        return WRONG_INPUT, _said_as_options(_one_line(error))
    if isinstance(error, BrokenPipeError):
        return 1, ""
    if isinstance(error, OSError):
        return WRONG_INPUT, f"'{error.filename}': {error.strerror or error}."
    if said := getattr(error, "format_message", None):  # typer's usage errors
        return WRONG_INPUT, f"{said()} Add --help to see what this command takes."
    return FAULT, (
        f"this is a fault of counterflow, not of your input: {type(error).__name__}: {_one_line(error)} "
        "(add --debug for the traceback)"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _said_as_options(sentence: str) -> str:
    sentence = re.sub(r"carry it along with schema\.with_column\([^)]*\)", "name it in --ignore", sentence)
    for python, option in _AS_OPTIONS.items():
        sentence = sentence.replace(python, option)
    return sentence


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    tell(f"Note: {' '.join(str(message).split())}")

"""What a user must say of a model that cannot say it itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn

from counterflow.core.errors import ArgumentError

__all__ = ["Output", "WrappedModel", "wrap"]

Output = Literal["logits", "probabilities", "value", "labels"]


@dataclass(frozen=True, eq=False)
class WrappedModel:
    """A network or function with what it answers; see :func:`wrap`."""

    model: Callable[..., Any]
    output: Output
    classes: tuple[Any, ...] | None = None
    encode: Any = None
    name: str | None = None


def wrap(
    model: Callable[..., Any],
    encode: Any = None,
    *,
    output: str | None = None,
    classes: Sequence[Any] | None = None,
    name: str | None = None,
) -> WrappedModel:
    """Say what a torch network or a plain function takes and answers.

    Args:
        model: A ``torch.nn.Module`` on encoded rows, or a function. Without ``encode`` a function is given the user's
            frame. The network is borrowed frozen and in evaluation mode, and given back as it came.
        encode: From a frame to what the model takes. ``None``: the columns in schema order, categories as their codes,
            as a float tensor (networks) or the frame itself (functions). A fitted scikit-learn transformer: its output;
            it is converted exactly if it can be. A ``torch.nn.Module``: called on the (n, d) numbers in schema order.
            Any other function: frame to array (the model is then a black box).
        output: ``"logits"``, ``"probabilities"``, ``"value"`` (regression), or ``"labels"`` (functions only). One
            column of logits or probabilities is that of the second of two classes.
        classes: The labels in the order of the columns; not for ``"value"``.
        name: What the model is called in sentences; by default its type.

    Returns:
        The wrapped model, to be given to an explainer.

    Raises:
        ArgumentError: If the output is not stated or contradicts the rest.

    Example:
        >>> wrap(nn.Linear(4, 1), output="logits", classes=["refuse", "approve"]).classes
        ('refuse', 'approve')
    """
    if not callable(model):
        raise ArgumentError(f"wrap needs a torch module or a function, got {type(model).__name__}.")
    if output is None or output not in get_args(Output):
        known = ", ".join(repr(one) for one in get_args(Output))
        raise ArgumentError(f"output must be stated as one of {known}, got {output!r}: what does the model answer?")
    labels = None if classes is None else tuple(classes)
    _check_classes(output, labels)
    if output == "labels" and isinstance(model, nn.Module):
        raise ArgumentError("a torch module answers numbers: state output='logits', 'probabilities' or 'value'.")
    return WrappedModel(model, output, labels, encode, name)  # type: ignore[arg-type]


def _check_classes(output: str, classes: tuple[Any, ...] | None) -> None:
    if output == "value":
        if classes is not None:
            raise ArgumentError("output='value' is regression, which has no classes. Leave classes out.")
        return
    if classes is None or len(classes) < 2:
        raise ArgumentError(
            f"output={output!r} needs classes=[...], at least two labels in the order of the model's columns, "
            f"got {classes}."
        )
    if len(set(classes)) != len(classes):
        raise ArgumentError(f"classes must differ from each other, got {list(classes)}.")

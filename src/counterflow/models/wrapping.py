"""What a user must say of a model that cannot say it itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from counterflow.core.errors import ArgumentError

__all__ = ["Output", "WrappedModel", "wrap"]

Output = Literal["logits", "probabilities", "value", "labels"]


@dataclass(frozen=True, eq=False)
class WrappedModel:
    """A model with what it answers; see :func:`wrap`. An ``output`` of ``None`` is what the model itself says."""

    model: Any
    output: Output | None
    classes: tuple[Any, ...] | None = None
    encode: Any = None
    name: str | None = None


def wrap(
    model: Any,
    encode: Any = None,
    *,
    output: str | None = None,
    classes: Sequence[Any] | None = None,
    name: str | None = None,
) -> WrappedModel:
    """Say what a model takes and answers that does not say so itself.

    Args:
        model: A ``torch.nn.Module`` on encoded rows, borrowed frozen and in evaluation mode, and given back as it came;
            a function, which without ``encode`` is given the user's frame; an ONNX session; a booster or an estimator
            whose classes are to be named; or the path of a file, see :func:`~counterflow.models.read_model`.
        encode: From a frame to what the model takes. ``None``: the columns in schema order, categories as their codes,
            as a float tensor (networks) or the frame itself (functions). A fitted scikit-learn transformer: its output;
            it is converted exactly if it can be. A ``torch.nn.Module``: called on the (n, d) numbers in schema order.
            Any other function: frame to array (the model is then a black box).
        output: ``"logits"``, ``"probabilities"``, ``"value"`` (regression), or ``"labels"`` (functions only). One
            column of logits or probabilities is that of the second of two classes. Boosters, estimators and
            classifiers in ONNX files know it, and need none.
        classes: The labels in the order of the columns; not for ``"value"``, and not needed where the model knows them.
        name: What the model is called in sentences; by default its type.

    Returns:
        The wrapped model, to be given to an explainer.

    Raises:
        ArgumentError: If the output is not stated or contradicts the rest.

    Example:
        >>> wrap(nn.Linear(4, 1), output="logits", classes=["refuse", "approve"]).classes
        ('refuse', 'approve')
    """
    if not _usable(model):
        raise ArgumentError(
            "wrap needs a torch module, a function, a booster, an estimator, an ONNX session or the path of a file, "
            f"got {type(model).__name__}."
        )
    if output not in get_args(Output) and (output is not None or callable(model)):
        known = ", ".join(repr(one) for one in get_args(Output))
        raise ArgumentError(f"output must be stated as one of {known}, got {output!r}: what does the model answer?")
    labels = None if classes is None else tuple(classes)
    _check_classes(output, labels, required=callable(model))
    if output == "labels" and isinstance(model, nn.Module):
        raise ArgumentError("a torch module answers numbers: state output='logits', 'probabilities' or 'value'.")
    return WrappedModel(model, output, labels, encode, name)  # type: ignore[arg-type]


def _usable(model: Any) -> bool:
    return callable(model) or isinstance(model, str | Path) or hasattr(model, "predict") or hasattr(model, "get_inputs")


def _check_classes(output: str | None, classes: tuple[Any, ...] | None, *, required: bool) -> None:
    if output == "value":
        if classes is not None:
            raise ArgumentError("output='value' is regression, which has no classes. Leave classes out.")
        return
    if classes is None and not required:
        return
    if classes is None or len(classes) < 2:
        raise ArgumentError(
            f"output={output!r} needs classes=[...], at least two labels in the order of the model's columns, "
            f"got {classes}."
        )
    if len(set(classes)) != len(classes):
        raise ArgumentError(f"classes must differ from each other, got {list(classes)}.")

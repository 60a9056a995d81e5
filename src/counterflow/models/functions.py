"""Plain functions on the user's frame: black boxes."""

from typing import Any

import numpy as np

from counterflow.core.errors import ModelError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.answers import ask, check_labels, check_probabilities, check_values, label_array, one_hot
from counterflow.models.fingerprints import fingerprint
from counterflow.models.setting import Setting, row_count
from counterflow.models.wrapping import WrappedModel, wrap

__all__ = ["adapt_bare_function", "adapt_function"]

WHY_NOT = "a function is code that cannot be read as a formula."


def adapt_function(wrapped: WrappedModel, setting: Setting) -> AdaptedModel:
    """Adapt a wrapped function from the user's frame to logits, probabilities, values or labels.

    Args:
        wrapped: The function and what was said of it.
        setting: The table it reads.

    Returns:
        The adapted model: a black box.

    Raises:
        ModelError: If it fails on the rows, or does not answer as was stated.
    """
    name = wrapped.name or f"the function {getattr(wrapped.model, '__name__', type(wrapped.model).__name__)}"
    predict, judge = _functions(wrapped, name)
    predict(setting.sample)
    return AdaptedModel(
        name=name,
        fingerprint=fingerprint(wrapped.model, wrapped.encode, wrapped.output, wrapped.classes),
        classes=wrapped.classes,
        predict=predict,
        judge=judge,
        probabilistic=wrapped.output != "labels",
        why_not=WHY_NOT,
    )


def _functions(wrapped: WrappedModel, name: str) -> tuple[Any, Any]:
    classes = wrapped.classes

    def answer(frame: Any) -> Any:
        return ask(name, wrapped.model, frame if wrapped.encode is None else ask(name, _encode, wrapped.encode, frame))

    if classes is None:
        return lambda frame: check_values(name, answer(frame), rows=row_count(frame)), None
    if wrapped.output == "labels":

        def decide(frame: Any) -> np.ndarray:
            return check_labels(name, answer(frame), rows=row_count(frame), classes=classes)

        return decide, lambda frame: one_hot(decide(frame), classes)
    labels = label_array(classes)

    def judge(frame: Any) -> np.ndarray:
        raw, rows = answer(frame), row_count(frame)
        raw = _softmax(name, raw, rows, len(classes)) if wrapped.output == "logits" else raw
        return check_probabilities(name, raw, rows=rows, classes=len(classes))

    return lambda frame: labels[judge(frame).argmax(axis=1)], judge


def _encode(encode: Any, frame: Any) -> Any:
    return encode.transform(frame) if hasattr(encode, "transform") else encode(frame)


def _softmax(name: str, raw: Any, rows: int, classes: int) -> np.ndarray:
    logits = np.asarray(raw.detach().cpu() if hasattr(raw, "detach") else raw, dtype=np.float64)
    if classes == 2 and logits.shape in ((rows,), (rows, 1)):
        logits = np.concatenate([np.zeros((rows, 1)), logits.reshape(rows, 1)], axis=1)
    if logits.shape != (rows, classes):
        raise ModelError(f"{name} must answer ({rows}, {classes}) logits for {rows} rows, got {logits.shape}.")
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=1, keepdims=True)


def adapt_bare_function(function: Any, setting: Setting) -> AdaptedModel:
    """Adapt a function of which nothing was said, where its answer leaves no doubt.

    Rows of numbers that sum to one are probabilities, in the order of the schema's classes; words, whole numbers and
    Booleans that are classes of the schema are labels. Anything else must be stated with :func:`wrap`.

    Args:
        function: From the user's frame to probabilities or labels.
        setting: The table it reads.

    Returns:
        The adapted model: a black box.

    Raises:
        ModelError: If its answer could mean several things.
    """
    name = f"the function {getattr(function, '__name__', type(function).__name__)}"
    raw = ask(name, function, setting.sample)
    answer = np.asarray(raw.detach().cpu() if hasattr(raw, "detach") else raw)
    classes = setting.schema.classes
    if answer.ndim == 2 and answer.shape[1] > 1 and answer.dtype.kind in "fiu":
        count = answer.shape[1]
        known = classes if len(classes) == count else tuple(range(count))
        return adapt_function(wrap(function, output="probabilities", classes=known), setting)
    if answer.ndim == 1 and answer.dtype.kind != "f" and len(classes) > 1 and set(answer.tolist()) <= set(classes):
        return adapt_function(wrap(function, output="labels", classes=classes), setting)
    if answer.ndim == 1 and answer.dtype.kind == "f" and not classes and setting.schema.target is not None:
        return adapt_function(wrap(function, output="value"), setting)
    raise ModelError(
        f"{name} answers {answer.dtype} of shape {answer.shape}, which could mean several things. Say what it is: "
        "models.wrap(function, output='probabilities' | 'logits' | 'labels' | 'value', classes=[...])."
    )

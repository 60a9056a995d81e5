"""Models of other libraries that are neither networks nor functions: boosters, ONNX sessions, and files of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from counterflow.core.errors import ModelError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.answers import ask
from counterflow.models.boosters import catboost_engine, lightgbm_engine, xgboost_engine
from counterflow.models.engine import Engine
from counterflow.models.estimators import estimator_engine
from counterflow.models.files import read_model
from counterflow.models.fingerprints import fingerprint
from counterflow.models.functions import adapt_function
from counterflow.models.onnx_engine import onnx_engine
from counterflow.models.setting import Setting
from counterflow.models.wrapping import Output, WrappedModel
from counterflow.tables.hints import listed

__all__ = ["adapt_engine", "is_engine"]

# Library, class, and what opens it; the library itself is not imported to find out.
ENGINES: tuple[tuple[str, str, Callable[[Any, Setting], Engine]], ...] = (
    ("xgboost", "Booster", xgboost_engine),
    ("lightgbm", "Booster", lightgbm_engine),
    ("catboost", "CatBoost", catboost_engine),
    ("onnxruntime", "InferenceSession", onnx_engine),
)


def is_engine(model: Any) -> bool:
    """Whether :func:`adapt_engine` takes it: a bare booster, an ONNX session, the path of a file, or one wrapped."""
    if isinstance(model, WrappedModel):
        return not callable(model.model)
    return isinstance(model, str | Path) or _opener(model) is not None


def adapt_engine(model: Any, setting: Setting) -> AdaptedModel:
    """Adapt a booster, an ONNX session, a file of one, or a wrapped estimator.

    Args:
        model: One of these, bare or wrapped.
        setting: The table it reads.

    Returns:
        The adapted model: a black box.

    Raises:
        ModelError: If it fails on the rows, or does not say what it answers or of which classes.
        MissingExtra: If it is a file, and the library that reads it is not installed.
    """
    wrapped = model if isinstance(model, WrappedModel) else WrappedModel(model, None)
    source = read_model(wrapped.model) if isinstance(wrapped.model, str | Path) else wrapped.model
    engine = (_opener(source) or estimator_engine)(source, setting)
    name = wrapped.name or engine.name
    answer = _answer(engine, wrapped.encode, name)
    output = _output(engine, wrapped.output, name)
    classes = None if output == "value" else _classes(engine, wrapped.classes, name, setting)
    adapted = adapt_function(WrappedModel(answer, output, classes, None, name), setting)
    why_not = f"{name} answers in code of its own, which cannot be read as a formula."
    return replace(adapted, fingerprint=fingerprint(engine.content, wrapped.encode, output, classes), why_not=why_not)


def _opener(model: Any) -> Callable[[Any, Setting], Engine] | None:
    library, kind = type(model).__module__.partition(".")[0], type(model).__name__
    return next((build for known, name, build in ENGINES if (library, kind) == (known, name)), None)


def _answer(engine: Engine, encode: Any, name: str) -> Callable[[Any], Any]:
    if encode is None:
        return lambda frame: engine.predict(engine.prepare(frame))
    transform = encode.transform if hasattr(encode, "transform") else encode
    return lambda frame: engine.predict(ask(name, transform, frame))


def _output(engine: Engine, stated: Output | None, name: str) -> Output:
    if engine.certain and stated not in (None, engine.output):
        raise ModelError(f"{name} answers {engine.output}, but output={stated!r} was stated. Leave output out.")
    output = stated or engine.output
    if output is None:
        raise ModelError(
            f"{name} does not say what it answers. Wrap it: models.wrap(model, output='logits' | 'probabilities' | "
            "'value', classes=[...])."
        )
    return output


def _classes(engine: Engine, stated: tuple[Any, ...] | None, name: str, setting: Setting) -> tuple[Any, ...]:
    """The classes that were stated, that the model knows, or that the target's own whole numbers are."""
    if stated is not None or engine.classes is not None:
        return stated or engine.classes or ()
    known = tuple(setting.schema.classes)
    if len(known) > 1 and all(label == place for place, label in enumerate(known)):
        return known
    hint = f" The target's classes are {listed(known)}; which is its class 0, which its class 1?" if known else ""
    raise ModelError(
        f"{name} numbers its classes and does not know what they are called. Name them in that order: "
        f"models.wrap(model, classes=[...]).{hint}"
    )

"""The model that a user names, as a file or in a module, and the explainer that a folder holds."""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from counterflow.cli.parsing import as_class, as_names
from counterflow.cli.screen import tell
from counterflow.core.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    import counterflow.estimators
    import counterflow.tables

__all__ = ["RECORD", "UsersModel", "import_model", "load_explainer", "open_model"]

RECORD = "fit.json"
"""What ``fit`` writes beside the explainer about itself."""

_CODE = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".safetensors")
_COPY = "model"


class UsersModel(NamedTuple):
    """A user's model, and what a folder must know of it to have it back.

    Args:
        model: What an explainer takes.
        spec: How it was named.
        file: The file it came from; ``None`` if it was imported.
        output: What was said that it answers.
        classes: The names that its classes were given; ``None`` if it knows them itself.
    """

    model: Any
    spec: str
    file: Path | None = None
    output: str | None = None
    classes: tuple[Any, ...] | None = None

    def keep(self, folder: Path) -> str | dict[str, Any]:
        """Put a copy of a file into a folder, and say what to record; a model of a module stays where it is."""
        from counterflow.persistence import atomic_write

        if self.file is None:
            return self.spec
        copy = atomic_write(folder / f"{_COPY}{self.file.suffix.lower()}", self.file.read_bytes())
        return {"file": copy.name, "output": self.output, "classes": self.classes and list(self.classes)}


def open_model(
    spec: str | None,
    schema: "counterflow.tables.Schema",
    *,
    frame: Any,
    output: str | None = None,
    classes: Sequence[str] | None = None,
) -> UsersModel | None:
    """Open what ``--model`` names: the file of a model, or ``module:attribute``.

    Args:
        spec: The word of the command line; ``None`` if there was none.
        schema: The columns, and the classes of the target.
        frame: Rows to try it on.
        output: What it answers, where it does not say so itself.
        classes: The names of its classes in its own order, where it does not know them.

    Returns:
        The model, ``None`` if none was named. Where it numbers its classes and no names were given, those of the target
        are taken in their order, and this is said.

    Raises:
        ArgumentError: There is no such file, a class is none of the target's, or settings do not apply.
        ModelError: It cannot be read or imported, or does not answer as was stated.
        MissingExtra: The library that reads the file is not installed.
    """
    from counterflow.models import MODEL_FILES, check_whole, wrap

    if spec is None:
        _check_unused(output, classes, "say how to read a --model, and none was given.")
        return None
    path = Path(spec)
    if path.suffix.lower() not in MODEL_FILES:
        _check_unused(output, classes, "are for files of models: wrap the model in its module with models.wrap.")
        return UsersModel(import_model(spec), spec)
    if path.is_file():
        check_whole(path)
    named = tuple(as_class(word, schema.classes) for word in as_names(classes)) or None
    if _answers(wrap(path, output=output, classes=named), schema, frame, required=named or not schema.classes):
        return UsersModel(wrap(path, output=output, classes=named), spec, path, output, named)
    counted = tuple(schema.classes)
    _answers(wrap(path, output=output, classes=counted), schema, frame, required=True)
    words = ", ".join(f"{place} is {label!r}" for place, label in enumerate(counted))
    tell(f"Note: '{spec}' numbers its classes; taken as {words}. If that is wrong, say --model-classes.")
    return UsersModel(wrap(path, output=output, classes=counted), spec, path, output, counted)


def _check_unused(output: str | None, classes: Sequence[str] | None, words: str) -> None:
    if output is not None or classes:
        raise ArgumentError(f"--model-output and --model-classes {words}")


def _answers(model: Any, schema: "counterflow.tables.Schema", frame: Any, *, required: object) -> bool:
    """Whether a model can be used as it is; a required one says why not."""
    from counterflow.models import adapt

    try:
        adapt(model, schema, like=frame)
    except ModelError:
        if required:
            raise
        return False
    return True


def import_model(spec: str) -> Any:
    """Import the model that ``module:attribute`` names; modules of the current folder are found.

    Raises:
        ArgumentError: It is a file that is not read, or does not have this form.
        ModelError: The module or its attribute does not exist, or the import fails.

    Example:
        >>> import_model("math:pi") > 3
        True
    """
    module, colon, attribute = spec.partition(":")
    if spec.lower().endswith(_CODE) or Path(spec).is_file():
        raise ArgumentError(
            f"--model {spec}: files of models are read as .onnx, .json or .ubj (XGBoost), .txt (LightGBM) and .cbm "
            "(CatBoost). Export it to ONNX, or name a fitted model as module:attribute, for example "
            "my_model:classifier for a my_model.py in the current folder."
        )
    if not colon or not module or not attribute:
        raise ArgumentError(
            f"--model must be the file of a model or module:attribute, for example my_model:classifier, got {spec!r}."
        )
    value = _module(module)
    for name in attribute.split("."):
        value = _attribute(value, name, module)
    return value


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        words = " ".join(str(error).split())
        raise ModelError(
            f"--model: importing '{name}' failed with {type(error).__name__}: {words}. Modules are looked for in "
            f"'{here}' and among the installed packages."
        ) from error


def _attribute(value: Any, name: str, module: str) -> Any:
    from counterflow.tables.hints import did_you_mean

    if not hasattr(value, name):
        hint = did_you_mean(name, dir(value))
        raise ModelError(f"--model: '{module}' has no '{name}'.{hint or ' Name the fitted model in it.'}")
    return getattr(value, name)


def load_explainer(folder: Path, spec: str | None) -> "counterflow.estimators.CounterfactualExplainer":
    """Load what ``fit`` saved, with the user's model if there is one.

    Raises:
        PersistenceError: The folder is missing, damaged or of another version.
        ArgumentError: It explains a user's model, and none was named.
    """
    from counterflow.estimators import CounterfactualExplainer

    record = _read_record(folder)
    explainer = CounterfactualExplainer.load(folder, _model_of(record.get("model"), folder, spec))
    if record.get("model_fingerprint", explainer.model_.fingerprint) != explainer.model_.fingerprint:
        tell(f"Note: {explainer.model_.name} is not the very model that '{folder}' was fitted with.")
    return explainer


def _model_of(record: Any, folder: Path, spec: str | None) -> Any:
    """The user's model of a folder, from the copy in it or as it was named anew; ``None`` if counterflow made it."""
    from counterflow.models import MODEL_FILES, wrap

    if isinstance(record, dict) and (spec is None or Path(spec).suffix.lower() in MODEL_FILES):
        path = folder / record["file"] if spec is None else Path(spec)
        return wrap(path, output=record["output"], classes=record["classes"])
    if spec is not None:
        return import_model(spec)
    if record:
        raise ArgumentError(f"'{folder}' explains a model of yours, which is not saved with it. Add --model {record}")
    return None


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}

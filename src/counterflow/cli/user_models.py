"""The model that a user names, and the explainer that a folder holds."""

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.cli.screen import tell
from counterflow.core.errors import ArgumentError, ModelError

if TYPE_CHECKING:
    import counterflow.estimators

__all__ = ["RECORD", "import_model", "load_explainer"]

RECORD = "fit.json"
"""What ``fit`` writes beside the explainer about itself."""

_FILES = (".onnx", ".json", ".ubj", ".txt", ".cbm", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".safetensors")


def import_model(spec: str) -> Any:
    """Import the model that ``module:attribute`` names; modules of the current folder are found.

    Raises:
        ArgumentError: It is a file, or does not have this form.
        ModelError: The module or its attribute does not exist, or the import fails.

    Example:
        >>> import_model("math:pi") > 3
        True
    """
    module, colon, attribute = spec.partition(":")
    if spec.lower().endswith(_FILES) or Path(spec).is_file():
        raise ArgumentError(
            f"--model {spec}: files of models cannot be read yet. Name a fitted model with predict_proba as "
            "module:attribute, for example my_model:classifier for a my_model.py in the current folder."
        )
    if not colon or not module or not attribute:
        raise ArgumentError(f"--model must be module:attribute, for example my_model:classifier, got {spec!r}.")
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
    if spec is None and record.get("model"):
        raise ArgumentError(
            f"'{folder}' explains a model of yours, which is not saved with it. Add --model {record['model']}"
        )
    explainer = CounterfactualExplainer.load(folder, None if spec is None else import_model(spec))
    if record.get("model_fingerprint", explainer.model_.fingerprint) != explainer.model_.fingerprint:
        tell(f"Note: {explainer.model_.name} is not the very model that '{folder}' was fitted with.")
    return explainer


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}

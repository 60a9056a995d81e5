"""Models from files, read by the libraries that wrote them: nothing in a file is ever run as code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from counterflow.core.errors import ArgumentError, MissingExtra, ModelError
from counterflow.tables.hints import listed

__all__ = ["MODEL_FILES", "check_whole", "read_model"]


def _xgboost(path: Path) -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingExtra(f"reading '{path}'", "xgboost", "trees") from error
    return xgboost.Booster(model_file=str(path))


def _lightgbm(path: Path) -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtra(f"reading '{path}'", "lightgbm", "trees") from error
    return lightgbm.Booster(model_file=str(path))


def _catboost(path: Path) -> Any:
    try:
        import catboost
    except ImportError as error:
        raise MissingExtra(f"reading '{path}'", "catboost", "trees") from error
    return catboost.CatBoost().load_model(str(path))


def _onnx(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(f"reading '{path}'", "onnxruntime", "onnx") from error
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


MODEL_FILES: dict[str, Callable[[Path], Any]] = {
    ".onnx": _onnx,
    ".json": _xgboost,
    ".ubj": _xgboost,
    ".txt": _lightgbm,
    ".cbm": _catboost,
}
"""What reads a file of a model, by its suffix."""


def read_model(path: str | Path) -> Any:
    """Read a model from a file.

    Args:
        path: ``.onnx`` (ONNX), ``.json`` or ``.ubj`` (XGBoost), ``.txt`` (LightGBM) or ``.cbm`` (CatBoost).

    Returns:
        The library's own object, which an explainer takes: bare if it knows its classes, else through
        :func:`~counterflow.models.wrap`.

    Raises:
        ArgumentError: There is no such file, or its suffix is none of these.
        MissingExtra: The library is not installed.
        ModelError: The library cannot read the file.

    Example:
        >>> read_model("model.pkl")
        Traceback (most recent call last):
        counterflow.core.errors.ArgumentError: 'model.pkl' is no file of a model that is read: its name must end in
        '.onnx', '.json', '.ubj', '.txt', '.cbm'. ...
    """
    path = Path(path)
    reader = MODEL_FILES.get(path.suffix.lower())
    if reader is None:
        raise ArgumentError(
            f"'{path}' is no file of a model that is read: its name must end in {listed(list(MODEL_FILES))}. Files "
            "that run code when they are opened, such as pickles, are not read: import the model, or export it to ONNX."
        )
    if not path.is_file():
        raise ArgumentError(f"there is no file '{path}'. Check the path; it is read from '{Path.cwd()}'.")
    try:
        return reader(path)
    except MissingExtra:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(f"'{path}' cannot be read as a model, with {type(error).__name__}: {words}") from error


def check_whole(path: str | Path) -> None:
    """Refuse a file that keeps a part of its model in other files, where one file is to be kept.

    Raises:
        ModelError: It is an ONNX file whose weights lie elsewhere (the package onnx must be there to look).
    """
    if Path(path).suffix.lower() != ".onnx":
        return
    try:
        import onnx
        from onnx.external_data_helper import ExternalDataInfo, uses_external_data
    except ImportError:
        return
    weights = onnx.load(str(path), load_external_data=False).graph.initializer
    if others := sorted({ExternalDataInfo(each).location for each in weights if uses_external_data(each)}):
        raise ModelError(
            f"'{path}' keeps its weights in other files ({listed(others)}), which a copy of it would lack: export it "
            "as one file, or join them with onnx.save(onnx.load(path), path)."
        )

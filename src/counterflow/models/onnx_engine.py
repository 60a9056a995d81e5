"""ONNX files through onnxruntime: one matrix of numbers, or an input for each column, and whatever they answer."""

from pathlib import Path
from typing import Any

import numpy as np

from counterflow.core.errors import ModelError
from counterflow.models.engine import Engine
from counterflow.models.setting import Setting, pick
from counterflow.models.wrapping import Output
from counterflow.tables.hints import listed
from counterflow.tables.table import Table

__all__ = ["onnx_engine"]

_NAME = "the ONNX model"
_NUMBERS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
_ANSWERS = ("tensor(float)", "tensor(double)", "tensor(float16)")


def onnx_engine(session: Any, setting: Setting) -> Engine:
    """Open an ``onnxruntime.InferenceSession``.

    Inputs named like columns get these; a single input gets the numbers in schema order, categories as their codes,
    or what ``encode`` gives. An output that maps labels to probabilities, or is named after them, says for itself what
    it is; any other must be stated.

    Raises:
        ModelError: If its inputs cannot be filled from the table.
    """
    inputs = session.get_inputs()
    columns = _columns(inputs, setting)
    answer = _answer(session.get_outputs())
    mapped = answer.type.startswith("seq(map(")

    def prepare(frame: Any) -> Any:
        if columns is None:
            return setting.codec.to_numbers(frame)
        table = Table(pick(frame, columns, _NAME))
        return {entry.name: _column(table, column, entry) for entry, column in zip(inputs, columns, strict=True)}

    def ask(rows: Any) -> Any:
        feed = rows if isinstance(rows, dict) else {inputs[0].name: _matrix(rows, inputs[0])}
        return session.run([answer.name], feed)[0]

    def predict(rows: Any) -> Any:
        return np.array([list(row.values()) for row in ask(rows)]) if mapped else ask(rows)

    classes = tuple(ask(prepare(setting.sample))[0]) if mapped else _stored_labels(session)
    output: Output | None = "probabilities" if mapped or "prob" in answer.name.lower() else None
    return Engine(_NAME, prepare, predict, _content(session), output=output, classes=classes)


def _columns(inputs: list[Any], setting: Setting) -> list[str] | None:
    """The column of each input; ``None`` if one input takes all numbers at once."""
    known = Table(setting.sample).names
    spelled = {_plain(name): name for name in known}
    if all(_plain(entry.name) in spelled for entry in inputs):
        return [spelled[_plain(entry.name)] for entry in inputs]
    if len(inputs) == 1:
        return None
    unknown = [entry.name for entry in inputs if _plain(entry.name) not in spelled]
    raise ModelError(
        f"{_NAME} has inputs that are no columns of the table: {listed(unknown)}. Name its inputs after the columns, "
        "or give it one input that takes all of them."
    )


def _plain(name: str) -> str:
    """A name as exporters write it: blanks, hyphens and dots may have become underscores."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _answer(outputs: list[Any]) -> Any:
    """The output with the most to say: maps from labels to probabilities, else probabilities, else numbers."""
    numbers = [entry for entry in outputs if entry.type in _ANSWERS]
    candidates = [
        *(entry for entry in outputs if entry.type.startswith("seq(map(")),
        *(entry for entry in numbers if "prob" in entry.name.lower()),
        *numbers,
        *outputs,
    ]
    return candidates[0]


def _column(table: Table, name: str, entry: Any) -> np.ndarray:
    """One column as the input that is named after it takes it: (n, 1), or (n,) if the input has one dimension."""
    kind = _NUMBERS.get(entry.type)
    values = np.array(table.labels(name), dtype=object) if kind is None else table.numbers(name).astype(kind)
    return values if len(entry.shape) == 1 else values[:, None]


def _matrix(rows: Any, entry: Any) -> np.ndarray:
    """Numbers as the one input takes them."""
    dense = rows.toarray() if hasattr(rows, "toarray") else rows
    matrix = np.ascontiguousarray(dense).astype(_NUMBERS.get(entry.type, np.float32))
    width = entry.shape[1] if len(entry.shape) == 2 else None
    if isinstance(width, int) and matrix.shape[1] != width:
        raise ModelError(
            f"{_NAME} takes {width} numbers a row, and got {matrix.shape[1]}. Say how a row becomes these: "
            "models.wrap(path, encode=..., output=..., classes=[...])."
        )
    return matrix


def _content(session: Any) -> Any:
    """What makes it answer as it does: the file, or the bytes that it was made from."""
    path = getattr(session, "_model_path", None)
    return Path(path) if path and Path(path).is_file() else getattr(session, "_model_bytes", None) or session


def _stored_labels(session: Any) -> tuple[Any, ...] | None:
    """The labels that a classifier of ONNX's machine-learning operators holds, if the package onnx is there to look."""
    try:
        import onnx
    except ImportError:
        return None
    content = _content(session)
    if not isinstance(content, Path | bytes):
        return None
    is_file = isinstance(content, Path)
    model = onnx.load(content, load_external_data=False) if is_file else onnx.load_from_string(content)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels") and len(attribute.strings) + len(attribute.ints) > 1:
                return tuple(label.decode() for label in attribute.strings) or tuple(attribute.ints)
    return None

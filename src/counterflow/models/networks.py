"""Wrapped torch networks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from counterflow.core.errors import ModelError
from counterflow.models.adapted import AdaptedModel
from counterflow.models.agreement import disagreement
from counterflow.models.answers import ask, check_probabilities, check_values, label_array
from counterflow.models.borrowing import Loan
from counterflow.models.conversion import NotConvertible, convert_transformer
from counterflow.models.estimators import describe, reads
from counterflow.models.fingerprints import fingerprint
from counterflow.models.formulas import NetworkFormula, network_type, table_columns
from counterflow.models.setting import Setting, pick, row_count
from counterflow.models.wrapping import WrappedModel

__all__ = ["adapt_network"]

CHUNK = 65536


def adapt_network(wrapped: WrappedModel, setting: Setting) -> AdaptedModel:
    """Adapt a wrapped ``torch.nn.Module``.

    Args:
        wrapped: The network and what was said of it.
        setting: The table it reads.

    Returns:
        The adapted model, differentiable unless its encoding is code that cannot be converted.

    Raises:
        ModelError: If it fails on the rows, or does not answer as was stated.
    """
    net: Any = wrapped.model
    name = wrapped.name or f"the network {type(net).__name__}"
    borrowed = [part for part in (net, wrapped.encode) if isinstance(part, nn.Module)]
    loan = Loan(*borrowed)
    answer = _answer(wrapped, setting, name, loan)
    predict, judge = _functions(wrapped, name, answer)
    ours = predict(setting.sample)
    formula, why_not = _formula(wrapped, setting, loan)
    if formula is not None:
        judged = None if judge is None else judge(setting.sample)
        values = ours if judge is None else None
        why_not = disagreement(formula, setting.numbers, probabilities=judged, values=values, single=True)
    return AdaptedModel(
        name=name,
        fingerprint=fingerprint(net, wrapped.encode, wrapped.output, wrapped.classes),
        classes=wrapped.classes,
        predict=predict,
        judge=judge,
        formula=None if why_not else formula,
        why_not=why_not,
        loan=loan,
    )


def _answer(wrapped: WrappedModel, setting: Setting, name: str, loan: Loan) -> Callable[[Any], Tensor]:
    """Frame to the network's raw output, by the user's own encoding."""
    net: Any = wrapped.model
    encode = _encoder(wrapped.encode, setting, name, loan)
    kind, device = network_type(net)

    def answer(frame: Any) -> Tensor:
        matrix = ask(name, encode, frame)
        with loan, torch.no_grad():
            parts = [ask(name, net, part.to(device, kind)) for part in matrix.split(CHUNK)]
        if not all(isinstance(part, Tensor) for part in parts):
            raise ModelError(f"{name} must answer a tensor, got {type(parts[0]).__name__}. Wrap the part that does.")
        return torch.cat(parts).double().cpu()

    return answer


def _encoder(encode: Any, setting: Setting, name: str, loan: Loan) -> Callable[[Any], Tensor]:
    def numbers(frame: Any) -> Tensor:
        return torch.from_numpy(setting.codec.to_numbers(frame))

    if encode is None:
        return numbers
    if isinstance(encode, nn.Module):
        kind, device = network_type(encode)

        def by_module(frame: Any) -> Tensor:
            with loan, torch.no_grad():
                return encode(numbers(frame).to(device, kind))

        return by_module
    if hasattr(encode, "transform"):
        names = ask(describe(encode), reads, encode, setting)
        return lambda frame: _matrix(encode.transform(_selected(encode, frame, names)), name)
    if callable(encode):
        return lambda frame: _matrix(encode(frame), name)
    raise ModelError(f"encode of {name} must be a fitted transformer, a torch module or a function, got {encode!r}.")


def _selected(encode: Any, frame: Any, names: list[str] | None) -> Any:
    columns = frame if names is None else pick(frame, names, describe(encode))
    nameless = getattr(encode, "feature_names_in_", None) is None
    return columns.to_numpy() if nameless and hasattr(columns, "to_numpy") else columns


def _matrix(encoded: Any, name: str) -> Tensor:
    if isinstance(encoded, Tensor):
        return encoded
    dense = encoded.toarray() if hasattr(encoded, "toarray") else encoded
    try:
        return torch.from_numpy(np.ascontiguousarray(dense, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ModelError(f"encode of {name} must give an array of numbers, got {type(encoded).__name__}.") from error


def _functions(wrapped: WrappedModel, name: str, answer: Callable[[Any], Tensor]) -> tuple[Any, Any]:
    classes = wrapped.classes
    if classes is None:
        return lambda frame: check_values(name, answer(frame), rows=row_count(frame)), None
    labels = label_array(classes)

    def judge(frame: Any) -> np.ndarray:
        raw, rows = answer(frame), row_count(frame)
        if wrapped.output == "logits":
            raw = torch.softmax(_check_logits(name, raw, rows, len(classes)), dim=-1)
        return check_probabilities(name, raw, rows=rows, classes=len(classes))

    return lambda frame: labels[judge(frame).argmax(axis=1)], judge


def _check_logits(name: str, raw: Tensor, rows: int, classes: int) -> Tensor:
    single = classes == 2 and raw.shape in ((rows,), (rows, 1))
    if not single and raw.shape != (rows, classes):
        raise ModelError(
            f"{name} must answer ({rows}, {classes}) logits for {rows} rows and {classes} classes"
            f"{' (or one column, of the second class)' if classes == 2 else ''}, got {tuple(raw.shape)}."
        )
    if not torch.isfinite(raw).all():
        row = int((~torch.isfinite(raw)).reshape(rows, -1).any(dim=1).int().argmax())
        raise ModelError(f"{name} answers NaN or infinity for row {row}. Check its scaling and its weights.")
    return _pair(raw) if single else raw


def _pair(column: Tensor) -> Tensor:
    """[0, z] of a single logit z: its softmax is the sigmoid."""
    column = column.reshape(-1, 1)
    return torch.cat([torch.zeros_like(column), column], dim=-1)


def _log_probabilities(raw: Tensor, classes: int) -> Tensor:
    """Logits of probabilities: their logarithms, away from zero so that gradients stay finite."""
    tiny = torch.finfo(torch.float32).tiny
    if classes == 2 and (raw.dim() == 1 or raw.shape[-1] == 1):
        raw = raw.reshape(-1, 1)
        raw = torch.cat([1.0 - raw, raw], dim=-1)
    return raw.clamp(min=tiny).log()


def _head(wrapped: WrappedModel) -> Callable[[Tensor], Tensor]:
    if wrapped.classes is None:
        return lambda raw: raw.reshape(-1, 1)
    count = len(wrapped.classes)
    if wrapped.output == "probabilities":
        return lambda raw: _log_probabilities(raw, count)
    return lambda raw: _pair(raw) if raw.dim() == 1 or raw.shape[-1] == 1 else raw


def _formula(wrapped: WrappedModel, setting: Setting, loan: Loan) -> tuple[NetworkFormula | None, str | None]:
    encode: Any = wrapped.encode
    net: Any = wrapped.model
    if encode is not None and not isinstance(encode, nn.Module):
        if not hasattr(encode, "transform"):
            return None, "its encoding is a function that cannot be read as a formula."
        try:
            names = reads(encode, setting)
            if names is None:
                raise NotConvertible(f"{describe(encode)} does not say which columns it reads")
            encode = convert_transformer(encode, table_columns(setting.schema, names)).module("its encoding")
        except NotConvertible as reason:
            return None, f"{reason}."
    return NetworkFormula(net, head=_head(wrapped), encode=encode, loan=loan), None

"""All metrics of a set of answers at once."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from counterflow.core.errors import ArgumentError
from counterflow.metrics import changes, outliers, proximity, shares, spread
from counterflow.metrics._arrays import Flags, Groups, Labels, Rows, check_pair, check_same_rows

__all__ = ["Metrics", "evaluate"]

Metrics: TypeAlias = dict[str, float | int | bool | str]


def evaluate(
    *,
    witness: Flags | None = None,
    witness_informative: bool | None = None,
    predicted: Labels | None = None,
    target: object = None,
    valid: Flags | None = None,
    found: Flags | None = None,
    plausible: Flags | None = None,
    kept: Flags | None = None,
    group: Groups | None = None,
    factual_count: int | None = None,
    factuals: Rows | None = None,
    counterfactuals: Rows | None = None,
    reference: Rows | None = None,
    categorical: Bool[np.ndarray, "_"] | None = None,
    scale: Float[np.ndarray, "_"] | None = None,
    tolerance: float | int | Float[np.ndarray, "_"] = 0.0,
    log_density: Float[np.ndarray, "_"] | None = None,
    log_density_space: str | None = None,
    unfaithfulness: Float[np.ndarray, "_"] | None = None,
    pool_valid: Flags | None = None,
    seconds: float | None = None,
    random_state: int = 0,
) -> Metrics:
    """Every metric that the given arrays allow, in one dictionary; the witness share stands first.

    What is not given leaves no key. All arrays are in the order of the answers. Keys, and what defines each:

    ======================================================= ========================================= =================
    key                                                     defined in                                counted among
    ======================================================= ========================================= =================
    ``witness_share``, ``witness_informative``              :func:`witness_share`                     valid answers
    ``validity``                                            :func:`validity`                          all answers
    ``plausible_share``                                     :func:`plausible_share`                   valid answers
    ``coverage``                                            :func:`coverage` (of valid answers)       all factuals
    ``actionability``                                       :func:`actionability`                     all answers
    ``sparsity``, ``changed_features``                      :func:`sparsity` (means)                  valid answers
    ``proximity_l1``, ``_l2``, ``_mad``                     continuous columns, scaled (means)        valid answers
    ``proximity_gower``, ``_mixed``                         all columns (means)                       valid answers
    ``log_density_mean``, ``_median``, ``_space``           natural logarithm                         valid answers
    ``unfaithfulness_median``, ``unfaithfulness_mean``      :func:`unfaithfulness`                    valid answers
    ``lof_median``, ``lof_mean``                            :func:`lof_scores`                        valid answers
    ``isolation_forest_median``, ``isolation_forest_mean``  :func:`isolation_forest_scores`           valid answers
    ``diversity``                                           :func:`diversity`                         valid answers
    ``pool_validity``                                       :func:`pool_validity`                     raw draws
    ``answers``, ``valid_answers``, ``seconds``             counts, and the time as given
    ======================================================= ========================================= =================

    An answer that is not valid (or not found: then its row is often the factual itself, at distance 0) never betters a
    distance. Where no answer is valid, the metrics of valid answers are ``nan``, and ``validity`` says why. The
    reference library and the paper's own code count differently; the function of each metric says how.

    Args:
        witness: (answers,), plausible to the flow that the search never saw.
        witness_informative: Whether that witness is a judge (:func:`is_informative_witness`).
        predicted: (answers,), labels the model gives; with ``target`` an alternative to ``valid``.
        target: The wished label, or (answers,) labels.
        valid: (answers,), the model answers as was wished.
        found: (answers,), there is an answer at all; ``None`` for all.
        plausible: (answers,), the log-density reaches its threshold.
        kept: (answers,), every constraint is kept.
        group: (answers,), position of the factual of each answer, from 0; ``None`` for one answer each.
        factual_count: The number of factuals; ``None`` for the largest position plus one.
        factuals: (answers, features), the row that each answer started from; categorical features as codes.
        counterfactuals: (answers, features), the answers.
        reference: (rows, features), real rows: scales and outlier scores come from them.
        categorical: (features,), features compared by equality; ``None`` for none.
        scale: (features,), the unit of L1, L2, the continuous part of the mixed distance, diversity, and the outlier
            scores' space; ``None`` for the standard deviation of ``reference``, or 1 without it.
        tolerance: The largest change that counts as none in the sparsity.
        log_density: (answers,), nats.
        log_density_space: The space that the density is in, in words ("standardized units").
        unfaithfulness: (answers,), distances to what the model itself imagines (:func:`unfaithfulness`).
        pool_valid: Raw draws that are valid, any shape.
        seconds: The time the answers took.
        random_state: The seed of the isolation forest.

    Returns:
        Plain numbers (and two words), ready for JSON except where ``nan``.

    Raises:
        ShapeError: If arrays do not fit together.
        ArgumentError: If ``predicted`` comes without ``target``, or ``counterfactuals`` without ``factuals``.

    Example:
        >>> evaluate(witness=np.array([True, False]), predicted=np.array([1, 1]), target=1, seconds=0.5)
        {'witness_share': 0.5, 'validity': 1.0, 'coverage': 1.0, 'answers': 2, 'valid_answers': 2, 'seconds': 0.5}
    """
    _check_partners(predicted, target, factuals, counterfactuals)
    flags = {"valid": _valid(predicted, target, valid), "found": found, "kept": kept}
    flags |= {"witness": witness, "plausible": plausible}
    scores = {"log_density": log_density, "unfaithfulness": unfaithfulness}
    rows = _row_count(flags, scores | {"group": group, "rows": counterfactuals})
    counted = _counted(flags, rows)
    result = _shares(flags, counted, group, factual_count, witness_informative=witness_informative)
    if factuals is not None and counterfactuals is not None:
        check_pair(factuals[counted], counterfactuals[counted])
        columns = np.zeros(factuals.shape[1], dtype=np.bool_) if categorical is None else categorical
        unit = _unit(factuals, reference, scale)
        pair = (factuals[counted], counterfactuals[counted])
        result |= _distances(*pair, reference=reference, columns=columns, unit=unit, tolerance=tolerance)
        result |= _outlier_scores(pair[1], reference, columns=columns, unit=unit, random_state=random_state)
        if group is not None:
            space = _embed(pair[1], _levels(columns, factuals, counterfactuals), unit)
            result |= _if_any({"diversity": spread.diversity(space, group[counted])})
    for name, values in scores.items():
        result |= {} if values is None else _summary(name, values[counted])
    if log_density_space is not None:
        result["log_density_space"] = log_density_space
    if pool_valid is not None:
        result["pool_validity"] = shares.pool_validity(pool_valid)
    result |= {"answers": rows, "valid_answers": int(counted.sum())}
    return result if seconds is None else result | {"seconds": float(seconds)}


def _check_partners(
    predicted: Labels | None, target: object, factuals: Rows | None, counterfactuals: Rows | None
) -> None:
    if predicted is not None and target is None:
        raise ArgumentError("predicted needs target, the label that was wished. Give target= too, or only valid=.")
    if (factuals is None) != (counterfactuals is None):
        raise ArgumentError("factuals and counterfactuals go together: give both, one row per answer, or neither.")


def _valid(predicted: Labels | None, target: object, valid: Flags | None) -> Flags | None:
    if valid is not None or predicted is None:
        return valid
    wanted = np.asarray(target)
    if wanted.ndim:
        check_same_rows("target", wanted, len(predicted))
    return np.asarray(predicted == wanted, dtype=np.bool_)


def _row_count(flags: Mapping[str, Flags | None], others: Mapping[str, np.ndarray | None]) -> int:
    given = {name: values for name, values in (flags | others).items() if values is not None}  # type: ignore[operator]
    rows = len(next(iter(given.values()))) if given else 0
    for name, values in given.items():
        check_same_rows(name, values, rows)
    return rows


def _counted(flags: Mapping[str, Flags | None], rows: int) -> Flags:
    counted = np.ones(rows, dtype=np.bool_)
    for name in ("valid", "found"):
        if (mask := flags[name]) is not None:
            counted &= mask
    return counted


def _shares(
    flags: Mapping[str, Flags | None],
    counted: Flags,
    group: Groups | None,
    factual_count: int | None,
    *,
    witness_informative: bool | None,
) -> Metrics:
    result: Metrics = {}
    if (witness := flags["witness"]) is not None:
        result["witness_share"] = shares.witness_share(witness, counted)
    if witness_informative is not None:
        result["witness_informative"] = witness_informative
    if flags["valid"] is not None:
        result["validity"] = shares.pool_validity(counted)
    if (plausible := flags["plausible"]) is not None:
        result["plausible_share"] = shares.plausible_share(plausible, counted)
    if flags["valid"] is not None or flags["found"] is not None:
        result["coverage"] = shares.coverage(counted, group, factuals=factual_count)
    if (kept := flags["kept"]) is not None:
        result["actionability"] = shares.actionability(kept)
    return result


def _unit(factuals: Rows, reference: Rows | None, scale: np.ndarray | None) -> np.ndarray:
    if scale is not None:
        return scale
    return np.ones(factuals.shape[1]) if reference is None else proximity.standard_scale(reference)


def _distances(
    factuals: Rows,
    counterfactuals: Rows,
    *,
    reference: Rows | None,
    columns: np.ndarray,
    unit: np.ndarray,
    tolerance: float | int | np.ndarray,
) -> Metrics:
    near, far, c = factuals[:, ~columns], counterfactuals[:, ~columns], ~columns
    rows = {
        "sparsity": changes.sparsity(factuals, counterfactuals, tolerance=tolerance),
        "changed_features": changes.changed_features(factuals, counterfactuals, tolerance=tolerance),
        "proximity_l1": proximity.l1_distance(near, far, scale=unit[c]),
        "proximity_l2": proximity.l2_distance(near, far, scale=unit[c]),
    }
    if reference is not None:
        mad, span = proximity.mad_scale(reference[:, c]), proximity.range_scale(reference)
        rows["proximity_mad"] = proximity.mad_distance(near, far, scale=mad)
        rows["proximity_gower"] = proximity.gower_distance(factuals, counterfactuals, scale=span, categorical=columns)
    rows["proximity_mixed"] = proximity.mixed_distance(factuals, counterfactuals, scale=unit, categorical=columns)
    return {name: _mean(values) for name, values in rows.items()}


def _outlier_scores(
    rows: Rows, reference: Rows | None, *, columns: np.ndarray, unit: np.ndarray, random_state: int
) -> Metrics:
    if reference is None:
        return {}
    levels = _levels(columns, reference, rows)
    space, real = _embed(rows, levels, unit), _embed(reference, levels, unit)
    forest = outliers.isolation_forest_scores(space, real, random_state=random_state)
    return _summary("lof", outliers.lof_scores(space, real)) | _summary("isolation_forest", forest)


def _levels(columns: np.ndarray, *tables: np.ndarray) -> list[np.ndarray | None]:
    """Per feature the codes that occur, or ``None`` where it is a number."""
    return [
        np.unique(np.concatenate([table[:, j] for table in tables])) if categorical else None
        for j, categorical in enumerate(columns)
    ]


def _embed(rows: Rows, levels: list[np.ndarray | None], unit: np.ndarray) -> Float[np.ndarray, "_ _"]:
    """Euclidean space of mixed rows: scaled numbers, and one-hot codes in which two categories are 1 apart."""
    parts = [
        rows[:, j : j + 1] / unit[j] if codes is None else (rows[:, j : j + 1] == codes) * np.sqrt(0.5)
        for j, codes in enumerate(levels)
    ]
    return np.concatenate(parts, axis=1)


def _summary(name: str, values: np.ndarray) -> Metrics:
    median = float(np.median(values)) if values.size else float("nan")
    return {f"{name}_median": median, f"{name}_mean": _mean(values)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _if_any(metrics: Metrics) -> Metrics:
    """Leave out what is not a number: here, a diversity where no factual has two answers."""
    return {name: value for name, value in metrics.items() if value == value}

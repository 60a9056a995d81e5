"""``counterflow evaluate``: judge answers again, from the folder and the model alone."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from counterflow.cli.parsing import check_file
from counterflow.cli.screen import metrics_text, show, working

if TYPE_CHECKING:
    import counterflow.cli.answers
    import counterflow.estimators

__all__ = ["evaluate"]


class Verdicts(NamedTuple):
    """What the folder and the model say of each answer."""

    already: np.ndarray
    valid: np.ndarray
    plausible: np.ndarray
    witness: np.ndarray
    kept: np.ndarray
    log_density: np.ndarray
    copied: np.ndarray


def evaluate(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow fit' saved.")],
    answers: Annotated[Path, typer.Argument(help="What 'counterflow explain' wrote.")],
    *,
    model: Annotated[str | None, typer.Option(help="The model that was fitted, module:attribute.")] = None,
    out: Annotated[Path | None, typer.Option(help="The metrics as .json.")] = None,
) -> None:
    """Recompute validity, plausibility, witness, rules and distances of answers, and compare with what they claim."""
    from counterflow.cli.answers import read_claims
    from counterflow.cli.user_models import load_explainer

    check_file(out, (".json",))
    explainer = load_explainer(folder, model)
    claims = read_claims(answers, explainer.schema_, explainer.model_)
    with working(f"Judging {len(claims.numbers):,} answers."):
        verdicts = _judge(explainer, claims)
    metrics = _metrics(explainer, claims, verdicts)
    show(metrics_text(metrics))
    show(explainer.background_.report.sentence)
    show(_comparison(claims, verdicts))
    if out is not None:
        _write(metrics, out)
        show(f"Wrote '{out}'.")


def _judge(
    explainer: "counterflow.estimators.CounterfactualExplainer", claims: "counterflow.cli.answers.Claims"
) -> Verdicts:
    """The verdicts, by the model itself, by both densities, and value by value."""
    from torch import from_numpy

    from counterflow.tables import Constraints, TableCodec, broken_rules

    schema, model, background = explainer.schema_, explainer.model_, explainer.background_
    factuals = TableCodec(schema).to_frame(claims.factuals, like=claims.frame)
    predicted = model.predict(claims.frame)
    target = from_numpy(_density_classes(explainer, claims, predicted))
    level = claims.settings["min_plausibility"]
    constraints = Constraints.from_dict(claims.settings["constraints"])
    scores = {
        name: density.log_density(from_numpy(claims.numbers), target)
        for name, density in (("search", background.search), ("witness", background.witness))
    }
    pairs = zip(claims.factuals.tolist(), claims.numbers.tolist(), strict=True)
    return Verdicts(
        already=_as_desired(model, factuals, model.predict(factuals), claims),
        valid=_as_desired(model, claims.frame, predicted, claims),
        plausible=background.search.plausibility(scores["search"], target) >= level,
        witness=background.witness.plausibility(scores["witness"], target) >= level,
        kept=np.array([not broken_rules(schema, constraints, before=old, after=new) for old, new in pairs]),
        log_density=scores["search"],
        copied=background.copies.contains(from_numpy(claims.numbers)).numpy() & _changed(claims),
    )


def _changed(claims: "counterflow.cli.answers.Claims") -> np.ndarray:
    """Which answers differ from their factuals."""
    before, after = claims.factuals, claims.numbers
    return np.asarray(((before != after) & ~(np.isnan(before) & np.isnan(after))).any(axis=1))


def _density_classes(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    claims: "counterflow.cli.answers.Claims",
    predicted: np.ndarray,
) -> np.ndarray:
    """The class under which each answer is judged: the desired one, or the bin of a regressor's value.

    A value outside the interval that was asked for counts as the interval's nearer end.
    """
    bins = explainer.background_.bins
    if bins is None:
        return np.array([explainer.model_.class_index(label) for label in claims.desired])
    low, high = _ends(claims)
    return bins.labels(np.clip(predicted, low, high))


def _ends(claims: "counterflow.cli.answers.Claims") -> tuple[np.ndarray, np.ndarray]:
    """The ends of the intervals, infinite where they are open."""
    low = [-np.inf if wish[0] is None else wish[0] for wish in claims.desired]
    high = [np.inf if wish[1] is None else wish[1] for wish in claims.desired]
    return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)


def _as_desired(model: Any, frame: Any, predicted: np.ndarray, claims: "counterflow.cli.answers.Claims") -> np.ndarray:
    """Whether the model decides as desired, or its value or its probability lies where it was asked to."""
    if model.regression:
        low, high = _ends(claims)
        return (predicted >= low) & (predicted <= high)
    interval = claims.settings["probability"]
    if interval is None:
        return np.array([label == wish for label, wish in zip(predicted.tolist(), claims.desired, strict=True)])
    places = [model.class_index(label) for label in claims.desired]
    chances = model.probabilities(frame)[np.arange(len(places)), places]
    return (chances >= interval[0]) & (chances <= interval[1])


def _metrics(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    claims: "counterflow.cli.answers.Claims",
    verdicts: Verdicts,
) -> dict[str, Any]:
    import counterflow.metrics as metrics

    asked = ~verdicts.already
    if not asked.any():
        return {"answers": 0, "valid_answers": 0}
    background = explainer.background_
    shares = {"repaired_share": claims.repaired, "copied_share": verdicts.copied}
    found = metrics.evaluate(
        witness=verdicts.witness[asked],
        witness_informative=background.report.informative,
        valid=verdicts.valid[asked],
        plausible=verdicts.plausible[asked],
        kept=verdicts.kept[asked],
        group=np.unique(claims.factual[asked], return_inverse=True)[1],
        factual_count=len(np.unique(claims.factual[asked])),
        factuals=claims.factuals[asked],
        counterfactuals=claims.numbers[asked],
        categorical=np.array([not column.numeric for column in explainer.schema_.columns]),
        scale=background.scale.numpy(),
        log_density=verdicts.log_density[asked],
        log_density_space="natural log, data units, probability in discrete columns",
    )
    return found | {name: float(flags[asked].mean()) for name, flags in shares.items()}


def _comparison(claims: "counterflow.cli.answers.Claims", verdicts: Verdicts) -> str:
    """Whether the answers claim of themselves what was found."""
    differing = {
        name: int((np.asarray(claimed) != getattr(verdicts, name)).sum()) for name, claimed in claims.flags.items()
    }
    wrong = [f"'{name}' in {count:,}" for name, count in differing.items() if count]
    if not wrong:
        return "The answers claim of themselves exactly what was found."
    return f"The answers claim something else than was found: {', '.join(wrong)} of {len(claims.numbers):,} answers."


def _write(metrics: dict[str, Any], path: Path) -> None:
    from counterflow.persistence import atomic_write

    plain = {key: None if value != value else value for key, value in metrics.items()}
    atomic_write(path, json.dumps(plain, indent=2) + "\n")

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
    claims = read_claims(answers, explainer.schema_, explainer.model_.classes or ())
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
    from torch import from_numpy, tensor

    from counterflow.tables import Constraints, TableCodec, broken_rules

    schema, model, background = explainer.schema_, explainer.model_, explainer.background_
    target = tensor([model.class_index(label) for label in claims.desired])
    level = claims.settings["min_plausibility"]
    constraints = Constraints.from_dict(claims.settings["constraints"])
    factuals = TableCodec(schema).to_frame(claims.factuals, like=claims.frame)
    scores = {
        name: density.log_density(from_numpy(claims.numbers), target)
        for name, density in (("search", background.search), ("witness", background.witness))
    }
    pairs = zip(claims.factuals.tolist(), claims.numbers.tolist(), strict=True)
    return Verdicts(
        already=_as_desired(model, factuals, claims),
        valid=_as_desired(model, claims.frame, claims),
        plausible=background.search.plausibility(scores["search"], target) >= level,
        witness=background.witness.plausibility(scores["witness"], target) >= level,
        kept=np.array([not broken_rules(schema, constraints, before=old, after=new) for old, new in pairs]),
        log_density=scores["search"],
    )


def _as_desired(model: Any, frame: Any, claims: "counterflow.cli.answers.Claims") -> np.ndarray:
    """Whether the model decides as desired, or its probability lies where it was asked to."""
    interval = claims.settings["probability"]
    if interval is None:
        decided = model.predict(frame).tolist()
        return np.array([label == wish for label, wish in zip(decided, claims.desired, strict=True)])
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
    return metrics.evaluate(
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

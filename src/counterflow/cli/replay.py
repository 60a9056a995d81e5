"""``counterflow replay``: make a saved answer again, and say what differs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from counterflow.cli.screen import show, tell, working

if TYPE_CHECKING:
    import counterflow.counterfactuals
    import counterflow.estimators

__all__ = ["replay"]

_TOLERANCE = 1e-4
_NAMES = {"model": "the model", "data": "the training data", "schema": "the schema", "labels_from": "the labels"}


def replay(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow fit' saved.")],
    answer: Annotated[Path, typer.Argument(help="What 'counterflow explain' wrote as .json.")],
    *,
    model: Annotated[str | None, typer.Option(help="The model that was fitted, module:attribute.")] = None,
) -> None:
    """Search again for a saved answer, with its rows, settings and seed; exit code 1 if it comes out otherwise."""
    from counterflow.cli.user_models import load_explainer
    from counterflow.counterfactuals import CounterfactualAnswer

    former = CounterfactualAnswer.from_json(answer)
    explainer = load_explainer(folder, model)
    _use_method(explainer, former)
    _tell_differences(explainer, former)
    with working(f"Searching again for {len(former):,} answers."):
        again = _explain_again(explainer, former)
    differing = _differing(former, again)
    if not len(differing):
        show(f"The same: all {len(former):,} answers came out as they were.")
        return
    show(f"Not the same: {len(differing):,} of {len(former):,} answers came out otherwise. The first:")
    show(_first_difference(former, again, int(differing[0])))
    raise typer.Exit(1)


def _use_method(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    former: "counterflow.counterfactuals.CounterfactualAnswer",
) -> None:
    from counterflow.estimators.methods import method_from_dict

    explainer.set_params(method=method_from_dict(former.provenance["method"]))


def _tell_differences(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    former: "counterflow.counterfactuals.CounterfactualAnswer",
) -> None:
    """Say which of the things that an answer depends on are not as they were."""
    from importlib.metadata import version

    from counterflow import __version__
    from counterflow.persistence import fingerprint

    now = {
        "model": explainer.model_.fingerprint,
        "data": explainer.data_fingerprint_,
        "schema": fingerprint(explainer.schema_.to_dict()),
        "labels_from": explainer.labels_from_,
    }
    for key, value in now.items():
        if former.provenance[key] != value:
            tell(f"Differs: {_NAMES[key]} ({former.provenance[key][:12]} then, {value[:12]} now).")
    for package, then in former.provenance["versions"].items():
        here = __version__ if package == "counterflow" else version(package)
        if here != then:
            tell(f"Differs: the version of {package} ({then} then, {here} now).")
    if former.settings["deadline"] is not None:
        tell("The answer had a deadline, so it depended on the clock; it is searched again without one.")


def _explain_again(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    former: "counterflow.counterfactuals.CounterfactualAnswer",
) -> "counterflow.counterfactuals.CounterfactualAnswer":
    from counterflow.tables import Constraints

    asked = former.settings
    _, firsts = np.unique(former.index.factual, return_index=True)
    return explainer.explain(
        former.factuals,
        [former.desired[first] for first in firsts],
        probability=None if asked["probability"] is None else tuple(asked["probability"]),
        count=asked["count"],
        constraints=Constraints.from_dict(asked["constraints"]),
        min_plausibility=asked["min_plausibility"],
        norm=asked["norm"],
        random_state=former.provenance["seed"],
        allow_training_rows=asked["allow_training_rows"],
    )


def _differing(
    former: "counterflow.counterfactuals.CounterfactualAnswer",
    again: "counterflow.counterfactuals.CounterfactualAnswer",
) -> np.ndarray:
    """The answers that are not equal in discrete values and to 1e-4 standard units in the others."""
    measured = np.array([column.numeric and not column.lattice for column in former.schema.columns])
    slack = np.where(measured, _TOLERANCE * former.evidence.scale, 0.0)
    same = np.isclose(former.numbers, again.numbers, rtol=0.0, atol=slack, equal_nan=True).all(axis=1)
    same &= np.array([then is now for then, now in zip(former.status, again.status, strict=True)])
    return np.flatnonzero(~same)


def _first_difference(
    former: "counterflow.counterfactuals.CounterfactualAnswer",
    again: "counterflow.counterfactuals.CounterfactualAnswer",
    place: int,
) -> str:
    from counterflow.counterfactuals.wording import changes_of_row

    lines = [f"Row {former.index.factual[place]}: {former.status[place].value} then, {again.status[place].value} now"]
    changes = changes_of_row(former.schema, former.numbers[place], again.numbers[place])
    return "\n".join([*lines, *(f"    {name}: {_text(then)} then, {_text(now)} now" for name, then, now, _ in changes)])


def _text(value: Any) -> str:
    return "missing" if value is None else str(value)

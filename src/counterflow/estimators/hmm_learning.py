"""How FlowHMM learns: starts, a first fit of each, and the training of the best."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, PersistenceError
from counterflow.core.random import derive_seed, make_generator
from counterflow.core.threads import one_thread
from counterflow.estimators.density_flows import build_flow, rebuild_flow
from counterflow.hmm import (
    FlowMarkovModel,
    Series,
    Smoothed,
    find_starts,
    fit_cooccurrence,
    fit_expectation,
    fit_gradient,
    fit_posteriors,
    hold_out,
    judge,
)
from counterflow.training import FitReport, TrainingSettings

__all__ = ["METHODS", "HmmPlan", "Learned", "learn", "model_config", "model_from_config", "params_to_plain"]

METHODS = ("em", "gradient", "cooccurrence")

_FIRST_EPOCHS, _FIRST_STEPS = 15, 150
_FIRST_SHARE = 0.25
_SHARPNESS = 1.5


@dataclass(frozen=True, kw_only=True)
class HmmPlan:
    """What a user wants to be learned, and how; the fields are arguments of FlowHMM."""

    n_states: int
    flow: Any
    layers: int | None
    hidden: Any
    method: str
    restarts: int
    batch_size: int
    validation: float
    stretch: int
    pseudo_count: float
    settings: TrainingSettings

    @classmethod
    def of(cls, estimator: Any) -> "HmmPlan":
        """Read it off an estimator's arguments."""
        own = [field.name for field in fields(cls) if field.name != "settings"]
        settings = TrainingSettings(
            max_epochs=estimator.max_epochs,
            patience=estimator.patience,
            learning_rate=estimator.learning_rate,
            weight_decay=estimator.weight_decay,
            compile=False,  # whether it pays is found out by the clock, and results must not depend on that
            time_limit=estimator.time_limit,
            progress=bool(estimator.progress),
        )
        return cls(**{name: getattr(estimator, name) for name in own}, settings=settings)

    def __post_init__(self) -> None:
        check_count(self.n_states, "n_states")
        check_count(self.restarts, "restarts")
        check_count(self.batch_size, "batch_size")
        check_count(self.stretch, "stretch")
        if self.method not in METHODS:
            raise ArgumentError(f"method must be one of {METHODS}, got {self.method!r}. Choose one of these.")
        if not 0 <= self.validation < 1:
            raise ArgumentError(f"validation must be a share in [0, 1), got {self.validation}. The default is 0.1.")
        if not self.pseudo_count >= 0:
            raise ArgumentError(f"pseudo_count must be at least 0, got {self.pseudo_count}. The default is 0.1.")


@dataclass(frozen=True)
class Learned:
    """What came of it.

    Args:
        model: In double precision.
        report: Of the training.
        held: The predictive log-density of each held-out observation.
    """

    model: FlowMarkovModel
    report: FitReport
    held: Float[Tensor, " held"]


def learn(x: Float[Tensor, "rows features"], lengths: Sequence[int], *, plan: HmmPlan, seed: int) -> Learned:
    """Learn a model of standardized observations.

    The held-out stretches depend on the seed and the rows alone, so that models of several numbers of states are judged
    by the same ones.

    Args:
        x: The observations, NaN where there was none.
        lengths: Of the sequences.
        plan: What to learn, and how.
        seed: Where the randomness comes from.

    Returns:
        The model, its report, and how it predicts what was held out.
    """
    held = make_generator(derive_seed(seed, "held out"))
    series = hold_out(x.float(), lengths, share=plan.validation, stretch=plan.stretch, generator=held)
    generator = make_generator(derive_seed(seed, "states"))
    with one_thread():
        starts = find_starts(
            series.x.nan_to_num(),
            plan.n_states,
            made=series.made,
            lengths=series.lengths,
            count=plan.restarts,
            generator=generator,
        )
        begun = [_begun(start, series, plan, generator) for start in starts]
        model = min(begun, key=lambda model: _loss(model, series))
        report = _trained(model, series, plan, generator)
    model.double()
    predictive = model.filter(series.x.double(), series.lengths).log_predictive
    return Learned(model, report, predictive[series.judged])


def model_config(model: FlowMarkovModel, plan: HmmPlan) -> dict[str, Any]:
    """How to build the model again, as plain data.

    Raises:
        PersistenceError: A function composed a flow by hand, so that nothing can build it again.
    """
    configs = [flow.config for flow in model.flows]
    if any(config is None for config in configs):
        raise PersistenceError(
            "only flows of recipes can be saved to a folder, got one composed by hand. Build it from a recipe such as "
            "flows.maf, or keep model_.state_dict()."
        )
    return {"emissions": configs, "whitened": not callable(plan.flow)}


def params_to_plain(params: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
    """The constructor's arguments as plain data: in place of a function its recipe, of random states a seed alone."""
    seed = params["random_state"]
    return params | {
        "flow": params["flow"] if isinstance(params["flow"], str) else built["emissions"][0]["recipe"],
        "random_state": int(seed) if isinstance(seed, int | np.integer) else None,
    }


def model_from_config(config: dict[str, Any], tensors: dict[str, Tensor]) -> FlowMarkovModel:
    """Build a saved model again."""
    emissions = [rebuild_flow(flow, whitened=config["whitened"]) for flow in config["emissions"]]
    model = FlowMarkovModel(emissions).double()
    model.load_state_dict(tensors)
    return model.eval()


def _begun(start: Smoothed, series: Series, plan: HmmPlan, generator: torch.Generator) -> FlowMarkovModel:
    """A model after its first fit."""
    features = series.x.shape[1]
    model = FlowMarkovModel(
        build_flow(plan.flow, features, layers=plan.layers, hidden=plan.hidden, generator=generator)
        for _ in range(plan.n_states)
    )
    limit, batches = plan.settings.time_limit, -(-int(series.made.sum()) // plan.batch_size)
    settings = replace(
        plan.settings,
        max_epochs=min(plan.settings.max_epochs, max(_FIRST_EPOCHS, -(-_FIRST_STEPS // batches))),
        time_limit=None if limit is None else _FIRST_SHARE * limit / plan.restarts,
    )
    fit_posteriors(
        model,
        series,
        start=start,
        settings=settings,
        batch_size=plan.batch_size,
        pseudo_count=plan.pseudo_count,
        generator=generator,
    )
    return model


def _loss(model: FlowMarkovModel, series: Series) -> float:
    """How badly a begun model predicts: what is held out, or everything where nothing is."""
    judged = series if bool(series.judged.any()) else Series(series.x, series.lengths, torch.ones_like(series.held))
    return float(judge(model, judged))


def _trained(model: FlowMarkovModel, series: Series, plan: HmmPlan, generator: torch.Generator) -> FitReport:
    limit = plan.settings.time_limit
    settings = replace(plan.settings, time_limit=None if limit is None else (1 - _FIRST_SHARE) * limit)
    how: dict[str, Any] = {"settings": settings, "generator": generator}
    if plan.method == "em":
        how |= {"batch_size": plan.batch_size, "pseudo_count": plan.pseudo_count, "sharpness": _SHARPNESS}
        return fit_expectation(model, series, **how)
    if plan.method == "gradient":
        return fit_gradient(model, series, batch_size=plan.batch_size, **how)
    return fit_cooccurrence(model, series, **how)

"""The scikit-learn face of counterfactual explanations."""

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from counterflow.counterfactuals import Background, CounterfactualAnswer, Method, Question, explain, learn_background
from counterflow.counterfactuals.background import Telling
from counterflow.counterfactuals.recipe_plans import Recipe
from counterflow.estimators.devices import place_for
from counterflow.estimators.explainer_folder import explainer_parts, model_of, restore_fit
from counterflow.estimators.labels import (
    density_classes,
    intervals,
    one_for_each,
    plain_labels,
    without_missing,
)
from counterflow.estimators.learning import check_learned, learn_skill
from counterflow.estimators.methods import check_method, config_of, method_from_dict, method_to_dict
from counterflow.models import adapt, distill
from counterflow.persistence import fingerprint, load_folder, save_folder
from counterflow.tables import Constraints, Schema, Table, TableCodec

__all__ = ["CounterfactualExplainer"]

_KIND = "explainer"


class CounterfactualExplainer(BaseEstimator):
    """Counterfactual explanations of a model, judged by a witness.

    Fitting learns densities p(x|y) of the classes: two flows that the search uses, a third of another family, on
    disjoint rows, that judges it, and conformal thresholds of both. The model is borrowed and never trained.

    Args:
        model: A fitted estimator or callable on the user's frame, or what :func:`counterflow.models.wrap` gives.
        schema: The columns and what may be done to them; ``None`` infers it from the table.
        method: The name of a method (``counterflow.estimators.methods.METHODS`` has them), a config such as
            ``PPCEF(cushion=0.3)``, or any object of your own with ``norm`` and ``find(task)``.
        density: The flows of p(x|y) that the search uses: a recipe such as ``flows.maf`` or
            ``partial(flows.realnvp, layers=6)``, or several, whose lowest density counts; ``None`` for the usual two.
        random_state: The seed of everything.
        device: Where flows are trained and computed: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU, where there is
            one, as soon as there are rows enough to keep it busy. All else is done on the CPU.

    Attributes:
        schema_: The schema used.
        model_: The adapted model; of a black box with a stand-in that the search follows.
        background_: What was learned; ``background_.report`` says how good a judge the witness is.
        seconds_: How long fitting took.

    Example:
        >>> import numpy as np
        >>> from sklearn.linear_model import LogisticRegression
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> model = LogisticRegression().fit(x, x.sum(axis=1) > 0)
        >>> explainer = CounterfactualExplainer(model, random_state=0).fit(x)
        >>> answer = explainer.explain(np.array([[-0.5, -0.2]]), desired=True)
        >>> answer.status[0].value, bool(answer.valid[0])
        ('found', True)
    """

    def __init__(
        self,
        model: Any = None,
        *,
        schema: Schema | None = None,
        method: str | Method = "ppcef",
        density: Recipe | Sequence[Recipe] | None = None,
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.device = device
        self.density = density
        self.schema = schema
        self.method = method
        self.random_state = random_state

    def __sklearn_clone__(self) -> "CounterfactualExplainer":
        """An unfitted copy for the same model: the model is borrowed, so it is not cloned and stays fitted."""
        return CounterfactualExplainer(
            self.model,
            schema=self.schema,
            method=self.method,
            density=self.density,
            random_state=self.random_state,
            device=self.device,
        )

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        tell: Telling | None = None,
        progress: bool = False,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> "CounterfactualExplainer":
        """Learn the densities of the classes.

        Args:
            X: The table: a pandas or polars frame, a pyarrow table or an array; further columns are carried along.
            y: Its labels, which then name the classes of p(x|y); without them the model's predictions do.
            tell: Called with a sentence when a new part of the work begins.
            progress: Show progress bars.
            checkpoint: A folder that follows the training, so that Ctrl-C loses little; remove it once all is saved.
            resume: Go on from the checkpoint, to the same result bit by bit; start afresh where there is none.

        Returns:
            The explainer.

        Raises:
            DataError: The table does not fit the schema, labels are unknown, or a class has too few rows.
            ModelError: The model cannot be used; the sentence says why.
        """
        began, tell = time.monotonic(), tell or _silent
        check_method(self.method)
        schema = Schema.infer(X) if self.schema is None else self.schema
        codec = TableCodec(schema)
        X, y = without_missing(X, y, codec)
        model = adapt(self.model, schema, like=X, codec=codec)
        numbers = codec.to_numbers(X)
        given = model.predict(X) if y is None else plain_labels(y, len(numbers))
        bins, labels = density_classes(model, given)
        self.labels_from_ = "predictions" if y is None else "labels"
        if not model.differentiable:
            tell(f"Distilling a differentiable stand-in for {model.name}.")
            model = distill(model, schema, numbers, like=X, codec=codec, seed=self.random_state, progress=progress)
        place = None if checkpoint is None else Path(checkpoint)
        how: dict[str, Any] = {"tell": tell, "progress": progress, "checkpoint": place, "resume": resume}
        how["seed"] = self.random_state
        device = place_for(self.device, len(numbers), work="training")
        classes = len(model.classes or ()) if bins is None else len(bins)
        self.background_ = learn_background(
            schema, numbers, labels, classes=classes, bins=bins, density=self.density, device=device, **how
        )
        self.skill_ = learn_skill(
            config_of(self.method), model, X, codec=codec, numbers=numbers, background=self.background_, how=how
        )
        self.schema_, self.model_ = schema, model
        self.data_fingerprint_ = fingerprint([numbers, labels])
        self.n_features_in_ = len(schema)
        self.seconds_ = time.monotonic() - began
        return self

    def explain(
        self,
        rows: Any,
        desired: Any,
        *,
        probability: tuple[float, float] | None = None,
        count: int = 1,
        constraints: Constraints | None = None,
        min_plausibility: float = 0.1,
        norm: float | None = None,
        deadline: float | None = None,
        random_state: int | None = None,
        allow_training_rows: bool = False,
    ) -> CounterfactualAnswer:
        """Find counterfactuals of rows.

        Args:
            rows: A frame with the columns of the schema, of the kind that the model reads.
            desired: The class that the model shall decide: one for all rows, or one for each. Of a regressor the
                interval ``(low, high)`` that its value shall lie in, ``None`` for an open end.
            probability: ``(low, high)`` for the probability of that class, where the cut-off is not the arg max.
            count: Answers for each row.
            constraints: What may not change, beyond the schema.
            min_plausibility: The conformal p-value an answer must reach: a fresh row of the class fails it with a
                chance of at most this.
            norm: The exponent of the distance; ``None`` for the method's.
            deadline: Seconds for the whole call; then rows hold their best legal attempt.
            random_state: Recorded; the search itself draws nothing at random. ``None`` for the explainer's.
            allow_training_rows: Whether an answer may equal a training row.

        Returns:
            The answer, with a status for every row.

        Raises:
            ArgumentError: The class does not exist, a setting is outside its range, or the method did not learn.
            ConstraintError: Constraints contradict each other or the schema.
            DataError: The rows do not fit the schema.
        """
        check_is_fitted(self, "background_")
        method = config_of(self.method)
        check_learned(method, self.skill_)
        count_of_rows = len(Table(rows))
        wishes = intervals(desired, count_of_rows) if self.model_.regression else one_for_each(desired, count_of_rows)
        question = Question(
            desired=wishes,
            probability=probability,
            count=count,
            constraints=constraints,
            min_plausibility=min_plausibility,
            norm=norm,
            deadline=deadline,
            allow_training_rows=allow_training_rows,
        )
        seed = self.random_state if random_state is None else random_state
        return explain(
            question,
            rows,
            method=method,
            background=self.background_,
            model=self.model_,
            provenance=self._provenance(method, seed),
            skill=self.skill_,
            device=place_for(self.device, count_of_rows, work="explaining"),
        )

    def save(self, folder: str | Path) -> Path:
        """Save to a folder of JSON and safetensors; it holds no row of the table.

        The user's model is not saved: :meth:`load` wants it back. One that counterflow fitted is.

        Raises:
            PersistenceError: The system refused the write; what was there before is unchanged.
        """
        check_is_fitted(self, "background_")
        config, tensors = explainer_parts(self)
        return save_folder(folder, _KIND, config=config, tensors=tensors)

    @classmethod
    def load(cls, folder: str | Path, model: Any = None) -> "CounterfactualExplainer":
        """Load what :meth:`save` wrote.

        Args:
            folder: The folder.
            model: The model that was explained; not needed if counterflow fitted it.

        Raises:
            PersistenceError: The folder is missing, damaged or of another version, or the model is missing.
            ModelError: The model has other classes than the one that was explained.
        """
        saved = load_folder(folder, _KIND)
        model = model_of(saved, folder) if model is None else model
        background = Background.from_parts(saved.config["background"], saved)
        self = cls(
            model,
            schema=background.schema,
            method=method_from_dict(saved.config["method"]),
            random_state=saved.config["random_state"],
        )
        return restore_fit(self, saved, background=background, folder=folder)

    def _provenance(self, method: Method, seed: int) -> dict[str, Any]:
        """What an answer carries so that it can be made again."""
        return {
            "model": self.model_.fingerprint,
            "model_name": self.model_.name,
            "data": self.data_fingerprint_,
            "schema": fingerprint(self.schema_.to_dict()),
            "method": method_to_dict(method),
            "labels_from": self.labels_from_,
            "seed": seed,
            "fit_seed": self.random_state,
            "versions": {name: version(name) for name in ("torch", "numpy")} | {"counterflow": _own_version()},
        }


def _silent(sentence: str) -> None:
    """Tell nobody."""


def _own_version() -> str:
    import counterflow

    return counterflow.__version__

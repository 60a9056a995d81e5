"""The scikit-learn face of counterfactual explanations."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from counterflow import __version__
from counterflow.core.errors import ArgumentError, DataError, ModelError, PersistenceError
from counterflow.counterfactuals import PPCEF, Background, CounterfactualAnswer, Question, explain, learn_background
from counterflow.counterfactuals.background import Telling
from counterflow.counterfactuals.baselines import Wachter
from counterflow.models import AdaptedModel, TableClassifier, adapt
from counterflow.persistence import fingerprint, load_folder, save_folder
from counterflow.tables import Constraints, Schema, Table, TableCodec, take_rows
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["METHODS", "CounterfactualExplainer"]

METHODS: dict[str, type[PPCEF] | type[Wachter]] = {"ppcef": PPCEF, "wachter": Wachter}
"""The methods by name; a frozen config of one may be given in its place."""

_KIND = "explainer"
_FEWEST = 20


class CounterfactualExplainer(BaseEstimator):
    """Counterfactual explanations of a model, judged by a witness.

    Fitting learns densities p(x|y) of the classes: two flows that the search uses, a third of another family, on
    disjoint rows, that judges it, and conformal thresholds of both. The model is borrowed and never trained.

    Args:
        model: A fitted estimator or callable on the user's frame, or what :func:`counterflow.models.wrap` gives.
        schema: The columns and what may be done to them; ``None`` infers it from the table.
        method: ``"ppcef"``, ``"wachter"``, or a config such as ``PPCEF(cushion=0.3)``.
        random_state: The seed of everything.

    Attributes:
        schema_: The schema used.
        model_: The adapted model.
        background_: What was learned; ``background_.report`` says how good a judge the witness is.
        seconds_: How long fitting took.

    Example:
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
        method: str | PPCEF | Wachter = "ppcef",
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.schema = schema
        self.method = method
        self.random_state = random_state

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
        began = time.monotonic()
        _check_method(self.method)
        schema = Schema.infer(X) if self.schema is None else self.schema
        codec = TableCodec(schema)
        X, y = _without_missing(X, y, codec)
        model = _usable(adapt(self.model, schema, like=X, codec=codec))
        numbers = codec.to_numbers(X)
        labels = _class_indices(model, model.predict(X) if y is None else _plain_labels(y, len(numbers)))
        self.labels_from_ = "predictions" if y is None else "labels"
        self.background_ = learn_background(
            schema,
            numbers,
            labels,
            classes=len(model.classes or ()),
            seed=self.random_state,
            tell=tell,
            progress=progress,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            resume=resume,
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
            desired: The class that the model shall decide: one for all rows, or one for each.
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
            ArgumentError: The class does not exist, or a setting is outside its range.
            ConstraintError: Constraints contradict each other or the schema.
            DataError: The rows do not fit the schema.
        """
        check_is_fitted(self, "background_")
        method = _config(self.method)
        question = Question(
            desired=_one_for_each(desired, len(Table(rows))),
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
        )

    def save(self, folder: str | Path) -> Path:
        """Save to a folder of JSON and safetensors; it holds no row of the table.

        The user's model is not saved: :meth:`load` wants it back. One that counterflow fitted is.

        Raises:
            PersistenceError: The system refused the write; what was there before is unchanged.
        """
        check_is_fitted(self, "background_")
        config, tensors = self.background_.to_parts()
        own = self.model.to_parts() if isinstance(self.model, TableClassifier) else None
        if own is not None:
            tensors |= {f"model.{name}": tensor for name, tensor in own[1].items()}
        settings = {
            "background": config,
            "method": method_to_dict(_config(self.method)),
            "random_state": self.random_state,
            "classes": list(self.model_.classes or ()),
            "labels_from": self.labels_from_,
            "data": self.data_fingerprint_,
            "model": {"name": self.model_.name, "fingerprint": self.model_.fingerprint, "own": own and own[0]},
        }
        return save_folder(folder, _KIND, config=settings, tensors=tensors)

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
        config = saved.config
        own = config["model"]["own"]
        if model is None and own is not None:
            model = TableClassifier.from_parts(own, saved.part("model"))
        if model is None:
            raise PersistenceError(
                f"'{folder}' explains {config['model']['name']}, which is the user's and not saved with it: "
                "pass it as model=."
            )
        background = Background.from_parts(config["background"], saved)
        self = cls(
            model,
            schema=background.schema,
            method=method_from_dict(config["method"]),
            random_state=config["random_state"],
        )
        codec = TableCodec(background.schema)
        like = codec.to_frame(np.concatenate([rows.numpy() for rows in background.pool]))
        self.background_, self.schema_ = background, background.schema
        self.model_ = _usable(adapt(model, background.schema, like=like, codec=codec))
        _check_same_classes(self.model_, config["classes"], folder)
        self.labels_from_, self.data_fingerprint_ = config["labels_from"], config["data"]
        self.n_features_in_ = len(background.schema)
        return self

    def _provenance(self, method: PPCEF | Wachter, seed: int) -> dict[str, Any]:
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
            "versions": {name: version(name) for name in ("torch", "numpy")} | {"counterflow": __version__},
        }


def method_to_dict(method: PPCEF | Wachter) -> dict[str, Any]:
    """A method's config as plain data."""
    name = next(name for name, kind in METHODS.items() if isinstance(method, kind))
    return {"name": name, **asdict(method)}


def method_from_dict(data: dict[str, Any]) -> PPCEF | Wachter:
    """Read what :func:`method_to_dict` gave."""
    settings = dict(data)
    return METHODS[settings.pop("name")](**settings)


def _check_method(method: Any) -> None:
    if isinstance(method, str) and method not in METHODS:
        raise ArgumentError(f"method must be one of {listed(list(METHODS))}, got {method!r}.{did_you_mean(method, METHODS)}")
    if not isinstance(method, str) and not isinstance(method, tuple(METHODS.values())):
        raise ArgumentError(f"method must be a name or a config such as PPCEF(), got {type(method).__name__}.")


def _config(method: str | PPCEF | Wachter) -> PPCEF | Wachter:
    _check_method(method)
    return METHODS[method]() if isinstance(method, str) else method


def _usable(model: AdaptedModel) -> AdaptedModel:
    """Refuse models that these methods cannot search with."""
    if model.regression:
        raise ModelError(f"{model.name} is a regressor; these methods explain classifiers.")
    if not model.differentiable:
        raise ModelError(
            f"{model.name} cannot be searched by gradients: {model.why_not} Explain a torch network "
            "(models.wrap) or one of scikit-learn's linear or MLP models and pipelines."
        )
    return model


def _without_missing(X: Any, y: Any, codec: TableCodec) -> tuple[Any, Any]:
    """Leave out the rows with missing values where the schema says so."""
    if codec.schema.missing != "drop":
        return X, y
    kept = np.flatnonzero(~codec.missing_rows(X))
    labels = None if y is None else _plain_labels(y, len(Table(X)))[kept]
    return take_rows(X, kept), labels


def _plain_labels(y: Any, rows: int) -> np.ndarray:
    """Labels of any kind as an array of plain values, one for each row."""
    values = y.to_list() if hasattr(y, "to_list") else y.tolist() if hasattr(y, "tolist") else list(y)
    if len(values) != rows:
        raise DataError(f"y must have one label for each of the {rows} rows, got {len(values)}.")
    labels = np.empty(rows, dtype=object)
    labels[:] = values
    return labels


def _class_indices(model: AdaptedModel, labels: np.ndarray) -> np.ndarray:
    """The position of each label among the model's classes, every class with rows enough."""
    classes = list(model.classes or ())
    positions = {label: k for k, label in enumerate(classes)}
    unknown = [label for label in labels.tolist() if label not in positions]
    if unknown:
        raise DataError(
            f"y holds {unknown[0]!r}, which is no class of {model.name}: it knows {listed(classes)}. "
            "Correct the labels."
        )
    indices = np.array([positions[label] for label in labels.tolist()], dtype=np.int64)
    counts = np.bincount(indices, minlength=len(classes))
    if (counts > 0).sum() < 2:
        raise DataError(
            f"all rows are of one class, {classes[int(counts.argmax())]!r}: a counterfactual needs rows of "
            "another. Give labels y, or rows that the model decides both ways."
        )
    if counts.min() < _FEWEST:
        k = int(counts.argmin())
        raise DataError(
            f"class {classes[k]!r} has {counts[k]} rows; the density of a class needs at least {_FEWEST}. "
            "Give more rows, or merge rare classes."
        )
    return indices


def _one_for_each(desired: Any, rows: int) -> Sequence[Any]:
    """One wish for each row."""
    if isinstance(desired, str | bool | int | float | np.generic):
        return [desired.item() if isinstance(desired, np.generic) else desired] * rows
    if desired is None:
        raise ArgumentError("desired must be the class that the model shall decide, got None.")
    wishes = list(desired.to_list() if hasattr(desired, "to_list") else desired)
    if len(wishes) != rows:
        raise ArgumentError(f"desired must be one class, or one for each of the {rows} rows, got {len(wishes)}.")
    return [wish.item() if isinstance(wish, np.generic) else wish for wish in wishes]


def _check_same_classes(model: AdaptedModel, classes: list[Any], folder: str | Path) -> None:
    if list(model.classes or ()) != classes:
        raise ModelError(
            f"'{folder}' was made for a model with the classes {listed(classes)}, got one with "
            f"{listed(list(model.classes or ()))}. Pass the model that was explained."
        )

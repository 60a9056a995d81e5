"""Density estimation in the manner of scikit-learn, on mixed tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError
from counterflow.core.random import make_generator
from counterflow.estimators.density_flows import FlowBuilder, build_flow, held_out_share, rebuild_flow, train_flow
from counterflow.estimators.density_folder import (
    blank_to_plain,
    params_from_plain,
    params_to_plain,
    plain_to_blank,
    report_from_plain,
    report_to_plain,
)
from counterflow.estimators.density_rows import training_rows
from counterflow.estimators.inputs import checked_table, codec_for, columns_from_plain, columns_to_plain, seed_from
from counterflow.estimators.table_density import TableDensity
from counterflow.persistence import join_parts, load_folder, save_folder
from counterflow.tables import FlowEncoding, Schema, TableCodec, take_rows
from counterflow.training import FitReport, fit

__all__ = ["FlowDensity"]


class FlowDensity(DensityMixin, BaseEstimator):
    r"""The density of the rows of a table, learned by a normalizing flow.

    .. math:: \log p(x) = \log \mathbb{E}_r \left[ q(u(x, r))\, e^{w(x, r)} \right]

    The flow q lives on an encoding u of the row: continuous columns are standardized, discrete values are spread over
    cells by uniform noise r, and w makes good for both. So log-densities are natural logarithms in the data's own
    units: per unit of each continuous column, and a probability in each discrete one.

    Args:
        flow: The name of a recipe of :mod:`counterflow.flows` (``"spline_coupling"``, ``"maf"``, ``"realnvp"``,
            ``"linear"``, ...), or a function that builds a flow: ``flow(features)``, which may also take
            ``generator=``. A recipe's flow starts as the Gaussian of the data; below 50 rows it stays that.
        layers: Number of layers of a recipe; ``None`` for its own default.
        hidden: Widths of the hidden layers of a recipe's nets; the linear flow has none.
        max_epochs: The most passes over the data.
        patience: Stop after this many epochs in a row without a better held-out density.
        batch_size: The most rows of a batch.
        learning_rate: Adam's step size at the start; it falls to zero over ``max_epochs``.
        weight_decay: The decay rate of the weights; 0 for none.
        validation: The share of rows held out to stop early, in [0, 1), but no fewer than 25 rows or a quarter; 0
            trains for all epochs. The closed forms of the linear flow and of few rows hold nothing out.
        schema: What the columns are; a frame may then have further columns, which are ignored. ``None`` infers it,
            and takes a largest or smallest value for a bound of what is drawn only where three rows reach it.
        draws: How many fixed dequantization draws a log-density is averaged over, in tables with discrete columns.
        device: Where to train: ``"auto"``, ``"cpu"``, ``"cuda"``. Everything else happens on the CPU, in float64.
        time_limit: Seconds after which training stops; ``None`` for no limit.
        checkpoint: A folder that follows the training; the same ``fit`` called again goes on from it.
        progress: Show a progress bar on an interactive terminal.
        random_state: A seed, a random generator of numpy, or ``None`` for another result each time.

    Attributes:
        schema_ (Schema): The columns that the density knows.
        density_ (TableDensity): The encoding and the flow: ``density_.flow`` is the trained
            :class:`~counterflow.flows.Flow`.
        report_ (FitReport): How training ended; ``report_.outcome.sentence`` says it in words.
        history_ (tuple): One record for each epoch.
        n_iter_ (int): How many epochs were trained; 0 where a closed form needs none.
        n_features_in_ (int): The number of columns seen in ``fit``.
        feature_names_in_ (ndarray): Their names, if ``fit`` saw a frame.

    Example:
        >>> from counterflow.datasets import loan
        >>> frame = loan(500, random_state=0).features
        >>> density = FlowDensity("maf", layers=2, max_epochs=5, random_state=0).fit(frame)
        >>> density.score_samples(frame).shape, density.sample(3, random_state=0).shape
        ((500,), (3, 6))
    """

    n_features_in_: int
    feature_names_in_: np.ndarray

    @no_type_check  # scikit-learn: a constructor stores what it is given, whatever it is, and ``fit`` checks
    def __init__(
        self,
        flow: str | FlowBuilder = "spline_coupling",
        *,
        layers: int | None = None,
        hidden: tuple[int, ...] = (64, 64),
        max_epochs: int = 200,
        patience: int = 20,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.0,
        validation: float = 0.1,
        schema: Schema | None = None,
        draws: int = 16,
        device: str = "auto",
        time_limit: float | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> None:
        self.flow = flow
        self.layers = layers
        self.hidden = hidden
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.schema = schema
        self.draws = draws
        self.device = device
        self.time_limit = time_limit
        self.checkpoint = checkpoint
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> "FlowDensity":
        """Learn the density of the rows of X.

        Args:
            X: A pandas or polars frame, a pyarrow table, or an array of shape (rows, columns); at least two rows.
            y: Ignored, as scikit-learn asks.
            sample_weight: How much each row counts, at least 0; only ratios matter. ``None`` is all alike.

        Returns:
            The estimator itself.

        Raises:
            DataError: X has missing or infinite values, a constant column, text that is no category, or too few rows.
            ArgumentError: A setting is outside its range.
        """
        check_count(self.draws, "draws")
        X, codec, weights = training_rows(self, X, schema=self.schema, sample_weight=sample_weight)
        numbers = codec.to_numbers(X)
        encoding = FlowEncoding.fit(codec.schema, numbers)
        if encoding.dimension == 0:
            raise DataError("every column is constant, so there is no density to learn. Give a column that varies.")
        generator = make_generator(seed_from(self.random_state, "fit"))
        flow = build_flow(self.flow, encoding.dimension, layers=self.layers, hidden=self.hidden, generator=generator)
        report = train_flow(flow, encoding, numbers, weights=weights, train=self._training(generator, len(numbers)))
        self._keep(TableDensity(encoding, flow, draws=self.draws), report, take_rows(X, np.zeros(0, dtype=np.int64)))
        return self

    def score_samples(self, X: Any) -> Float[np.ndarray, " rows"]:
        """Compute the natural log-density of each row, in the data's own units.

        Args:
            X: A table like the one that ``fit`` saw. A frame must have its columns, an array as many.

        Returns:
            One number per row; minus infinity for a row that breaks what all training rows share.

        Raises:
            NotFittedError: ``fit`` comes first.
            DataError: X is not like the table that ``fit`` saw, or holds a value that its schema does not know.
        """
        check_is_fitted(self, "density_")
        missing = self.schema_.missing == "atom"
        X = checked_table(self, X, reset=False, missing=missing, strict=self.schema is None)
        return self.density_.log_density(codec_for(self.schema_, X).to_numbers(X))

    def score(self, X: Any, y: Any = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the mean of the log-densities of the rows (the mean, not the sum), in nats.

        Args:
            X: As in :meth:`score_samples`.
            y: Ignored, as scikit-learn asks.

        Returns:
            One number, larger for rows that are more to be expected.
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draw made-up rows.

        Args:
            n_samples: How many, at least 1.
            random_state: A seed, a random generator of numpy, or ``None`` for other rows each time.

        Returns:
            A table of the kind that ``fit`` saw, with the columns of ``schema_``: labels that exist, whole numbers
            where the column has whole numbers, rounded where it is rounded.

        Raises:
            NotFittedError: ``fit`` comes first.
            ArgumentError: An argument is outside its range.
        """
        check_is_fitted(self, "density_")
        check_count(n_samples, "n_samples")
        numbers = self.density_.draw(n_samples, generator=make_generator(seed_from(random_state, "sample")))
        return TableCodec(self.schema_).to_frame(numbers, like=self._blank)

    def save(self, folder: str | Path) -> Path:
        """Save the fitted density to a folder of JSON and safetensors, all or nothing; it holds no rows.

        Args:
            folder: The folder; one that :meth:`save` wrote before is replaced.

        Returns:
            The folder's path.

        Raises:
            NotFittedError: ``fit`` comes first.
            PersistenceError: The flow was composed by hand, or the folder cannot be written.
        """
        check_is_fitted(self, "density_")
        config = {
            "params": params_to_plain(self.get_params(deep=False), self.density_),
            "flow": self.density_.flow.config,
            "whitened": self.density_.whitened,
            "encoding": self.density_.encoding.config,
            "columns": columns_to_plain(self),
            "frame": blank_to_plain(self._blank),
            "report": report_to_plain(self.report_),
        }
        return save_folder(folder, "density", config=config, tensors=join_parts(self.density_.tensors()))

    @classmethod
    def load(cls, folder: str | Path) -> "FlowDensity":
        """Load what :meth:`save` wrote: the same scores and draws, bit by bit.

        Args:
            folder: The folder.

        Returns:
            A fitted estimator. A flow that a function built has become its recipe's name, and a generator ``None``.

        Raises:
            PersistenceError: The folder is missing, damaged, of another kind or of another version.
        """
        saved = load_folder(folder, "density")
        config = saved.config
        estimator = cls(**params_from_plain(config["params"]))
        encoding = FlowEncoding.from_config(config["encoding"], saved.part("encoding"))
        flow = rebuild_flow(config["flow"], whitened=config["whitened"]).double()
        flow.load_state_dict(saved.part("flow"))
        columns_from_plain(estimator, config["columns"])
        blank = plain_to_blank(config["frame"], encoding.schema)
        estimator._keep(TableDensity(encoding, flow, draws=estimator.draws), report_from_plain(config["report"]), blank)
        return estimator

    def __sklearn_tags__(self) -> Tags:
        """Say that columns may hold text."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _training(self, generator: torch.Generator, rows: int) -> Callable[..., FitReport]:
        """:func:`counterflow.training.fit` with this estimator's settings."""
        return partial(
            fit,
            validation=held_out_share(self.validation, rows),
            max_epochs=self.max_epochs,
            patience=self.patience,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            device=self.device,
            compile=False,  # whether it pays is found out by the clock, and results must not depend on that
            generator=generator,
            checkpoint=self.checkpoint,
            resume=self.checkpoint is not None,
            progress=bool(self.progress),
            time_limit=self.time_limit,
        )

    def _keep(self, density: TableDensity, report: FitReport, blank: Any) -> None:
        self.density_ = density
        self.schema_ = density.encoding.schema
        self.report_ = report
        self.history_ = report.history
        self.n_iter_ = report.epochs
        self._blank = blank

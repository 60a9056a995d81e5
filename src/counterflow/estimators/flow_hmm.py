"""Hidden Markov models in the manner of hmmlearn and scikit-learn, with flows as emissions."""

from pathlib import Path
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError
from counterflow.core.random import make_generator
from counterflow.estimators.density_flows import FlowBuilder
from counterflow.estimators.density_folder import report_from_plain, report_to_plain
from counterflow.estimators.hmm_learning import (
    HmmPlan,
    Learned,
    learn,
    model_config,
    model_from_config,
    params_to_plain,
)
from counterflow.estimators.hmm_series import Scale, check_enough, checked_series, series_lengths
from counterflow.estimators.hmm_stream import HmmStream
from counterflow.estimators.inputs import columns_from_plain, columns_to_plain, seed_from
from counterflow.hmm import draw
from counterflow.hmm.model import observed
from counterflow.persistence import join_parts, load_folder, save_folder

__all__ = ["FlowHMM"]

_KIND = "hidden markov model"


class FlowHMM(BaseEstimator):
    r"""A hidden Markov model whose states emit what flows say.

    .. math:: p(x_{1:T}) = \sum_{s_{1:T}} \pi_{s_1}\, p_{s_1}(x_1) \prod_{t=2}^T A_{s_{t-1} s_t}\, p_{s_t}(x_t)

    Sequences lie one below the other in X, and ``lengths`` says how many rows each has. Log-densities are natural
    logarithms in the data's own units.

    Args:
        n_states: The number of states; :func:`~counterflow.estimators.select_states` finds it.
        flow: The name of a recipe of :mod:`counterflow.flows` for the emission of each state: ``"spline_coupling"`` (in
            one dimension a spline map), ``"continuous"`` (as in the paper, and slow), ``"maf"``, ``"linear"`` (a normal
            law) and so on; or a function that builds a flow, ``flow(features)``, which may also take ``generator=``.
        layers: Number of layers of a recipe; ``None`` for its own default.
        hidden: Widths of the hidden layers of a recipe's nets; spline maps in one dimension have none.
        method: How to train: ``"em"``, generalized expectation and maximization; ``"gradient"``, the gradient of the
            forward algorithm; ``"cooccurrence"``, the paper's pairs of cells, at a price that no length changes.
        restarts: How many starts get a first fit; the best of them goes on. The second is for states that stay, the
            third for states of simple shapes.
        max_epochs: The most passes over the data, after a first fit with the states that the start says.
        patience: Stop after this many epochs in a row without a better held-out density.
        batch_size: The most rows of a batch.
        learning_rate: Adam's step size at the start; it falls to zero over ``max_epochs``.
        weight_decay: The decay rate of the weights; 0 for none.
        validation: The share of rows held out to stop early, in stretches from anywhere in the series, in [0, 1).
        stretch: The most rows of such a stretch. In smooth series take many times as many as are alike: else what is
            held out is known from its neighbors, and training goes on for too long.
        pseudo_count: What is added to each expected count of starts and transitions.
        missing: ``"skip"``: a row that holds NaN is an observation that was not made, and time passes; ``"error"``
            refuses them.
        time_limit: Seconds after which the training stops; ``None`` for no limit.
        progress: Show a progress bar on an interactive terminal.
        random_state: A seed, a random generator of numpy, or ``None`` for another result each time.

    Attributes:
        model_ (FlowMarkovModel): The model, of standardized observations, in double precision.
        scale_ (Scale): Between the data's units and standard ones.
        report_ (FitReport): How training ended; ``report_.outcome.sentence`` says it in words.
        held_out_ (ndarray): The predictive log-density of each held-out observation; not saved.
        n_iter_ (int): How many epochs were trained.
        n_features_in_ (int): The length of an observation.

    Reference:
        Lorek, Nowak, Trzcinski, Zieba, "FlowHMM: Flow-based continuous hidden Markov models", 2022.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> states = np.arange(300) // 10 % 2
        >>> X = np.where(states, rng.uniform(4, 6, 300), rng.normal(0, 1, 300))[:, None]
        >>> hmm = FlowHMM(2, max_epochs=3, random_state=0).fit(X, lengths=[200, 100])
        >>> path = hmm.predict(X, lengths=[200, 100])
        >>> bool(max((path == states).mean(), (path != states).mean()) > 0.98), hmm.transmat_.round(1).tolist()
        (True, [[0.9, 0.1], [0.1, 0.9]])
    """

    n_features_in_: int

    @no_type_check  # scikit-learn: a constructor stores what it is given, whatever it is, and ``fit`` checks
    def __init__(
        self,
        n_states: int = 2,
        *,
        flow: str | FlowBuilder = "spline_coupling",
        layers: int | None = 3,
        hidden: tuple[int, ...] = (32, 32),
        method: str = "em",
        restarts: int = 3,
        max_epochs: int = 100,
        patience: int = 15,
        batch_size: int = 500,
        learning_rate: float = 1e-2,
        weight_decay: float = 0.0,
        validation: float = 0.1,
        stretch: int = 50,
        pseudo_count: float = 0.1,
        missing: str = "error",
        time_limit: float | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> None:
        self.n_states = n_states
        self.flow = flow
        self.layers = layers
        self.hidden = hidden
        self.method = method
        self.restarts = restarts
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation = validation
        self.stretch = stretch
        self.pseudo_count = pseudo_count
        self.missing = missing
        self.time_limit = time_limit
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: Any, lengths: Any = None) -> "FlowHMM":
        """Learn states, transitions and emissions; no labels are needed.

        Args:
            X: A table of numbers, a row for each observation, the sequences one below the other.
            lengths: Rows of each sequence; ``None`` is one sequence.

        Returns:
            The estimator itself.

        Raises:
            DataError: X has missing or infinite values, a constant column or too few rows, or lengths do not add up.
            ArgumentError: A setting is outside its range.
        """
        plan = HmmPlan.of(self)
        x = checked_series(self, X, missing=self.missing, reset=True)
        known = series_lengths(lengths, len(x))
        check_enough(x, known, states=plan.n_states)
        scale = Scale.of(x)
        seed = make_generator(seed_from(self.random_state, "fit")).initial_seed()
        self._keep(learn(scale.standardized(x), known, plan=plan, seed=seed), scale)
        return self

    @property
    def startprob_(self) -> Float[np.ndarray, " states"]:
        """The chance of each state at the beginning of a sequence."""
        check_is_fitted(self, "model_")
        return self.model_.log_start.exp().numpy()

    @property
    def transmat_(self) -> Float[np.ndarray, "states states"]:
        """The chance of each state (column) after each other (row)."""
        check_is_fitted(self, "model_")
        return self.model_.log_transition.exp().numpy()

    @torch.no_grad()
    def score_samples(self, X: Any, lengths: Any = None) -> Float[np.ndarray, " rows"]:
        r"""Compute how well each observation is predicted: :math:`\log p(x_t \mid x_1, \dots, x_{t-1})`.

        The numbers of a sequence add up to its log-likelihood. (hmmlearn's method of this name gives that sum and the
        posteriors; for these see :meth:`predict_proba`.)

        Args:
            X: As in :meth:`fit`.
            lengths: As in :meth:`fit`.

        Returns:
            One number per row, in nats and the data's own units; 0 where nothing was observed.
        """
        z, known = self._series(X, lengths)
        made = observed(z)
        scores = self.model_.filter(z, known).log_predictive - self.scale_.log_volume
        return torch.where(made, scores, 0.0).numpy()

    def score(self, X: Any, lengths: Any = None) -> float:
        """Compute the mean log-likelihood per observation (the mean, where hmmlearn gives the sum), in nats.

        Args:
            X: As in :meth:`fit`.
            lengths: As in :meth:`fit`.

        Returns:
            One number, larger for series that are more to be expected.

        Raises:
            DataError: Nothing was observed.
        """
        made = observed(self._series(X, lengths)[0]).numpy()
        if not made.any():
            raise DataError("score needs an observation that was made, but every row of X holds NaN.")
        return float(self.score_samples(X, lengths)[made].mean())

    def predict(self, X: Any, lengths: Any = None) -> Int[np.ndarray, " rows"]:
        """Find the most probable path of states (Viterbi), also through rows where nothing was observed."""
        z, known = self._series(X, lengths)
        return self.model_.decode(z, known).numpy()

    def predict_proba(self, X: Any, lengths: Any = None) -> Float[np.ndarray, "rows states"]:
        """Compute the chance of each state at each row, given all observations of its sequence."""
        z, known = self._series(X, lengths)
        return self.model_.smooth(z, known).log_posterior.exp().numpy()

    def emission_log_density(self, X: Any) -> Float[np.ndarray, "rows states"]:
        """Compute the log-density of each observation under each state; 0 for one that was not made."""
        z, _ = self._series(X, None)
        density = self.model_.log_density(z) - self.scale_.log_volume
        return torch.where(observed(z).unsqueeze(1), density, 0.0).numpy()

    def sample(
        self, n_samples: int = 1, random_state: Any = None
    ) -> tuple[Float[np.ndarray, "rows features"], Int[np.ndarray, " rows"]]:
        """Make up a sequence.

        Args:
            n_samples: How many observations, at least 1.
            random_state: A seed, a random generator of numpy, or ``None`` for another sequence each time.

        Returns:
            Observations and the states that made them.
        """
        check_is_fitted(self, "model_")
        check_count(n_samples, "n_samples")
        drawn = draw(self.model_, n_samples, generator=make_generator(seed_from(random_state, "sample")))
        return self.scale_.restored(drawn.x).numpy(), drawn.states.numpy()

    def stream(self) -> HmmStream:
        """Begin to filter a sequence one observation at a time."""
        check_is_fitted(self, "model_")
        return HmmStream(self.model_, self.scale_)

    def save(self, folder: str | Path) -> Path:
        """Save the fitted model to a folder of JSON and safetensors, all or nothing; it holds no observations.

        Raises:
            NotFittedError: ``fit`` comes first.
            PersistenceError: A function composed the flow by hand, or the folder cannot be written.
        """
        check_is_fitted(self, "model_")
        built = model_config(self.model_, HmmPlan.of(self))
        config = {
            "params": params_to_plain(self.get_params(deep=False), built),
            "model": built,
            "report": report_to_plain(self.report_),
            "columns": columns_to_plain(self),
        }
        tensors = {"model": self.model_.state_dict(), "scale": self.scale_.__dict__}
        return save_folder(folder, _KIND, config=config, tensors=join_parts(tensors))

    @classmethod
    def load(cls, folder: str | Path) -> "FlowHMM":
        """Load what :meth:`save` wrote: the same scores and draws, bit by bit.

        Raises:
            PersistenceError: The folder is missing, damaged, of another kind or of another version.
        """
        saved = load_folder(folder, _KIND)
        params = saved.config["params"]
        estimator = cls(**{**params, "hidden": tuple(params["hidden"])})
        model = model_from_config(saved.config["model"], saved.part("model"))
        report = report_from_plain(saved.config["report"])
        columns_from_plain(estimator, saved.config["columns"])
        estimator._keep(Learned(model, report, torch.zeros(0, dtype=torch.float64)), Scale(**saved.part("scale")))
        return estimator

    def _series(self, X: Any, lengths: Any) -> tuple[Tensor, list[int]]:
        check_is_fitted(self, "model_")
        x = checked_series(self, X, missing=self.missing, reset=False)
        return self.scale_.standardized(x), series_lengths(lengths, len(x))

    def _keep(self, learned: Learned, scale: Scale) -> None:
        self.model_, self.report_, self.scale_ = learned.model, learned.report, scale
        self.held_out_ = (learned.held - scale.log_volume).numpy()
        self.n_iter_ = learned.report.epochs

"""Hidden Markov models whose emissions are flows: exact scans, three ways to train, sampling and filtering."""

from counterflow.hmm._cooccurrence import cooccurrence, fit_cooccurrence
from counterflow.hmm._expectation import fit_expectation
from counterflow.hmm._gradient import fit_gradient
from counterflow.hmm._viterbi import viterbi
from counterflow.hmm.forward import Filtered, forward_filter
from counterflow.hmm.learning import Series, fit_posteriors, hold_out, judge
from counterflow.hmm.likelihood import log_likelihood
from counterflow.hmm.model import FlowMarkovModel
from counterflow.hmm.online import OnlineFilter, Step
from counterflow.hmm.pairs import Pairs, fit_pairs
from counterflow.hmm.sampling import Drawn, draw, draw_path
from counterflow.hmm.smoothing import Smoothed, smooth
from counterflow.hmm.starts import find_starts

__all__ = [
    "Drawn",
    "Filtered",
    "FlowMarkovModel",
    "OnlineFilter",
    "Pairs",
    "Series",
    "Smoothed",
    "Step",
    "cooccurrence",
    "draw",
    "draw_path",
    "find_starts",
    "fit_cooccurrence",
    "fit_expectation",
    "fit_gradient",
    "fit_pairs",
    "fit_posteriors",
    "forward_filter",
    "hold_out",
    "judge",
    "log_likelihood",
    "smooth",
    "viterbi",
]

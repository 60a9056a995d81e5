"""Inference with flows: variational inference, importance sampling, rejection sampling and chains, with diagnostics.

Nothing is reported that its own diagnostics call wrong: an :class:`~counterflow.core.errors.UnreliableError` says why.
"""

from counterflow.inference.chains import effective_size, split_rhat
from counterflow.inference.importance import ImportanceSample, importance_sample
from counterflow.inference.metropolis import ChainSample, independence_metropolis
from counterflow.inference.pareto import ParetoTail, fit_tail, smooth_weights
from counterflow.inference.priors import BoxUniform, IndependentPrior, Prior, as_prior
from counterflow.inference.proposals import DefensiveMixture, Proposal
from counterflow.inference.rejection import RejectionSample, rejection_sample
from counterflow.inference.starts import laplace, pathfinder
from counterflow.inference.variational import VariationalFit, fit_variational, start_from

__all__ = [
    "BoxUniform",
    "ChainSample",
    "DefensiveMixture",
    "ImportanceSample",
    "IndependentPrior",
    "ParetoTail",
    "Prior",
    "Proposal",
    "RejectionSample",
    "VariationalFit",
    "as_prior",
    "effective_size",
    "fit_tail",
    "fit_variational",
    "importance_sample",
    "independence_metropolis",
    "laplace",
    "pathfinder",
    "rejection_sample",
    "smooth_weights",
    "split_rhat",
    "start_from",
]

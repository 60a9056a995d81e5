"""Inference with flows: variational inference, importance sampling, rejection sampling and chains, with diagnostics.

Nothing is reported that its own diagnostics call wrong: an :class:`~counterflow.core.errors.UnreliableError` says why.
"""

from counterflow.flows.heads import FlowMatchingHead, SplineHead
from counterflow.inference import tasks
from counterflow.inference.bounds import EvidenceBounds, evidence_bounds
from counterflow.inference.calibration import RankCalibration, simulation_based_calibration
from counterflow.inference.chains import effective_size, split_rhat
from counterflow.inference.coverage import Coverage, highest_density_coverage, tarp
from counterflow.inference.importance import ImportanceSample, importance_sample
from counterflow.inference.likelihood import Likelihood
from counterflow.inference.likelihood_estimation import fit_likelihood
from counterflow.inference.local_c2st import LocalC2ST, LocalTest, fit_local_c2st
from counterflow.inference.metropolis import ChainSample, independence_metropolis
from counterflow.inference.off_policy import ProposalFit, ProposalRound, fit_proposal
from counterflow.inference.pareto import ParetoTail, fit_tail, smooth_weights
from counterflow.inference.posterior import ObservedPosterior, Posterior
from counterflow.inference.posterior_estimation import fit_posterior
from counterflow.inference.predictive import PredictiveCheck, posterior_predictive_check
from counterflow.inference.priors import BoxUniform, IndependentPrior, Prior, as_prior
from counterflow.inference.proposals import DefensiveMixture, Proposal
from counterflow.inference.rejection import RejectionSample, rejection_sample
from counterflow.inference.sbi_plugin import SbiBuilder, sbi_builder
from counterflow.inference.sequential import (
    SequentialPosterior,
    SequentialRound,
    TruncatedPrior,
    fit_sequential_posterior,
)
from counterflow.inference.simulating import simulate
from counterflow.inference.simulations import Simulations, Simulator, one_by_one
from counterflow.inference.starts import laplace, pathfinder
from counterflow.inference.target import PosteriorTarget
from counterflow.inference.typicality import Typicality, check_typicality
from counterflow.inference.uniformity import EcdfBand, Uniformity, ecdf_band, pvalue_text
from counterflow.inference.variational import VariationalFit, fit_variational, start_from
from counterflow.nets.embeddings import Embedding

__all__ = [
    "BoxUniform",
    "ChainSample",
    "Coverage",
    "DefensiveMixture",
    "EcdfBand",
    "EvidenceBounds",
    "Embedding",
    "FlowMatchingHead",
    "ImportanceSample",
    "IndependentPrior",
    "LocalC2ST",
    "LocalTest",
    "Likelihood",
    "ObservedPosterior",
    "ParetoTail",
    "PredictiveCheck",
    "Posterior",
    "PosteriorTarget",
    "Prior",
    "Proposal",
    "ProposalFit",
    "ProposalRound",
    "RankCalibration",
    "RejectionSample",
    "Typicality",
    "Uniformity",
    "SbiBuilder",
    "SequentialPosterior",
    "SequentialRound",
    "Simulations",
    "Simulator",
    "SplineHead",
    "TruncatedPrior",
    "VariationalFit",
    "ecdf_band",
    "as_prior",
    "check_typicality",
    "effective_size",
    "evidence_bounds",
    "fit_proposal",
    "fit_likelihood",
    "fit_posterior",
    "fit_sequential_posterior",
    "fit_tail",
    "fit_local_c2st",
    "fit_variational",
    "highest_density_coverage",
    "importance_sample",
    "independence_metropolis",
    "laplace",
    "one_by_one",
    "pathfinder",
    "posterior_predictive_check",
    "pvalue_text",
    "rejection_sample",
    "simulation_based_calibration",
    "sbi_builder",
    "simulate",
    "smooth_weights",
    "split_rhat",
    "start_from",
    "tarp",
    "tasks",
]

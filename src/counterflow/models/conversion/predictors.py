"""Converters of fitted scikit-learn classifiers and regressors: columns in, logits or values out.

For probabilistic classifiers the softmax of the logits is ``predict_proba``; for margins the arg max is ``predict``.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from counterflow.models.conversion.columns import Columns, NotConvertible
from counterflow.models.conversion.stages import FunctionStage, GaussianStage

__all__ = ["PREDICTORS"]

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}


def _name(step: Any) -> str:
    return type(step).__name__


def _scores(step: Any, columns: Columns) -> Columns:
    """The decision function: (n, 2) as [0, margin] for two classes, else one column per class."""
    weight = np.atleast_2d(np.asarray(step.coef_, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(step.intercept_, dtype=np.float64), len(weight))
    if len(weight) == 1:
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.array([0.0, bias[0]])
    return columns.linear(weight.T, bias, step=_name(step))


def _one_against_rest(scores: Columns, step: Any) -> Columns:
    """Normalized sigmoids: the logits are the logarithms of the sigmoids."""
    return scores if scores.width == 2 else scores.then(FunctionStage(F.logsigmoid), scores.width, step=_name(step))


def logistic_regression(step: Any, columns: Columns) -> Columns:
    """Softmax of scores, or with liblinear one sigmoid per class."""
    scores = _scores(step, columns)
    rest = step.solver == "liblinear" or getattr(step, "multi_class", None) == "ovr"
    return _one_against_rest(scores, step) if rest else scores


def sgd_classifier(step: Any, columns: Columns) -> Columns:
    """Sigmoids for the log loss; margins otherwise."""
    scores = _scores(step, columns)
    if step.loss == "modified_huber":
        raise NotConvertible("SGDClassifier(loss='modified_huber') has probabilities of exactly 0 and 1, so no logits")
    return _one_against_rest(scores, step) if step.loss == "log_loss" else scores


def margins(step: Any, columns: Columns) -> Columns:
    """Margins of a linear classifier: their arg max decides, they are no log-probabilities."""
    return _scores(step, columns)


def linear_regressor(step: Any, columns: Columns) -> Columns:
    """``x @ coefficients + intercept``."""
    coefficients = np.asarray(step.coef_, dtype=np.float64)
    if coefficients.ndim > 1 and len(coefficients) > 1:
        raise NotConvertible(f"{_name(step)} predicts several targets")
    return columns.linear(coefficients.reshape(-1, 1), np.ravel(step.intercept_)[:1], step=_name(step))


def log_link_regressor(step: Any, columns: Columns) -> Columns:
    """``exp(x @ coefficients + intercept)``."""
    return linear_regressor(step, columns).then(FunctionStage(torch.exp), 1, step=_name(step))


def multilayer_perceptron(step: Any, columns: Columns) -> Columns:
    """Affine layers and activations; a single sigmoid becomes the logits [0, z]."""
    if step.out_activation_ == "logistic" and step.n_outputs_ > 1:
        raise NotConvertible(f"{_name(step)} was fitted on several labels at once")
    if step.out_activation_ in ("identity", "exp") and step.n_outputs_ > 1:
        raise NotConvertible(f"{_name(step)} predicts several targets")
    weights, biases = list(step.coefs_), list(step.intercepts_)
    if step.out_activation_ == "logistic":
        weights[-1], biases[-1] = np.pad(weights[-1], ((0, 0), (1, 0))), np.pad(biases[-1], (1, 0))
    columns = columns.linear(weights[0], biases[0], step=_name(step))
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        if step.activation != "identity":
            columns = columns.then(FunctionStage(ACTIVATIONS[step.activation]), columns.width, step=_name(step))
        columns = columns.linear(weight, bias, step=_name(step))
    return columns.then(FunctionStage(torch.exp), 1, step=_name(step)) if step.out_activation_ == "exp" else columns


def gaussian_naive_bayes(step: Any, columns: Columns) -> Columns:
    """Joint log-likelihoods of the classes."""
    stage = GaussianStage(step.theta_, step.var_, step.class_prior_)
    return columns.then(stage, len(step.class_prior_), step=_name(step))


PREDICTORS = {
    "LogisticRegression": logistic_regression,
    "LogisticRegressionCV": logistic_regression,
    "LinearDiscriminantAnalysis": margins,
    "SGDClassifier": sgd_classifier,
    "RidgeClassifier": margins,
    "RidgeClassifierCV": margins,
    "LinearSVC": margins,
    "Perceptron": margins,
    "GaussianNB": gaussian_naive_bayes,
    "MLPClassifier": multilayer_perceptron,
    "MLPRegressor": multilayer_perceptron,
    "PoissonRegressor": log_link_regressor,
    "GammaRegressor": log_link_regressor,
} | dict.fromkeys(
    [
        "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars", "LassoLars",
        "BayesianRidge", "ARDRegression", "HuberRegressor", "SGDRegressor", "LinearSVR", "QuantileRegressor",
        "TheilSenRegressor", "OrthogonalMatchingPursuit",
    ],
    linear_regressor,
)  # fmt: skip

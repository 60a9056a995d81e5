"""Strange observations and posterior predictive checks, against scipy, scikit-learn and loops."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from counterflow.core.errors import DataError, ShapeError
from counterflow.inference import check_typicality, posterior_predictive_check

SCORES = ("neighbors", "mahalanobis", "kernel")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def correlated(n, seed, features=3):
    mix = torch.eye(features) + 0.8 * torch.ones(features, features).triu(1)
    return torch.randn(n, features, generator=seeded(seed)) @ mix


@pytest.mark.parametrize("score", SCORES)
def test_pvalues_of_fresh_simulations_are_uniform(score):
    found = check_typicality(correlated(4000, 0), correlated(1500, 1), score=score)
    assert stats.kstest(found.pvalues.numpy(), "uniform").pvalue > 0.01
    assert found.warning() == ""


@pytest.mark.parametrize("score", SCORES)
def test_strange_observations_are_found(score):
    """Each feature is within its usual range; only together are they strange."""
    strange = torch.tensor([[2.0, -2.0, 3.0]])
    found = check_typicality(correlated(4000, 0), strange, score=score)
    assert found.pvalues.item() < 0.02
    assert "1 of 1 observations are stranger" in found.warning()


def by_hand(learned, points, score):
    """The scores in units of each feature's deviation, by scikit-learn or a loop."""
    scale = learned.std(0, ddof=1)
    learned, points = learned / scale, points / scale
    if score == "mahalanobis":
        return EmpiricalCovariance().fit(learned).mahalanobis(points)
    if score == "neighbors":
        return NearestNeighbors(n_neighbors=10).fit(learned).kneighbors(points)[0].mean(1)
    pairs = np.linalg.norm(learned[:, None] - learned[None], axis=-1)
    width = np.sort(pairs[np.triu_indices(len(learned), 1)])
    width = width[(len(width) - 1) // 2]
    return np.array([-np.mean([math.exp(-np.sum((p - q) ** 2) / 2 / width**2) for q in learned]) for p in points])


@pytest.mark.parametrize("score", SCORES)
def test_pvalues_against_scores_by_hand(score):
    simulated, observed = correlated(300, 2), correlated(20, 3) * 1.5
    learned, ranked = simulated[0::2].double().numpy(), simulated[1::2].double().numpy()
    among, mine = by_hand(learned, ranked, score), by_hand(learned, observed.double().numpy(), score)
    expected = [(1 + (among >= s).sum()) / 151 for s in mine]
    assert check_typicality(simulated, observed, score=score).pvalues.numpy() == pytest.approx(expected)


def test_features_that_never_vary_or_repeat_are_no_obstacle():
    simulated = correlated(400, 4)
    simulated = torch.cat([simulated, torch.ones(400, 1), simulated[:, :1]], 1)
    found = check_typicality(simulated, simulated[:50], score="mahalanobis")
    expected = check_typicality(simulated[:, :3], simulated[:50, :3], score="mahalanobis")
    torch.testing.assert_close(found.pvalues, expected.pvalues)


def test_tails_are_shares_of_simulations():
    simulated, observed = correlated(99, 5), torch.tensor([0.0, 1.0, -4.0])
    found = posterior_predictive_check(simulated, observed)
    for k in range(3):
        below = sum(float(s) <= float(observed[k]) for s in simulated[:, k])
        expected = min(1.0, 2 * (1 + min(below, 99 - below)) / 100)
        assert found.tails[k].item() == pytest.approx(expected)


def test_the_check_names_what_does_not_fit():
    simulated = correlated(2000, 6)
    fits = posterior_predictive_check(simulated, torch.zeros(3), names=["a", "b", "c"])
    assert fits.pvalue > 0.05
    assert fits.says.startswith("The observation is as the posterior's simulations are")
    far = posterior_predictive_check(simulated, torch.tensor([0.0, 0.0, 9.0]), names=["a", "b", "c"])
    assert "do not fit: c (0.001)" in far.says
    apart = posterior_predictive_check(simulated, torch.tensor([1.8, -1.8, 1.8]))
    assert "do not fit: none alone" in apart.says


def test_wrong_input_gets_a_sentence():
    x = torch.zeros(10, 2)
    with pytest.raises(ShapeError, match="must have 2 features, got 3"):
        check_typicality(x, torch.zeros(1, 3))
    with pytest.raises(DataError, match="4 simulations or more"):
        check_typicality(x[:3], x[:1])
    with pytest.raises(ShapeError, match="must have 2 statistics"):
        posterior_predictive_check(x, torch.zeros(3))
    with pytest.raises(ShapeError, match="names must be 2"):
        posterior_predictive_check(x, torch.zeros(2), names=["a"])

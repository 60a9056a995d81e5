"""The local two-sample test, against posteriors known in closed form and its definition written out."""

import pytest
import torch
from scipy import stats

from counterflow.core.errors import ShapeError
from counterflow.inference import fit_local_c2st

ROWS = 800


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data(seed, rows=ROWS):
    g = seeded(seed)
    theta = torch.randn(rows, 1, generator=g)
    return theta, theta + torch.randn(rows, 1, generator=g)


def draw(x, count, *, seed, wrong_above=float("inf")):
    """Draws of N(x / 2, 1 / 2); where x is large, of one that is much too narrow."""
    noise = torch.randn(len(x), count, 1, generator=seeded(seed))
    deviation = torch.where(x > wrong_above, 0.15, 0.5**0.5)
    return x.unsqueeze(1) / 2 + deviation.unsqueeze(1) * noise


def test_a_fault_at_one_place_is_seen_there_only():
    theta, x = data(0)
    found = fit_local_c2st(draw(x, 1, seed=1, wrong_above=0.5), theta, x=x, nulls=39, generator=seeded())
    wrong, right = torch.tensor([[1.5]]), torch.tensor([[-1.5]])
    seen = found.test(draw(wrong, 500, seed=2, wrong_above=0.5)[0], wrong[0])
    assert seen.pvalue == 1 / 40
    assert seen.probabilities.mean() > 0.6  # too much mass where the draws are
    unseen = found.test(draw(right, 500, seed=3)[0], right[0])
    assert unseen.pvalue > 1 / 40
    assert unseen.statistic < seen.statistic / 5


def test_the_exact_posterior_gives_uniform_pvalues():
    pvalues = []
    for seed in range(20):
        theta, x = data(seed, rows=200)
        found = fit_local_c2st(draw(x, 1, seed=seed + 100), theta, x=x, nulls=19, hidden=8, generator=seeded(seed))
        pvalues.append(found.test(draw(x[:1], 200, seed=seed + 200)[0], x[0]).pvalue)
    assert stats.kstest(pvalues, "uniform").pvalue > 0.01
    assert sum(p <= 0.05 for p in pvalues) <= stats.binom(20, 0.05).ppf(0.999)


def test_the_statistic_against_its_definition():
    theta, x = data(4, rows=100)
    found = fit_local_c2st(draw(x, 3, seed=5), theta, x=x, nulls=5, hidden=4, generator=seeded())
    draws, observation = draw(x[:1], 7, seed=6)[0], x[0]
    seen = found.test(draws, observation)
    points = (torch.cat([draws, observation.expand(7, 1)], 1) - found.center) / found.scale
    layers = found.classifiers.weights, found.classifiers.biases
    for k in range(6):
        (w1, w2, w3), (b1, b2, b3) = ([p[k] for p in parts] for parts in layers)
        logits = ((points @ w1 + b1).relu() @ w2 + b2).relu() @ w3 + b3
        expected = ((1 / (1 + (-logits).exp()) - 0.5) ** 2).mean().item()
        mine = seen.statistic if k == 0 else seen.null_statistics[k - 1].item()
        assert mine == pytest.approx(expected, rel=1e-4)
    assert seen.pvalue == (1 + sum(t >= seen.statistic for t in seen.null_statistics.tolist())) / 6


def test_wrong_input_gets_a_sentence():
    theta, x = data(7, rows=50)
    with pytest.raises(ShapeError, match="x must have 50 rows, as theta has, got 10"):
        fit_local_c2st(draw(x, 1, seed=0), theta, x=x[:10])
    found = fit_local_c2st(draw(x, 1, seed=0), theta, x=x, nulls=1, hidden=2, generator=seeded())
    with pytest.raises(ShapeError, match="2 numbers a row together, got 1 and 2"):
        found.test(torch.zeros(5, 1), torch.zeros(2))

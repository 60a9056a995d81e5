"""Class densities: closed forms, brute-force averages, and what plausibility promises about fresh rows."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import betabinom, norm

from counterflow.counterfactuals import ClassDensity
from counterflow.metrics import conformal_pvalue
from counterflow.tables import FlowEncoding
from tests.counterfactuals.toys import (
    NormalDensity,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
)

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.28, 0.5, 0.9, 1.0)


def labels_of(rows, label=1):
    return torch.full((rows,), label)


def test_plain_columns_have_the_density_of_scipy():
    """A standard normal on standardized columns is a product of normals with the sample's mean and deviation."""
    numbers = plain_numbers(200) * [3.0, 0.2] + [10.0, -1.0]
    density = toy_density(plain_schema(), numbers)
    fresh = plain_numbers(50, seed=1) * [3.0, 0.2] + [10.0, -1.0]
    expected = sum(norm.logpdf(fresh[:, k], numbers[:, k].mean(), numbers[:, k].std()) for k in range(2))
    np.testing.assert_allclose(density.log_density(torch.from_numpy(fresh), labels_of(50)), expected, atol=0.02)


def test_the_class_chooses_the_density():
    density = toy_density(plain_schema(), plain_numbers(100), flows=[NormalDensity((0.0, 1.0))])
    rows = torch.from_numpy(plain_numbers(4, seed=1))
    under = [density.log_density(rows, labels_of(4, k)) for k in range(2)]
    points, _ = density.encoding.encode(rows, density.noise[0, 0])
    np.testing.assert_allclose(
        under[1] - under[0], (points.sum(1) - 1.0).numpy()
    )  # log N(u; 1) - log N(u; 0) = u - 1/2


def test_log_density_against_a_brute_force_mean_over_draws():
    """Row by row and draw by draw: log of the mean of exp(flow + weight), the lowest over the flows."""
    numbers = mixed_numbers(120)
    flows = [NormalDensity((0.0, 0.3)), NormalDensity((-0.2, 0.0))]
    density = toy_density(mixed_schema(), numbers, flows=flows, draws=5)
    labels = torch.arange(20) % 2
    assert density.noise.shape == (5, 1, density.encoding.dimension)
    expected = np.empty((2, 20))
    for row in range(20):
        context = torch.eye(2, dtype=torch.float64)[labels[row]]
        for member, flow in enumerate(density.flows):
            terms = []
            for draw in range(5):
                point, weight = density.encoding.encode(torch.from_numpy(numbers[row]), density.noise[draw, 0])
                terms.append((flow(point, context) + weight).item())
            expected[member, row] = logsumexp(terms) - np.log(5)
    rows = torch.from_numpy(numbers[:20])
    np.testing.assert_allclose(density.member_log_densities(rows, labels).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(density.log_density(rows, labels), expected.min(axis=0), rtol=1e-12)
    density.mixture = True
    mixed = logsumexp(expected, axis=0) - np.log(2)
    np.testing.assert_allclose(density.log_density(rows, labels), mixed, rtol=1e-12)


def test_pieces_of_a_large_table_are_put_together_in_order(monkeypatch):
    numbers = mixed_numbers(60)
    density = toy_density(mixed_schema(), numbers)
    rows, labels = torch.from_numpy(numbers), torch.arange(60) % 2
    whole = density.log_density(rows, labels)
    monkeypatch.setattr("counterflow.counterfactuals.density._POINTS_AT_ONCE", 56)
    np.testing.assert_allclose(density.log_density(rows, labels), whole, rtol=1e-12)


def test_draws_of_the_search_average_to_the_density():
    density = toy_density(mixed_schema(), mixed_numbers(80), flows=[NormalDensity(), NormalDensity((0.0, 0.5))])
    rows, labels = torch.from_numpy(mixed_numbers(15, seed=2)), labels_of(15)
    draws = np.stack([density.at_draw(k, rows, labels).numpy() for k in range(8)])
    averaged = logsumexp(draws, axis=0) - np.log(8)
    np.testing.assert_allclose(density.member_log_densities(rows, labels).numpy(), averaged, rtol=1e-12)
    again = density.at_draw(8 + 3, rows, labels)
    assert torch.equal(again, density.at_draw(3, rows, labels))


def test_a_draw_has_the_gradient_of_finite_differences():
    density = toy_density(plain_schema(3), plain_numbers(60, 3))
    rows = torch.from_numpy(plain_numbers(4, 3, seed=5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: density.at_draw(0, x, labels_of(4)), (rows,))


def test_no_rows_have_no_densities():
    density = toy_density(plain_schema(), plain_numbers(30))
    assert density.log_density(torch.zeros(0, 2, dtype=torch.float64), labels_of(0)).shape == (0,)


def test_calibration_holds_the_scores_of_each_class_under_itself():
    numbers, labels = plain_numbers(40), torch.arange(40) % 3
    encoding = FlowEncoding.fit(plain_schema(), numbers)
    density = ClassDensity(encoding, [NormalDensity((0.0, 1.0, 2.0))], classes=3)
    density.calibrate(torch.from_numpy(numbers), labels)
    for k in range(3):
        own = density.log_density(torch.from_numpy(numbers[labels == k]), labels_of(int((labels == k).sum()), k))
        np.testing.assert_array_equal(density.calibration[k], np.sort(own))


def test_plausibility_is_the_conformal_p_value_of_the_own_class():
    density = toy_density(plain_schema(), plain_numbers(50))
    density.calibration[0] = density.calibration[0][:20] - 1.0
    scores, labels = np.linspace(-9, -1, 30), torch.arange(30) % 2
    found = density.plausibility(scores, labels)
    for row in range(30):
        calibration = density.calibration[int(labels[row])]
        assert found[row] == conformal_pvalue(calibration, scores[row : row + 1])[0]
        assert found[row] == (1 + sum(c <= scores[row] for c in calibration)) / (len(calibration) + 1)


@pytest.mark.parametrize("level", LEVELS)
def test_threshold_and_plausibility_say_the_same(level):
    density = toy_density(mixed_schema(), mixed_numbers(70))
    threshold = density.threshold(level)
    for k in range(2):
        scores = np.concatenate([density.calibration[k], density.calibration[k] - 1e-9, [-np.inf, 99.0]])
        reached = density.plausibility(scores, labels_of(len(scores), k)) >= level
        np.testing.assert_array_equal(scores >= threshold[k].item(), reached)


def test_the_conformal_promise_holds_for_fresh_rows():
    """With a fixed density the number of fresh rows that fail follows the beta-binomial law, over many splits.

    Of m fresh rows, exchangeable with n held-out ones, those with p-value < a are those below the l-th smallest
    held-out score, l = ceil(a(n + 1)) - 1: their number is beta-binomial with parameters (m, l, n + 1 - l). The density
    here is wrong on purpose (the rows are no standard normal): the promise asks for no good density.
    """
    held_out, fresh, level, splits = 39, 40, 0.1, 300
    random = np.random.default_rng(0)
    encoding = FlowEncoding.fit(plain_schema(), plain_numbers(50))
    density = ClassDensity(encoding, [NormalDensity((0.0,))], classes=1)
    failures = np.empty(splits, dtype=int)
    for split in range(splits):
        rows = torch.from_numpy(random.standard_t(4, size=(held_out + fresh, 2)) * [2.0, 0.5])
        density.calibrate(rows[:held_out], labels_of(held_out, 0))
        scores = density.log_density(rows[held_out:], labels_of(fresh, 0))
        failures[split] = (density.plausibility(scores, labels_of(fresh, 0)) < level).sum()
    rank = int(np.ceil(level * (held_out + 1))) - 1
    law = betabinom(fresh, rank, held_out + 1 - rank)
    error = law.std() / np.sqrt(splits)
    assert failures.mean() / fresh <= level
    assert abs(failures.mean() - law.mean()) < 4 * error
    assert 0.75 < failures.var() / law.var() < 1.35
    for count in (0, 2, 5):
        share, chance = (failures <= count).mean(), law.cdf(count)
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / splits) + 1e-9


def test_flows_are_frozen_in_float64_and_evaluation_mode():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    density = ClassDensity(FlowEncoding.fit(plain_schema(), plain_numbers(30)), [net], classes=2)
    assert not any(parameter.requires_grad for parameter in density.parameters())
    assert all(parameter.dtype == torch.float64 for parameter in density.parameters())
    assert not any(part.training for part in density.flows.modules())

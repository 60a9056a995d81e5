"""The judge of the search is itself judged: its numbers by brute force, and its verdict on strong and weak toys."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from counterflow.counterfactuals import ClassDensity, WitnessReport
from counterflow.counterfactuals.splits import Roles, assign_roles
from counterflow.counterfactuals.witness import examine_witness
from counterflow.metrics import permute_one_column
from counterflow.tables import FlowEncoding
from tests.counterfactuals.toys import NormalDensity, plain_schema

CORRELATION = 0.97


class Correlated(nn.Module):
    """The normal density with a correlation of two coordinates."""

    def __init__(self, correlation=CORRELATION):
        super().__init__()
        covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
        self.register_buffer("covariance", covariance)

    def forward(self, points, context):
        mean = torch.zeros(2, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(mean, self.covariance).log_prob(points)


def correlated_rows(count, seed=0):
    covariance = [[1, CORRELATION], [CORRELATION, 1]]
    return multivariate_normal([0, 0], covariance).rvs(count, random_state=seed)


def case(*, witness, search, rows=900, seed=0):
    """Two densities on disjoint halves, calibrated crosswise, and the report on the first."""
    numbers, labels = torch.from_numpy(correlated_rows(rows, seed)), torch.arange(rows) % 2
    roles = assign_roles(labels.numpy(), seed=seed)
    densities = []
    for flows, own, other in (
        (witness, roles.witness, roles.witness_calibration),
        (search, roles.search, roles.search_calibration),
    ):
        density = ClassDensity(FlowEncoding.fit(plain_schema(), numbers[own].numpy()), flows, classes=2)
        density.calibrate(numbers[other], labels[other])
        densities.append(density)
    return *densities, numbers, labels, roles, examine_witness(*densities, numbers, labels, roles=roles, seed=5)


@pytest.fixture(scope="module")
def strong():
    return case(witness=[Correlated()], search=[NormalDensity(), Correlated(0.5)])


def test_likelihoods_are_the_means_over_held_out_rows(strong):
    witness, search, numbers, labels, roles, report = strong
    own = witness.log_density(numbers[roles.witness_calibration], labels[roles.witness_calibration])
    held_out = roles.search_calibration
    others = [
        ClassDensity(search.encoding, [flow], classes=2).log_density(numbers[held_out], labels[held_out])
        for flow in search.flows
    ]
    best = max(others, key=np.mean)
    assert report.log_likelihood == pytest.approx(own.mean(), rel=1e-12)
    assert report.search_log_likelihood == pytest.approx(best.mean(), rel=1e-12)
    error = np.sqrt(own.std(ddof=1) ** 2 / len(own) + best.std(ddof=1) ** 2 / len(best))
    assert report.log_likelihood_error == pytest.approx(error, rel=1e-12)
    assert report.sizes == roles.sizes()


def test_the_likelihood_is_that_of_the_true_density(strong):
    """The witness is the truth up to the standardization: its likelihood is the entropy of the normal, within error."""
    truth = -multivariate_normal([0, 0], [[1, CORRELATION], [CORRELATION, 1]]).entropy()
    assert strong[-1].log_likelihood == pytest.approx(truth, abs=0.25)


def test_rejection_against_a_loop(strong):
    witness, _, numbers, labels, roles, report = strong
    generator = np.random.default_rng(5)
    rejected, counted = 0, 0
    rows, classes = numbers[roles.witness_calibration].numpy(), labels[roles.witness_calibration].numpy()
    for label in (0, 1):
        real = rows[classes == label]
        wrong, column = permute_one_column(real, generator=generator)
        for before, after, place in zip(real, wrong, column, strict=True):
            assert (before != after).sum() <= 1
            if before[place] == after[place]:
                continue
            score = witness.log_density(torch.from_numpy(after)[None], torch.tensor([label]))[0]
            below = sum(c <= score for c in witness.calibration[label])
            rejected += (1 + below) / (len(witness.calibration[label]) + 1) < 0.1
            counted += 1
    assert report.rejection == pytest.approx(rejected / counted, rel=1e-12)


def test_a_strong_judge_is_informative(strong):
    report = strong[-1]
    assert report.informative
    assert report.rejection > 0.5
    assert report.sentence.startswith("The witness was trained on 450 rows")
    assert "rejects" in report.sentence


def test_a_judge_of_margins_alone_is_not():
    """Independent columns: permuted rows look as real ones do."""
    *_, report = case(witness=[NormalDensity()], search=[Correlated()])
    assert not report.informative
    assert report.rejection < 0.3
    assert report.log_likelihood < report.search_log_likelihood
    assert report.sentence.startswith("Not informative: the witness is too weak a judge here.")


def test_a_sharp_judge_that_knows_less_than_the_search_is_not():
    *_, report = case(witness=[Correlated(0.9)], search=[Correlated()])
    assert report.rejection > 0.5
    assert not report.informative


def test_large_tables_compare_on_the_same_rows():
    witness, search, numbers, labels, roles, report = case(witness=[Correlated()], search=[NormalDensity()], rows=5200)
    rows = roles.witness_calibration
    own = witness.log_density(numbers[rows], labels[rows])
    other = search.log_density(numbers[rows], labels[rows])
    difference = own - other
    error = difference.std(ddof=1) / np.sqrt(len(rows))
    assert len(rows) == 1040
    assert report.log_likelihood_error == pytest.approx(error, rel=1e-12)
    assert report.log_likelihood - report.search_log_likelihood == pytest.approx(difference.mean(), rel=1e-9)


def test_a_class_of_one_held_out_row_does_not_stop_the_examination():
    """A rare class may have a single row among those examined: it has no other row to lend a value."""
    numbers = torch.from_numpy(correlated_rows(400))
    labels = torch.zeros(400, dtype=torch.long)
    labels[[0, 300, 301, 302]] = 1
    roles = Roles(first := np.arange(200, 400), second := np.arange(200), second, first)
    density = ClassDensity(FlowEncoding.fit(plain_schema(), numbers.numpy()), [Correlated()], classes=2)
    density.calibrate(numbers, labels)
    for examined in (roles, Roles(second, first, first, second)):
        report = examine_witness(density, density, numbers, labels, roles=examined, seed=0)
        assert 0.5 < report.rejection < 1


@pytest.mark.parametrize("likelihood", [-3.5, -np.inf, np.nan])
def test_a_report_survives_json(likelihood):
    """A held-out row with a code that the witness never saw has density zero: the mean is then minus infinity."""
    sizes = {"witness_training": 10, "search_training": 10, "cross_fitted": True}
    report = WitnessReport(likelihood, -4.0, likelihood, 0.5, sizes, informative=False)
    again = WitnessReport.from_dict(json.loads(json.dumps(report.to_dict(), allow_nan=False)))
    np.testing.assert_equal(vars(again), vars(report))
    assert again.sentence == report.sentence

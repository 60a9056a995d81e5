"""FlowHMM: what it learns, how it is used, and what it says to bad input."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from counterflow import FlowHMM, flows
from counterflow.core.errors import ArgumentError, DataError, PersistenceError
from counterflow.estimators import select_states

LENGTHS = [400, 1, 299]


def series(rows=700, seed=0):
    """Two states that stay for twenty steps: uniform on (4, 6), and normal around 0."""
    rng = np.random.default_rng(seed)
    states = np.cumsum(rng.random(rows) < 0.05) % 2
    return np.where(states, rng.uniform(4, 6, rows), rng.normal(0, 1, rows))[:, None], states


def agreement(path, states):
    return max((path == states).mean(), (path != states).mean())


@pytest.fixture(scope="module")
def fitted():
    X, states = series()
    return FlowHMM(2, layers=2, max_epochs=8, restarts=2, random_state=0).fit(X, LENGTHS), X, states


def test_states_are_found_without_labels(fitted):
    hmm, X, states = fitted
    assert agreement(hmm.predict(X, LENGTHS), states) > 0.99
    assert agreement(hmm.predict_proba(X, LENGTHS).argmax(1), states) > 0.99
    assert hmm.transmat_.diagonal() == pytest.approx([0.95, 0.95], abs=0.03)
    assert hmm.startprob_.sum() == pytest.approx(1.0)
    assert hmm.predict_proba(X, LENGTHS).sum(1) == pytest.approx(np.ones(len(X)))


def test_the_score_is_the_mean_and_near_that_of_the_truth(fitted):
    hmm, *_ = fitted
    X, states = series(seed=1)
    assert hmm.score(X) == pytest.approx(hmm.score_samples(X).mean())
    stay = np.where(np.diff(states), math.log(0.05), math.log(0.95)).mean()
    truth = stay + np.where(states, math.log(0.5), -0.5 * X[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)).mean()
    assert hmm.score(X) == pytest.approx(truth, abs=0.15)


def test_emissions_are_densities_in_the_units_of_the_data(fitted):
    hmm, *_ = fitted
    grid = np.linspace(-10, 12, 4001)[:, None]
    mass = np.exp(hmm.emission_log_density(grid)).sum(0) * (grid[1, 0] - grid[0, 0])
    assert mass == pytest.approx([1.0, 1.0], abs=1e-3)


def test_a_longer_unit_lowers_the_score_by_its_logarithm():
    X, _ = series(200)
    quick = FlowHMM(2, flow="linear", layers=None, max_epochs=2, restarts=1, random_state=0)
    assert clone(quick).fit(100 * X).score(100 * X) == pytest.approx(quick.fit(X).score(X) - math.log(100), abs=1e-4)


def test_samples_come_from_the_model(fitted):
    hmm, X, _ = fitted
    made, states = hmm.sample(3000, random_state=0)
    assert made.shape == (3000, 1)
    assert agreement(hmm.predict(made), states) > 0.98
    assert hmm.score(made) == pytest.approx(hmm.score(X), abs=0.2)
    assert np.array_equal(hmm.sample(5, random_state=1)[0], hmm.sample(5, random_state=1)[0])


def test_a_stream_is_the_series_one_at_a_time(fitted):
    hmm, X, _ = fitted
    stream, scores = hmm.stream(), hmm.score_samples(X[:30])
    for row, score in zip(X[:30], scores, strict=True):
        chances = stream.update(row)
        assert stream.log_density == pytest.approx(score)
    assert chances == pytest.approx(hmm.predict_proba(X[:30])[-1])
    assert stream.ahead(1) == pytest.approx(chances @ hmm.transmat_)
    for bad in ([1.0, 2.0], [math.inf], []):
        with pytest.raises(DataError, match="an observation must be 1 finite numbers"):
            stream.update(bad)
    with pytest.raises(DataError, match=r"row 0 of X holds 1e\+200 in column 0"):
        stream.update([1e200])
    frozen = X[30]
    frozen.flags.writeable = False
    assert stream.update(frozen) == pytest.approx(hmm.predict_proba(X[:31])[-1])


def test_saved_and_loaded_it_is_the_same_bit_by_bit(fitted, tmp_path):
    hmm, X, _ = fitted
    again = FlowHMM.load(hmm.save(tmp_path / "hmm"))
    assert np.array_equal(again.score_samples(X, LENGTHS), hmm.score_samples(X, LENGTHS))
    assert np.array_equal(again.sample(9, random_state=0)[0], hmm.sample(9, random_state=0)[0])
    assert again.get_params() == hmm.get_params()
    assert again.report_ == hmm.report_


def test_names_of_columns_are_saved(tmp_path):
    X = np.random.default_rng(0).normal(0, [1.0, 100.0], (60, 2))
    frame = pd.DataFrame(X, columns=["a", "b"])
    hmm = FlowHMM(1, flow="linear", layers=None, max_epochs=1, random_state=0).fit(frame)
    again = FlowHMM.load(hmm.save(tmp_path / "hmm"))
    assert again.score(frame) == hmm.score(frame)
    for model in (hmm, again):
        with pytest.raises(DataError, match="feature names should match"):
            model.score(frame[["b", "a"]])


def test_what_lies_far_out_takes_nothing_from_the_others(fitted):
    hmm, X, _ = fitted
    far = X.copy()
    far[::45] = 1e20
    others = np.arange(len(X)) % 45 > 20
    assert (hmm.predict(far) == hmm.predict(X))[others].all()
    far[45] = 1e200
    with pytest.raises(DataError, match=r"row 45 of X holds 1e\+200 in column 0, more than 1e\+100 standard"):
        hmm.predict(far)


def test_an_emission_says_nothing_of_what_was_not_observed(fitted):
    hmm = clone(fitted[0]).set_params(missing="skip")
    hmm.fit(fitted[1], LENGTHS)
    assert hmm.emission_log_density([[np.nan]]).tolist() == [[0.0, 0.0]]


def test_longer_stretches_stop_the_training_of_smooth_series_earlier():
    """Of a smooth series, rows between their neighbors are known; far from all others they are not."""
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.normal(size=(1200, 2)), 0)
    how = {"flow": "spline_autoregressive", "hidden": (16,), "max_epochs": 60, "patience": 8, "random_state": 0}
    epochs = [FlowHMM(1, stretch=stretch, validation=0.2, **how).fit(X).n_iter_ for stretch in (2, 60)]
    assert epochs[1] < epochs[0] / 2


def test_small_units_are_no_constants():
    X, states = series(400)
    quick = {"flow": "linear", "layers": None, "max_epochs": 2, "random_state": 0}
    found, small = (FlowHMM(2, **quick).fit(X * unit).score(X * unit) for unit in (1.0, 1e-13))
    assert small == pytest.approx(found - math.log(1e-13))


def test_the_same_seed_gives_the_same_model(fitted):
    hmm, X, _ = fitted
    assert np.array_equal(clone(hmm).fit(X, LENGTHS).score_samples(X), hmm.score_samples(X))


def test_missing_observations_let_time_pass(fitted):
    hmm, X, states = fitted
    gaps = X.copy()
    gaps[50:300:5] = np.nan
    with pytest.raises(DataError, match=r"NaN.*missing=\"skip\""):
        hmm.predict(gaps)
    skipping = clone(hmm).set_params(missing="skip").fit(gaps, LENGTHS)
    assert agreement(skipping.predict(gaps, LENGTHS), states) > 0.98
    scores = skipping.score_samples(gaps, LENGTHS)
    assert (scores[50:300:5] == 0).all()
    assert skipping.score(gaps, LENGTHS) == pytest.approx(scores.sum() / (~np.isnan(gaps[:, 0])).sum())
    with pytest.raises(DataError, match="score needs an observation"):
        skipping.score(np.full((5, 1), np.nan))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "gradient", "restarts": 3},
        {"method": "cooccurrence"},
        {"flow": "continuous", "layers": 1, "hidden": (8,), "batch_size": 400},
        {"flow": lambda features: flows.realnvp(features, layers=2, hidden=(8,))},
    ],
    ids=["gradient", "cooccurrence", "continuous", "a function"],
)
def test_other_ways(settings):
    """In two dimensions: a ring segment of the plane, and a normal law."""
    rng = np.random.default_rng(0)
    states = np.arange(400) // 20 % 2
    angle = rng.uniform(0, math.pi, 400)
    ring = 4 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.2 * rng.normal(size=(400, 2))
    X = np.where(states[:, None], ring, rng.normal(0, 0.5, (400, 2)) - 1)
    quick = {"layers": 2, "hidden": (8,), "max_epochs": 2, "restarts": 2, "random_state": 0}
    hmm = FlowHMM(2, **(quick | settings)).fit(X)
    assert agreement(hmm.predict(X), states) > 0.97
    assert np.isfinite(hmm.score(X))


def test_as_few_states_as_predict_as_well_as_any():
    X, _ = series(500)
    settings = FlowHMM(flow="linear", layers=None, max_epochs=3, restarts=2, random_state=0)
    found = select_states(settings, X, candidates=[1, 2, 3])
    assert found.scores[1] < found.scores[2] - 0.3
    assert found.chosen == found.estimator.n_states
    assert found.shortfall[found.chosen] <= found.error[found.chosen]
    bad = [(FlowHMM(), [1]), (FlowHMM(random_state=0, validation=0), [1]), (settings, [])]
    for refused, candidates in bad:
        with pytest.raises(ArgumentError, match="needs candidates, validation above 0 and a seed as random_state"):
            select_states(refused, X, candidates=candidates)
    with pytest.raises(DataError, match="at least 5 held-out observations to compare by, got 1"):
        select_states(settings, X[:10], candidates=[1])
    with pytest.raises(DataError, match="6 states need at least 60 observations"):
        select_states(settings, X[:50])


X20 = np.arange(20.0)[:, None] % 7
BAD_FITS = {
    "lengths do not add up": (X20, [10, 9], {}, "lengths must add up to the 20 rows of X, got a sum of 19"),
    "lengths are no numbers": (X20, ["a"], {}, "lengths must be a list of whole numbers"),
    "lengths are no whole numbers": (X20, [10.0, 10.0], {}, "lengths must be a list of whole numbers"),
    "lengths are ragged": (X20, [[1], [1, 2]], {}, "lengths must be a list of whole numbers"),
    "lengths are long": (X20, [0] * 30, {}, "got 30 of which the least is 0"),
    "lengths hold a zero": (X20, [20, 0], {}, "lengths must be whole numbers of at least 1"),
    "one observation": (X20[:1], None, {}, "2 states need at least 20 observations, got n_samples=1"),
    "no observation follows another": (X20, [1] * 20, {}, "no observation is followed by another"),
    "a missing value": (np.where(X20 == 3, np.nan, X20), None, {}, "NaN"),
    "an infinite value": (np.where(X20 == 3, np.inf, X20), None, {"missing": "skip"}, "infinity"),
    "a constant column": (np.ones((20, 1)), None, {}, "column 0 is constant"),
    "one dimension": (X20[:, 0], None, {}, "Expected 2D array"),
    "text": (np.full((20, 1), "a"), None, {}, "could not convert"),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_what_cannot_be_learned_from_is_refused(case):
    X, lengths, settings, message = BAD_FITS[case]
    with pytest.raises(DataError, match=message):
        FlowHMM(2, **settings).fit(X, lengths)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_states": 0}, "n_states must be a whole number of at least 1"),
        ({"method": "viterbi"}, "method must be one of"),
        ({"missing": "drop"}, "missing must be 'error' or 'skip'"),
        ({"validation": 1.0}, r"validation must be a share in \[0, 1\)"),
        ({"pseudo_count": -1.0}, "pseudo_count must be at least 0"),
        ({"flow": "spline"}, "flow must be a function that builds a flow or one of"),
        ({"restarts": 0}, "restarts must be"),
        ({"stretch": 0}, "stretch must be"),
    ],
)
def test_settings_out_of_their_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        FlowHMM(**settings).fit(series(60)[0])


def test_what_was_fitted_says_what_it_needs(fitted):
    hmm, X, _ = fitted
    with pytest.raises(DataError, match="expecting 1 features"):
        hmm.score(np.zeros((5, 2)))
    with pytest.raises(DataError, match="add up to the 700 rows"):
        hmm.predict(X, [1, 2])
    with pytest.raises(DataError, match="0 sample"):
        hmm.score(X[:0])
    with pytest.raises(ArgumentError, match="n_samples"):
        hmm.sample(0)
    assert hmm.score(X[:1]) == pytest.approx(hmm.score_samples(X[:1])[0])
    with pytest.raises(NotFittedError):
        FlowHMM().predict(X)


def test_a_flow_composed_by_hand_cannot_be_saved(tmp_path):
    def by_hand(features):
        return flows.compose(flows.linear(features).bijection)

    hmm = FlowHMM(2, flow=by_hand, max_epochs=1, random_state=0).fit(series(100)[0])
    with pytest.raises(PersistenceError, match="composed by hand"):
        hmm.save(tmp_path / "hmm")


def test_the_random_state_of_torch_is_left_alone():
    before = torch.get_rng_state()
    FlowHMM(2, flow="linear", layers=None, max_epochs=1, random_state=0).fit(series(100)[0])
    assert torch.equal(before, torch.get_rng_state())

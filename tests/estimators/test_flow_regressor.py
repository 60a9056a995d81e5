"""FlowRegressor on mixed tables: numbers, quantiles, intervals, whole numbers, questions, folders and refusals."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import stats

from counterflow import CounterfactualExplainer, Schema, flows
from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.estimators import FlowRegressor
from counterflow.metrics import interval_coverage
from counterflow.regression import ConditionalFlow, MixtureHead, SplineHead, TreeFlow, Trees

SPLINE = ConditionalFlow(head=SplineHead(hidden=(16,)))
GAUSSIAN = ConditionalFlow(head=MixtureHead(1, hidden=(16,)))
FOREST = TreeFlow(Trees("forest", 5, 2), location=Trees("forest", 10, 4), folds=3, head=SplineHead(hidden=(8,)))


def table(rows=400, seed=0):
    """y | a, c is N(10 a + 5 [c = x], 1)."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": random.uniform(size=rows), "c": random.choice(list("xyz"), size=rows)})
    return frame, 10 * frame.a + 5 * (frame.c == "x") + random.normal(size=rows)


def fitted(method: Any = GAUSSIAN, **settings: Any) -> FlowRegressor:
    frame, y = table()
    return FlowRegressor(method, **{"members": 2, "max_epochs": 25, "random_state": 0} | settings).fit(frame, y)


@pytest.fixture(scope="module")
def law():
    return fitted()


def test_a_known_law_is_found_in_every_question(law):
    frame, y = table(300, seed=1)
    mean = (10 * frame.a + 5 * (frame.c == "x")).to_numpy()
    assert stats.norm.logpdf(y, mean, 1).mean() - law.score(frame, y) < 0.06
    for kind in ("mean", "median", "mode"):
        np.testing.assert_allclose(law.predict(frame, kind=kind), mean, atol=0.8)
    np.testing.assert_allclose(law.predict_quantiles(frame, [0.1, 0.9])[:, 1] - mean, stats.norm.ppf(0.9), atol=0.9)
    np.testing.assert_allclose(law.predict_cdf(frame, y.to_numpy()[:, None])[:, 0], law.pit(frame, y), rtol=1e-12)
    assert law.crps(frame, y).mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.12)
    draws = law.sample(frame, 500, random_state=0)
    np.testing.assert_allclose(draws.mean(1), law.predict(frame), atol=0.3)


def test_the_density_is_that_of_the_likelihood(law):
    frame, y = table(5, seed=2)
    density = law.predict_density(frame, y.to_numpy()[:, None])[:, 0]
    np.testing.assert_allclose(np.log(density), law.log_likelihood(frame, y))
    grid = np.linspace(-20, 40, 4001)
    np.testing.assert_allclose(law.predict_density(frame, grid).sum(1) * (grid[1] - grid[0]), 1, atol=1e-6)


def test_whole_numbers_get_probabilities_and_a_warning():
    frame, y = table()
    counts = np.round(y)
    with pytest.warns(UserWarning, match="whole numbers only"):
        law = FlowRegressor(GAUSSIAN, members=1, max_epochs=10, random_state=0).fit(frame, counts)
    np.testing.assert_allclose(law.predict_density(frame[:3], np.arange(-30, 50)).sum(1), 1, atol=1e-6)
    probability = law.predict_cdf(frame[:3], [4.0]) - law.predict_cdf(frame[:3], [3.0])
    np.testing.assert_allclose(law.predict_density(frame[:3], [4.0]), probability, rtol=1e-9)
    for answer in (law.sample(frame, 5), law.predict(frame, kind="mode"), law.predict_interval(frame)):
        np.testing.assert_array_equal(answer, np.round(answer))
    assert law.pit(frame, counts).max() <= 1
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=1, whole_numbers=False).fit(frame, counts)
    assert law.law_.whole == (False,)


@pytest.fixture(scope="module")
def rare():
    """One in ten is 1, the others are 0."""
    frame, _ = table(500)
    counts = (np.random.default_rng(1).random(500) < 0.1).astype(int)
    with pytest.warns(UserWarning, match="whole numbers only"):
        return frame, FlowRegressor("mixture", members=1, max_epochs=15, random_state=0).fit(frame, counts)


def test_the_law_of_whole_numbers_is_a_law_of_steps(rare):
    frame, law = rare
    steps = law.predict_cdf(frame[:4], [-0.1, 0.0, 0.3, 0.999, 1.0])
    np.testing.assert_array_equal(steps[:, 1], steps[:, 2])
    np.testing.assert_array_equal(steps[:, 1], steps[:, 3])
    assert (steps[:, 0] < steps[:, 1]).all()
    assert (steps[:, 3] < steps[:, 4]).all()
    np.testing.assert_array_equal(law.predict_density(frame[:4], [0.5]), 0.0)
    draws = law.sample(frame[:4], 20_000, random_state=0)
    np.testing.assert_allclose((draws <= 0).mean(1), steps[:, 1], atol=0.012)
    np.testing.assert_allclose(law.predict(frame[:4]), draws.mean(1), atol=0.012)
    np.testing.assert_array_equal(law.predict(frame[:4], kind="mode"), 0)


def test_the_score_of_whole_numbers_is_that_of_their_steps(rare):
    frame, law = rare
    numbers = np.arange(-20, 21)
    for truth in (0, 1):
        gaps = law.predict_cdf(frame[:3], numbers) - (numbers >= truth)
        np.testing.assert_allclose(law.crps(frame[:3], np.full(3, truth)), (gaps**2).sum(1), atol=0.008)


def test_whole_numbers_beside_others_are_found():
    frame, y = table(300)
    counts = np.clip(np.round(np.random.default_rng(0).normal(size=300)), -1, 1)
    with pytest.warns(UserWarning, match="y's column 1 holds whole numbers only"):
        law = FlowRegressor(GAUSSIAN, members=1, max_epochs=12, draws=200, random_state=0).fit(frame, np.c_[y, counts])
    assert law.law_.whole == (False, True)
    draws = law.sample(frame[:2], 50)
    np.testing.assert_array_equal(draws[..., 1], draws[..., 1].round())
    assert (draws[..., 0] != draws[..., 0].round()).all()
    grid = np.stack(np.meshgrid(np.linspace(-25, 45, 701), np.arange(-9, 10)), -1).reshape(-1, 2)
    one = frame.iloc[np.zeros(len(grid), dtype=int)]
    assert np.exp(law.log_likelihood(one, grid)).sum() * 0.1 == pytest.approx(1, abs=0.02)
    with pytest.raises(ArgumentError, match="y must hold whole numbers, got others"):
        law.score(frame, np.c_[y, counts + 0.5])


def test_targets_keep_their_names(tmp_path):
    frame, y = table(60)
    targets = pd.DataFrame({"u": y, "v": -y})
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=1, draws=20, random_state=0).fit(frame, targets)
    law.save(tmp_path / "law")
    for model in (law, FlowRegressor.load(tmp_path / "law")):
        assert np.isfinite(model.score(frame, targets))
        assert model.score(frame, targets.to_numpy()) == model.score(frame, targets)
        with pytest.raises(DataError, match=r"y must have the columns \['u', 'v'\], as in fit, got \['v', 'u'\]"):
            model.score(frame, targets[["v", "u"]])
        with pytest.raises(ShapeError, match="y must have 2 columns, as in fit, got 1"):
            model.score(frame, y)


def test_two_whole_targets_have_probabilities():
    frame, y = table(100)
    with pytest.warns(UserWarning, match="whole numbers only"):
        law = FlowRegressor(GAUSSIAN, members=1, max_epochs=3, random_state=0).fit(frame, np.c_[y, -y].round())
    grid = np.stack(np.meshgrid(np.arange(-25, 45), np.arange(-45, 25)), -1).reshape(-1, 2).astype(float)
    one = frame.iloc[np.zeros(len(grid), dtype=int)]
    assert np.exp(law.log_likelihood(one, grid)).sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
@pytest.mark.parametrize("targets", [1, 2])
def test_conformal_coverage_follows_its_law(coverage, targets):
    """Over fresh rows, with a law that was hardly learned; the band is that of the beta-binomial law at 1 in 1,000."""
    frame, y = table(2400)
    values = y.to_numpy() if targets == 1 else np.c_[y, y + np.random.default_rng(3).normal(size=2400)]
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=1, draws=200, random_state=0).fit(frame[:200], values[:200])
    law.calibrate(frame[200:500], values[200:500])
    inside = interval_coverage(law.predict_interval(frame[500:], coverage=coverage), values[500:]) * 1900
    rank = int(np.ceil(coverage * 301))
    assert stats.betabinom(1900, rank, 301 - rank).cdf([inside, inside - 1]) == pytest.approx(0.5, abs=0.4995)


def test_coverage_is_kept_where_the_law_is_far_too_sure():
    """Calibration rows beyond the outermost millionths of the learned law; over calibrations, by the beta law."""
    rng = np.random.default_rng(0)
    x, wide = rng.normal(size=(4000, 1)), 8 * rng.normal(size=4000)
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=20, random_state=0).fit(x[:400], rng.normal(size=400))
    counts = []
    for cut in range(400, 4000, 90):
        law.calibrate(x[cut : cut + 49], wide[cut : cut + 49])
        ends = law.predict_interval(x[cut + 49 : cut + 90], coverage=0.8)
        assert np.isfinite(ends).all()
        counts.append(interval_coverage(ends, wide[cut + 49 : cut + 90]))
    error = np.sqrt(0.8 * 0.2 * (1 / 50 + 1 / 41) / len(counts))
    assert np.mean(counts) == pytest.approx(0.8, abs=4 * error)


def test_nine_rows_are_enough_for_nine_tenths():
    law = fitted(max_epochs=1)
    frame, y = table(9, seed=4)
    law.calibrate(frame, y)
    assert np.isfinite(law.predict_interval(frame, coverage=0.9)).all()
    assert np.isinf(law.predict_interval(frame, coverage=0.91)).all()


def test_too_few_rows_to_calibrate_say_so_by_endless_intervals():
    law = fitted(max_epochs=1, calibration=0.01)
    assert np.isinf(law.predict_interval(table(3)[0], coverage=0.9)).all()


@pytest.mark.parametrize("method", [SPLINE, GAUSSIAN, FOREST])
@pytest.mark.parametrize("targets", [1, 2])
def test_a_saved_regressor_answers_the_same(method, targets, tmp_path):
    frame, y = table(120)
    values = y if targets == 1 else np.c_[y, -y]
    law = FlowRegressor(method, members=2, max_epochs=2, calibration=0.2, draws=50, random_state=0).fit(frame, values)
    law.save(tmp_path / "law")
    again = FlowRegressor.load(tmp_path / "law")
    for ask in ("predict", "predict_interval", "predict_quantiles"):
        np.testing.assert_array_equal(getattr(again, ask)(frame), getattr(law, ask)(frame))
    np.testing.assert_array_equal(again.sample(frame, 3, random_state=1), law.sample(frame, 3, random_state=1))
    assert again.predict(frame).shape == ((120,) if targets == 1 else (120, 2))
    assert again.get_params()["members"] == 2


def test_polars_gaps_and_new_categories():
    frame, y = table(120)
    frame.loc[::7, "a"] = np.nan
    law = FlowRegressor(SPLINE, members=1, max_epochs=2, random_state=0).fit(frame, y)
    np.testing.assert_array_equal(law.predict(pl.from_pandas(frame)), law.predict(frame))
    with pytest.raises(DataError, match="'w'"):
        law.predict(pd.DataFrame({"a": [0.5], "c": ["w"]}))


@pytest.mark.parametrize("method", [GAUSSIAN, FOREST])
def test_a_question_about_a_quantile_is_answered(method):
    law = fitted(method, members=1)
    model = law.as_model(quantile=0.9)
    frame, _ = table(150)
    np.testing.assert_allclose(model.predict(frame), law.predict_quantiles(frame, [0.9])[:, 0], rtol=1e-9)
    density = partial(flows.realnvp, layers=1, hidden=(8,))
    explainer = CounterfactualExplainer(model, schema=law.schema_, density=density, random_state=0).fit(frame)
    answer = explainer.explain(frame[model.predict(frame) > 11][:2], desired=(None, 10.0))
    assert answer.valid.all()
    assert (law.predict_quantiles(answer.frame, [0.9])[:, 0] <= 10).all()


@pytest.mark.parametrize(
    "ask", [{"quantile": 0.9}, {"kind": "mean"}, {"kind": "median"}, {"quantile": 0.2, "target": 1}]
)
@pytest.mark.parametrize("head", [SplineHead(hidden=(8,)), MixtureHead(2, hidden=(8,))])
def test_slopes_of_a_law_are_finite_differences(ask, head):
    frame, y = table(100)
    values = y if "target" not in ask else np.c_[y, -y]
    law = FlowRegressor(ConditionalFlow(head=head), members=2, max_epochs=3, draws=101, random_state=0)
    model = law.fit(frame, values).as_model(**ask)
    numbers = law.law_.rows.numbers(frame[:5]).requires_grad_()
    slope = torch.autograd.grad(model.logits(numbers).sum(), numbers)[0][:, 0]
    step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    ends = [model.logits(numbers.detach() + sign * step)[:, 0] for sign in (1, -1)]
    torch.testing.assert_close(slope, (ends[0] - ends[1]) / 2e-5, rtol=2e-3, atol=1e-4)


def test_a_mode_and_trees_have_no_slope():
    assert not fitted(FOREST, max_epochs=1).as_model().differentiable
    assert not fitted(max_epochs=1).as_model(kind="mode").differentiable


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda law, frame: law.predict(frame, kind="best"), ArgumentError, "got 'best'"),
        (lambda law, frame: law.predict_quantiles(frame, [1.0]), ArgumentError, r"in \(0, 1\)"),
        (lambda law, frame: law.predict_quantiles(frame, "a"), ArgumentError, "quantiles must be numbers"),
        (lambda law, frame: law.predict_density(frame, np.zeros((2, 4))), ShapeError, r"as many rows as X \(3\)"),
        (lambda law, frame: law.predict_cdf(frame, [np.nan]), ShapeError, "none of them NaN"),
        (lambda law, frame: law.score(frame, [1.0, 2.0, 3.0], np.zeros(3)), DataError, "at least one non-zero"),
        (lambda law, frame: law.predict_interval(frame, coverage=1.0), ArgumentError, "coverage must lie"),
        (lambda law, frame: law.as_model(quantile=2.0), ArgumentError, "quantile must lie"),
        (lambda law, frame: law.as_model(target=1), ArgumentError, "target must be one of"),
        (lambda law, frame: law.score(frame, [1.0]), ShapeError, "each of the 3 rows"),
        (lambda law, frame: law.predict(frame.drop(columns="a")), DataError, "feature names"),
    ],
)
def test_questions_without_an_answer_are_refused(law, ask, error, words):
    with pytest.raises(error, match=words):
        ask(law, table(3)[0])


@pytest.mark.parametrize(
    ("settings", "y", "error", "words"),
    [
        ({"calibration": 1.0}, None, ArgumentError, "calibration must be a share"),
        ({"schema": "columns"}, None, ArgumentError, "schema must be a Schema"),
        ({"whole_numbers": True}, None, ArgumentError, "y must hold whole numbers, got others"),
        ({"batch_size": 0}, None, ArgumentError, "batch_size"),
        ({}, np.arange(20.0) * 1e200, DataError, "larger units"),
        ({}, pd.date_range("2020-01-01", periods=20), DataError, "y must hold numbers, got dates"),
        ({}, pd.DataFrame({"u": pd.timedelta_range("1D", periods=20)}), DataError, "y must hold numbers, got dates"),
        ({"whole_numbers": "maybe"}, None, ArgumentError, "got 'maybe'"),
        ({"draws": 0}, None, ArgumentError, "draws"),
        ({}, np.full(20, np.nan), DataError, "NaN"),
        ({}, np.zeros((20, 2, 2)), ShapeError, "each of the 20 rows"),
        ({}, ["many"] * 20, DataError, "many"),
    ],
)
def test_what_cannot_be_learned_is_refused(settings, y, error, words):
    frame, values = table(20)
    with pytest.raises(error, match=words):
        FlowRegressor(GAUSSIAN, **settings).fit(frame, values if y is None else y)


def test_questions_of_one_target_are_not_asked_of_two():
    frame, y = table(60)
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=1).fit(frame, np.c_[y, y])
    for ask in (law.predict_density, law.predict_cdf):
        with pytest.raises(ArgumentError, match="one target"):
            ask(frame, [1.0])


def test_damaged_folders_are_refused(tmp_path):
    with pytest.raises(PersistenceError):
        FlowRegressor.load(tmp_path / "nothing")


def test_a_schema_leaves_further_columns_out():
    frame, y = table(60)
    law = FlowRegressor(GAUSSIAN, members=1, max_epochs=1, schema=Schema.infer(frame[["a"]])).fit(frame, y)
    assert law.predict(frame).shape == (60,)

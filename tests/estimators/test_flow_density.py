"""FlowDensity's numbers: log-densities against closed forms, draws against the law, weights, and seeds."""

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.mixture import GaussianMixture

from counterflow import FitOutcome, FlowDensity, flows
from counterflow.estimators import flow_density
from counterflow.estimators.table_density import TableDensity
from counterflow.tables import Column, Schema, TableCodec
from counterflow.training import fit

LAW = stats.multivariate_normal([1.0, -2.0], [[2.0, 0.9], [0.9, 1.0]])


def light(**settings) -> FlowDensity:
    """A quick estimator; every setting can be replaced."""
    usual = {"flow": "maf", "layers": 1, "hidden": (16,), "max_epochs": 15, "learning_rate": 5e-3, "random_state": 0}
    return FlowDensity(**{**usual, **settings})


@pytest.fixture(scope="module")
def normal() -> np.ndarray:
    return LAW.rvs(2000, random_state=1)


# ------------------------------------------------------------------------------------------------ second witnesses
@pytest.mark.parametrize("flow", ["spline_coupling", "maf", "realnvp", "spline_autoregressive", "nice", "iaf"])
def test_a_normal_density_is_learned(normal, flow):
    """Witness: scipy's multivariate normal. The gap in nats is the Kullback-Leibler divergence."""
    density = light(flow=flow, max_epochs=5).fit(normal)
    fresh = LAW.rvs(1000, random_state=2)
    assert (LAW.logpdf(fresh) - density.score_samples(fresh)).mean() < 0.03


@pytest.mark.parametrize("features", [1, 2, 5])
def test_the_linear_flow_is_the_normal_density_of_highest_likelihood(features):
    """Witnesses: scikit-learn's empirical covariance (its score is a mean, too) and scipy."""
    rng = np.random.default_rng(features)
    x = rng.normal(size=(200, features)) @ rng.normal(size=(features, features)) + 3
    density = FlowDensity("linear").fit(x)
    known = EmpiricalCovariance().fit(x)
    assert density.score(x) == pytest.approx(known.score(x), abs=1e-9)
    law = stats.multivariate_normal(x.mean(0), np.atleast_2d(np.cov(x.T, ddof=0)))
    np.testing.assert_allclose(density.score_samples(x), law.logpdf(x), atol=1e-9)
    assert (density.n_iter_, density.history_, density.report_.outcome) == (0, (), FitOutcome.CONVERGED)


def test_a_flow_sees_what_a_normal_density_cannot():
    """Witness: a mixture of two normal densities, fitted by EM."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.5, (1000, 2)), rng.normal(3, 0.5, (1000, 2))])[rng.permutation(2000)]
    density = light(flow="spline_autoregressive", max_epochs=25).fit(x[:1500])
    mixture = GaussianMixture(2, random_state=0).fit(x[:1500]).score(x[1500:])
    linear = FlowDensity("linear").fit(x[:1500]).score(x[1500:])
    assert density.score(x[1500:]) > linear + 1.0
    assert density.score(x[1500:]) > mixture - 0.15


def test_the_density_integrates_to_one(normal):
    """Witness: a sum over a grid, in the data's own units."""
    density = light(max_epochs=3).fit(normal * [100.0, 0.01])
    x, y = np.linspace(-1000, 1200, 221), np.linspace(-0.09, 0.05, 141)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    cell = (x[1] - x[0]) * (y[1] - y[0])
    assert np.exp(density.score_samples(grid)).sum() * cell == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("flow", ["maf", "linear"])
def test_a_change_of_unit_shifts_log_densities(normal, flow):
    meters, millimeters = normal, normal * [1000.0, 1.0]
    in_meters, in_millimeters = (
        light(flow=flow, layers=None, max_epochs=2).fit(meters),
        light(flow=flow, layers=None, max_epochs=2).fit(millimeters),
    )
    shift = in_millimeters.score_samples(millimeters) - in_meters.score_samples(meters)
    np.testing.assert_allclose(shift, -np.log(1000.0), atol=1e-4)


def test_the_score_is_the_mean(normal):
    density = FlowDensity("linear").fit(normal)
    assert density.score(normal) == density.score_samples(normal).mean()
    assert density.score(np.tile(normal, (2, 1))) == pytest.approx(density.score(normal))


# ------------------------------------------------------------------------------------------------ discrete columns
@pytest.fixture(scope="module")
def discrete() -> pd.DataFrame:
    """A table of nothing but counted values, with dependences."""
    rng = np.random.default_rng(0)
    home = rng.choice(["own", "rent", "other"], 1500, p=[0.5, 0.3, 0.2])
    rooms = 1 + rng.binomial(4, np.where(home == "own", 0.7, 0.3))
    smoker = rng.random(1500) < np.where(home == "other", 0.6, 0.2)
    return pd.DataFrame({"home": home, "rooms": rooms, "smoker": smoker})


@pytest.fixture(scope="module")
def of_discrete(discrete) -> FlowDensity:
    return light(flow="spline_autoregressive", layers=2, draws=64, max_epochs=25).fit(discrete)


def test_the_probabilities_of_all_rows_sum_to_one(of_discrete):
    """Witness: every row that there can be, one by one."""
    rows = itertools.product(["own", "rent", "other"], range(-5, 12), [False, True])
    every = pd.DataFrame(rows, columns=["home", "rooms", "smoker"])
    assert np.exp(of_discrete.score_samples(every)).sum() == pytest.approx(1.0, abs=0.01)


def test_probabilities_are_frequencies(of_discrete, discrete):
    """Witness: a table of counts, whose entropy is the best mean log-probability there can be."""
    cells = discrete.groupby(["home", "rooms", "smoker"], as_index=False).size()
    learned = np.exp(of_discrete.score_samples(cells.drop(columns="size")))
    share = cells["size"] / len(discrete)
    assert np.abs(learned - share).max() < 0.05
    assert of_discrete.score(discrete) == pytest.approx((share * np.log(share)).sum(), abs=0.15)


def test_drawn_categories_have_the_frequencies_of_the_table(of_discrete, discrete):
    """Witness: a chi-square test of homogeneity for each column."""
    drawn = of_discrete.sample(1500, random_state=3)
    for name in discrete:
        table = pd.crosstab(np.repeat([0, 1], 1500), pd.concat([discrete[name], drawn[name]], ignore_index=True))
        assert stats.chi2_contingency(table.loc[:, table.sum() >= 20]).pvalue > 1e-3


def test_the_number_of_draws_hardly_matters(of_discrete, discrete):
    """Witness: 64 draws."""
    some = discrete[:300]
    numbers, truth = TableCodec(of_discrete.schema_).to_numbers(some), of_discrete.score_samples(some)
    encoding, flow = of_discrete.density_.encoding, of_discrete.density_.flow
    one, sixteen = (TableDensity(encoding, flow, draws=draws).log_density(numbers) for draws in (1, 16))
    assert np.abs(sixteen - truth).mean() < 0.05
    assert np.abs(sixteen - truth).mean() < np.abs(one - truth).mean()


def test_an_atom_has_a_probability(discrete):
    """Witness: the share of zeros, and the integral of the rest."""
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(2000) < 0.6, 0.0, rng.lognormal(size=2000))
    density = light(max_epochs=25, layers=2, draws=64).fit(gain[:, None])
    assert density.schema_["x0"].atoms[0].value == 0.0
    assert np.exp(density.score(np.zeros((1, 1)))) == pytest.approx((gain == 0).mean(), abs=0.03)
    grid = np.geomspace(1e-4, 200, 4000)
    mass = np.trapezoid(np.exp(density.score_samples(grid[:, None])), grid)
    assert mass == pytest.approx((gain > 0).mean(), abs=0.05)


# ----------------------------------------------------------------------------------------------------------- draws
@pytest.mark.parametrize("direction", [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -2.0]])
def test_draws_follow_the_learned_law(normal, direction):
    """Witness: a Kolmogorov-Smirnov test along a direction against the sample's mean and covariance."""
    drawn = FlowDensity("linear").fit(normal).sample(2000, random_state=0) @ direction
    assert stats.kstest(drawn, "norm", (np.mean(normal @ direction), np.std(normal @ direction))).pvalue > 1e-3


def test_draws_look_like_the_table():
    """Witness: two-sample Kolmogorov-Smirnov tests on data with two modes."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 0.5, (1000, 2)), rng.normal(3, 0.5, (1000, 2))])[rng.permutation(2000)]
    drawn = light(flow="spline_autoregressive", max_epochs=25).fit(x).sample(1000, random_state=0)
    for k in range(2):
        assert stats.ks_2samp(drawn[:, k], x[:, k]).pvalue > 1e-3


def test_draws_go_beyond_the_extremes_of_the_table(normal):
    drawn = FlowDensity("linear").fit(normal[:50]).sample(5000, random_state=0)
    assert drawn.max() > normal[:50].max()
    assert len(np.unique(drawn[:, 0])) == len(drawn)


def test_a_bound_that_rows_share_is_one():
    """Answers from 1 to 5 stay such."""
    answers = np.random.default_rng(0).integers(1, 6, (300, 2))
    drawn = light().fit(answers).sample(1000, random_state=0)
    assert (drawn.min(), drawn.max()) == (1, 5)


def test_no_negative_number_is_drawn_where_there_are_none():
    counts = np.random.default_rng(0).poisson(1.0, (300, 1))
    assert light().fit(counts).sample(2000, random_state=0).min() == 0


def test_a_narrow_type_holds_what_is_drawn():
    pixels = np.random.default_rng(0).integers(235, 256, (300, 1), dtype=np.uint8)
    drawn = light().fit(pixels).sample(2000, random_state=0)
    assert drawn.dtype == np.uint8
    assert drawn.min() > 200


def test_the_bounds_of_a_given_schema_hold(normal):
    schema = Schema((Column("x0", lower=0.0, upper=1.0), Column("x1")))
    drawn = light(schema=schema).fit(normal).sample(500, random_state=0)
    assert (drawn[:, 0].min(), drawn[:, 0].max()) == (0.0, 1.0)


# -------------------------------------------------------------------------------------------- few rows, and weights
@pytest.mark.parametrize("rows", [2, 3, 10, 19, 49])
def test_few_rows_are_enough(rows):
    """Witness: the normal density of highest likelihood, which few rows make far too sure of itself."""
    rng = np.random.default_rng(rows)
    x, fresh = rng.normal([0, 5], [1, 3], (rows, 2)).repeat(5, 1), rng.normal([0, 5], [1, 3], (500, 2)).repeat(5, 1)
    x, fresh = (points + rng.normal(size=points.shape) for points in (x, fresh))
    density = light(flow="spline_coupling").fit(x)
    overfitted = FlowDensity("linear").fit(x).score(fresh)
    assert np.isfinite(density.score_samples(fresh)).all()
    assert density.score(fresh) > overfitted
    assert density.n_iter_ == 0
    assert np.isfinite(density.sample(10, random_state=0)).all()


def test_fifty_rows_are_trained_on(normal):
    """Witness: the normal density, which these rows are drawn from."""
    density = light(flow="spline_coupling", learning_rate=1e-3).fit(normal[:50])
    assert density.n_iter_ > 0
    assert density.score(normal[50:]) > LAW.logpdf(normal[50:]).mean() - 0.3


def test_rows_of_weight_zero_do_not_count(normal):
    weights = np.ones(600)
    weights[::3] = 0
    light_one = light(max_epochs=3)
    weighted = clone(light_one).fit(normal[:600], sample_weight=weights)
    without = clone(light_one).fit(normal[:600][weights > 0], sample_weight=weights[weights > 0])
    np.testing.assert_array_equal(weighted.score_samples(normal), without.score_samples(normal))


def test_weights_move_the_density():
    """Witness: the weighted frequency of a category."""
    x = np.repeat([["a"], ["b"]], 200, axis=0).astype(object)
    density = light(flow="spline_coupling", max_epochs=100, draws=64).fit(x, sample_weight=np.repeat([3.0, 1.0], 200))
    assert np.exp(density.score(np.array([["a"]], dtype=object))) == pytest.approx(0.75, abs=0.05)


def test_a_weight_of_two_is_a_row_twice_where_rows_are_few():
    x = np.random.default_rng(0).normal(size=(6, 2))
    weighted = light().fit(x, sample_weight=np.repeat(2.0, 6)).score_samples(x)
    np.testing.assert_allclose(weighted, light().fit(x).score_samples(x), rtol=1e-9)


# ------------------------------------------------------------------------------------------------- seeds and flows
def test_a_seed_repeats_everything(normal):
    one, two, other = (light(max_epochs=3, random_state=seed).fit(normal) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.score_samples(normal), two.score_samples(normal))
    np.testing.assert_array_equal(one.sample(5, random_state=0), two.sample(5, random_state=0))
    assert (one.score_samples(normal) != other.score_samples(normal)).any()
    assert (one.sample(5, random_state=0) != one.sample(5, random_state=1)).all()
    assert (one.sample(5) != one.sample(5)).all()


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_numpy_generators_are_random_states(normal, make):
    density = FlowDensity("linear", random_state=make(0)).fit(normal)
    np.testing.assert_array_equal(density.sample(3, random_state=make(4)), density.sample(3, random_state=make(4)))
    generator = make(4)
    assert (density.sample(3, random_state=generator) != density.sample(3, random_state=generator)).all()


def test_a_row_has_one_density_whatever_it_is_scored_with(of_discrete, discrete):
    together = of_discrete.score_samples(discrete[:200])
    alone = [of_discrete.score_samples(discrete.iloc[[k]])[0] for k in range(5)]
    np.testing.assert_allclose(together[:5], alone, rtol=1e-12)


def test_a_function_may_build_the_flow(normal):
    def build(features, *, generator):
        return flows.realnvp(features, layers=2, hidden=(8,), generator=generator)

    one, two = (light(flow=build, layers=None, max_epochs=2).fit(normal) for _ in range(2))
    np.testing.assert_array_equal(one.score_samples(normal), two.score_samples(normal))
    assert one.density_.flow.config["recipe"] == "realnvp"
    assert not one.density_.whitened
    plain = light(flow=lambda features: flows.maf(features, layers=1), max_epochs=2).fit(normal)
    assert plain.density_.flow.config["recipe"] == "maf"


def test_a_schema_names_the_columns_of_an_array(normal):
    schema = Schema((Column("height"), Column("depth")))
    density = light(schema=schema).fit(normal)
    assert density.score_samples(normal).shape == (2000,)
    assert TableCodec(density.schema_).to_numbers(normal).shape == (2000, 2)


def test_training_goes_on_from_a_checkpoint(normal, tmp_path, monkeypatch):
    whole = light(max_epochs=6).fit(normal)
    with monkeypatch.context() as patch:
        patch.setattr(flow_density, "fit", partial(fit, on_epoch=_press_ctrl_c))
        with pytest.raises(KeyboardInterrupt):
            light(max_epochs=6, checkpoint=tmp_path / "run").fit(normal)
    resumed = light(max_epochs=6, checkpoint=tmp_path / "run").fit(normal)
    assert resumed.n_iter_ == 6
    np.testing.assert_array_equal(resumed.score_samples(normal), whole.score_samples(normal))


def _press_ctrl_c(record):
    if record.epoch == 3:
        raise KeyboardInterrupt

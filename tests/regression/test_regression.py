"""Laws of y under x: against laws that are known, their own derivatives, and scipy; saved and refused."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from counterflow.bijections import ActNorm, Continuous
from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.distributions import StudentT
from counterflow.flows import compose
from counterflow.nets import Embedding
from counterflow.regression import (
    ConditionalFlow,
    ConditionalMixture,
    ContinuousHead,
    DensityRegression,
    MixtureHead,
    RegFlow,
    SplineHead,
    TreeFlow,
    Trees,
    fit_regression,
)
from counterflow.regression.density import LeafEmbedding
from counterflow.regression.tree_reader import fit_tree_reader
from counterflow.regression.univariate import _base_cdf, _base_quantile

QUICK = {"max_epochs": 3, "members": 2, "progress": False}
FOREST = TreeFlow(Trees("forest", 5, 2), location=Trees("forest", 10, 4), folds=3, head=SplineHead(hidden=(8,)))
METHODS = {
    "spline": ConditionalFlow(head=SplineHead(hidden=(8,))),
    "laplace": ConditionalFlow(head=SplineHead(hidden=(8,), base="laplace")),
    "student": ConditionalFlow(head=SplineHead(hidden=(8,), base="student")),
    "continuous": ConditionalFlow(head=ContinuousHead(hidden=(8,))),
    "mixture": ConditionalFlow(head=MixtureHead(3, hidden=(8,))),
    "regflow": RegFlow(Embedding("mlp", outputs=4, hidden=(8,)), hidden=(4, 4), rank=1),
    "treeflow": FOREST,
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(count=60, targets=1, seed=0):
    generator = seeded(seed)
    x = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return x, 100 + 5 * x[:, :1] + torch.randn(count, targets, generator=generator, dtype=torch.float64)


def quick(method, targets=1, **settings):
    x, y = rows(targets=targets)
    return fit_regression(x, y, method=method, generator=seeded(), **QUICK | settings)


@pytest.fixture(scope="module")
def wide():
    """y | x is N(10 x, (1 + x)^2)."""
    x = torch.rand(3000, 1, generator=seeded())
    y = 10 * x[:, 0] + (1 + x[:, 0]) * torch.randn(3000, generator=seeded(1))
    return fit_regression(x, y, method="spline", members=1, max_epochs=25, generator=seeded(), progress=False)


def test_a_known_law_is_found(wide):
    x = torch.rand(2000, 1, generator=seeded(5), dtype=torch.float64)
    truth = Normal(10 * x[:, 0], 1 + x[:, 0])
    y = 10 * x[:, 0] + (1 + x[:, 0]) * torch.randn(2000, generator=seeded(6), dtype=torch.float64)
    assert (truth.log_prob(y) - wide.log_prob(y, x)).mean() < 0.03
    at = torch.tensor([[0.5]], dtype=torch.float64)
    expected = [5 + 1.5 * stats.norm.ppf(level) for level in (0.1, 0.5, 0.9)]
    assert wide.quantiles([0.1, 0.5, 0.9], at)[0].tolist() == pytest.approx(expected, abs=0.35)


@pytest.mark.parametrize("name", METHODS)
def test_distribution_functions_are_integrals_and_quantiles_their_inverses(name):
    law, (x, y) = quick(METHODS[name]), rows(7, seed=3)
    levels = torch.tensor([0.01, 0.3, 0.5, 0.99], dtype=torch.float64)
    torch.testing.assert_close(law.cdf(law.quantiles(levels, x), x), levels.expand(7, 4), atol=1e-8, rtol=0)
    step = 1e-5
    slope = (law.cdf(y[:, 0] + step, x) - law.cdf(y[:, 0] - step, x))[:, 0] / (2 * step)
    torch.testing.assert_close(slope, law.log_prob(y, x).exp(), rtol=1e-4, atol=1e-7)
    points = law.points(2000, x)
    assert (points.diff(dim=1) >= 0).all()
    draws = law.sample(4000, x, generator=seeded())[..., 0]
    error = 5 * draws.std(1) / 4000**0.5
    assert ((draws.mean(1) - points.mean(1)).abs() < error).all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("targets", [1, 2])
def test_a_saved_law_says_the_same(name, targets, tmp_path):
    law, (x, y) = quick(METHODS[name], targets), rows(7, targets, seed=3)
    law.save(tmp_path / "law")
    again = DensityRegression.load(tmp_path / "law")
    torch.testing.assert_close(again.log_prob(y, x), law.log_prob(y, x), rtol=0, atol=0)
    draws, repeated = (one.sample(3, x, generator=seeded()) for one in (law, again))
    torch.testing.assert_close(repeated, draws, rtol=0, atol=0)
    assert draws.shape == (7, 3, targets)


def test_densities_of_two_targets_integrate_to_one():
    law = quick(METHODS["mixture"], 2)
    axes = torch.linspace(80, 125, 300, dtype=torch.float64)
    grid = torch.cartesian_prod(axes, axes)
    total = law.log_prob_many(grid, rows()[0][:1]).exp().sum() * (axes[1] - axes[0]) ** 2
    assert total.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("features", [1, 2])
def test_a_mixture_is_that_of_torch(features):
    mixture = ConditionalMixture([], features, components=3, context_features=2, hidden=(4,), generator=seeded())
    mixture = mixture.double()
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=seeded(1)))
    context = torch.randn(5, 2, dtype=torch.float64, generator=seeded(2))
    log_weights, means, triangles = mixture._parts(context)
    scales = torch.linalg.inv(triangles).tril()
    law = MixtureSameFamily(Categorical(logits=log_weights), MultivariateNormal(means, scale_tril=scales))
    y = torch.randn(5, features, dtype=torch.float64, generator=seeded(3))
    torch.testing.assert_close(mixture(y, context), law.log_prob(y))
    draws = mixture.sample(20_000, context, generator=seeded())
    torch.testing.assert_close(draws.mean(0), law.mean, atol=0.15, rtol=0)
    if features == 1:
        flat = MixtureSameFamily(Categorical(logits=log_weights), Normal(means[..., 0], scales[..., 0, 0]))
        torch.testing.assert_close(mixture.cdf(y, context)[:, 0], flat.cdf(y[:, 0]))


@pytest.mark.parametrize("degrees", [1.5, 4.0, 30.0])
def test_students_distribution_function_is_scipys(degrees):
    base = StudentT(1, degrees=degrees).double()
    flow = compose([ActNorm(1).double()], base)
    t = torch.linspace(-20, 20, 41, dtype=torch.float64).unsqueeze(1)
    nu = base.degrees.item()
    np.testing.assert_allclose(_base_cdf(flow, t)[:, 0].detach(), stats.t.cdf(t[:, 0], nu), atol=1e-9)
    levels = torch.tensor([[0.001], [0.4], [0.999]], dtype=torch.float64)
    np.testing.assert_allclose(_base_quantile(flow, levels)[:, 0].detach(), stats.t.ppf(levels[:, 0], nu), rtol=1e-6)


def test_embedded_leaves_are_a_linear_layer_on_one_hot_leaves():
    embedding = LeafEmbedding((2, 4), kept=1, width=3, generator=seeded())
    context = torch.tensor([[0.5, 1.0, 3.0], [-1.0, 0.0, 2.0]])
    one_hot = torch.cat([nn.functional.one_hot(context[:, i].long(), size) for i, size in ((1, 2), (2, 4))], 1).float()
    expected = torch.tanh(one_hot @ embedding.vectors + embedding.bias)
    torch.testing.assert_close(embedding(context), torch.cat([context[:, :1], expected], 1))


def test_no_row_is_located_by_trees_that_saw_it():
    x, y = (tensor.numpy() for tensor in rows(40))
    how = {"leaves": Trees("forest", 2, 1), "location": Trees("forest", 5, 6), "folds": 4, "levels": (0, 0)}
    before = fit_tree_reader(x, y, weights=None, generator=seeded(), **how)
    y[7] += 1000
    after = fit_tree_reader(x, y, weights=None, generator=seeded(), **how)
    assert before[1][7, 0] == after[1][7, 0]
    assert (before[1][:, 0] != after[1][:, 0]).sum() > 5


def test_a_horizon_is_learned_and_unseen_ones_are_answered():
    """y after t steps of a random walk from x is N(x, t)."""
    generator = seeded()
    x = torch.randn(4000, 1, generator=generator)
    t = torch.tensor([1.0, 2.0, 8.0])[torch.randint(3, (4000,), generator=generator)]
    y = x[:, 0] + t.sqrt() * torch.randn(4000, generator=generator)
    law = fit_regression(
        x, y, horizon=t, method="gaussian", members=1, max_epochs=30, generator=generator, progress=False
    )
    at = torch.zeros(3, 1, dtype=torch.float64)
    horizons = torch.tensor([1.0, 4.0, 8.0])  # 4 was never seen
    low, high = law.quantiles([0.1587, 0.8413], at, horizon=horizons).unbind(1)
    torch.testing.assert_close((high - low) / 2, horizons.sqrt().double(), rtol=0.2, atol=0)
    with pytest.raises(ArgumentError, match="horizon must be given"):
        law.sample(1, at)
    with pytest.raises(ArgumentError, match="above zero"):
        law.sample(1, at, horizon=-1.0)
    with pytest.raises(ShapeError, match="one for each of the 3 rows"):
        law.sample(1, at, horizon=torch.ones(2))


@pytest.mark.parametrize("kind", ["series", "recurrent"])
def test_series_are_read_by_convolutions_and_recurrent_units(kind, tmp_path):
    x = torch.randn(80, 2, 8, generator=seeded())
    y = x.mean((1, 2)).unsqueeze(1) + torch.zeros(1, 2)
    method = ConditionalFlow(Embedding(kind, outputs=4, hidden=(8,)), SplineHead(hidden=(8,)))
    law = fit_regression(x, y + 0.1 * torch.randn(80, 2, generator=seeded(1)), method=method, **QUICK)
    assert law.sample(5, x[:3]).shape == (3, 5, 2)


def test_an_embedding_of_ones_own_must_be_given_again(tmp_path):
    def own():
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

    x = torch.randn(40, 4, 4, generator=seeded())
    law = fit_regression(x, x[:, 0, 0], method=ConditionalFlow(own, "gaussian"), **QUICK)
    law.save(tmp_path / "law")
    with pytest.raises(PersistenceError, match="embedding="):
        DensityRegression.load(tmp_path / "law")
    again = DensityRegression.load(tmp_path / "law", embedding=own)
    y = torch.zeros(40)
    torch.testing.assert_close(again.log_prob(y, x), law.log_prob(y, x), rtol=0, atol=0)


def test_noise_widens_a_law():
    x = torch.rand(500, 1, generator=seeded())
    settings = {"method": "gaussian", "members": 1, "max_epochs": 30, "progress": False}
    sharp, blurred = (
        fit_regression(
            x, 5 * x[:, 0] + 0.1 * torch.randn(500, generator=seeded(1)), noise=noise, generator=seeded(2), **settings
        )
        for noise in (0.0, 1.0)
    )
    at = torch.tensor([[0.5]], dtype=torch.float64)
    widths = [law.quantiles([0.1587, 0.8413], at).diff(dim=1).item() / 2 for law in (sharp, blurred)]
    assert widths[0] < 0.3
    assert widths[1] == pytest.approx(1.0, rel=0.15)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"y": torch.zeros(5)}, ShapeError, "each of the 60 rows"),
        ({"y": torch.full((60,), torch.nan)}, ArgumentError, "y"),
        ({"method": "forest"}, ArgumentError, "got 'forest'"),
        ({"method": FOREST, "horizon": torch.ones(60)}, ArgumentError, "column of x"),
        ({"members": 0}, ArgumentError, "members"),
        ({"noise": (0.0, 0.0)}, ArgumentError, "or one of these for each of the 1 targets"),
        ({"noise": -1.0}, ArgumentError, "noise must be a deviation of at least 0"),
        ({"y": 1e200 * torch.arange(60.0).double()}, DataError, "Give it in larger units"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(3)}, DataError, "at least 4 rows"),
        ({"method": FOREST, "x": torch.zeros(60, 2, 2)}, ShapeError, "rows of numbers"),
    ],
)
def test_what_cannot_be_learned_is_refused(settings, error, words):
    x, y = rows()
    with pytest.raises(error, match=words):
        fit_regression(**{"x": x, "y": y} | settings, progress=False)


def test_questions_about_several_targets_that_have_no_answer_are_refused():
    law, (x, y) = quick("gaussian", 2), rows(7, 2)
    for ask in (lambda: law.cdf(y, x), lambda: law.quantiles([0.5], x), lambda: law.points(3, x)):
        with pytest.raises(ArgumentError, match="one target"):
            ask()
    with pytest.raises(ShapeError, match=r"shape \(7, 2\)"):
        law.log_prob(y[:, :1], x)
    with pytest.raises(ArgumentError, match=r"levels must lie in \(0, 1\)"):
        quick("gaussian").quantiles([0.0], x)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ConditionalFlow(head="splines"), "got 'splines'"),
        (lambda: TreeFlow(head="foo"), "got 'foo'"),
        (lambda: TreeFlow(location="lightgbm"), r"Write Trees\('lightgbm'\)"),
        (lambda: RegFlow(rank=0), "rank must be a whole number of at least 1"),
        (lambda: RegFlow(rank=-1), "rank must be a whole number of at least 1"),
    ],
)
def test_methods_are_checked_when_they_are_made(build, words):
    with pytest.raises(ArgumentError, match=words):
        build()


def test_a_constant_target_is_a_narrow_law():
    x, _ = rows()
    law = fit_regression(x, torch.full((60,), 3.0), method=TreeFlow(Trees(number=3)), members=1, max_epochs=2)
    torch.testing.assert_close(law.quantiles([0.5], x[:2]), torch.full((2, 1), 3.0).double(), atol=3.0, rtol=0)


def test_noise_may_differ_from_target_to_target():
    x = torch.rand(400, 1, generator=seeded())
    y = torch.stack([5 * x[:, 0], torch.full((400,), 7.0)], 1)
    law = fit_regression(
        x, y, method="gaussian", noise=(0.5, "cell"), members=1, max_epochs=40, generator=seeded(2), progress=False
    )
    spread = law.sample(4000, torch.full((1, 1), 0.9).double(), generator=seeded(3))[0].std(0)
    torch.testing.assert_close(spread, torch.tensor([0.5, 12**-0.5]).double(), rtol=0.35, atol=0)


def test_bases_are_checked():
    with pytest.raises(ArgumentError, match="got 'cauchy'"):
        SplineHead(base="cauchy")
    assert math.isfinite(quick(METHODS["student"]).log_prob(rows()[1], rows()[0]).sum())


def test_equations_are_solved_tightly_once_they_answer(tmp_path):
    """Coarse steps would let a long training raise the likelihood by their errors."""
    law = quick(METHODS["regflow"])
    law.save(tmp_path / "law")
    for answering in (law, DensityRegression.load(tmp_path / "law")):
        solvers = [part.solver for part in answering.ensemble.modules() if isinstance(part, Continuous)]
        assert [solver.atol for solver in solvers] == [1e-7, 1e-7]
    grid = torch.linspace(60, 150, 4000, dtype=torch.float64).unsqueeze(1)
    mass = law.log_prob_many(grid, rows()[0][:1]).exp().sum() * 90 / 3999
    assert mass.item() == pytest.approx(1, abs=1e-4)

"""The encoding's inverse, its Jacobian against autograd, and densities that sum to one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from scipy import integrate, stats

from counterflow.core.errors import DataError, ShapeError
from counterflow.tables import Atom, Column, FlowEncoding, Schema
from tests.tables.made import build_table, schema_settings, seeds
from tests.unhooked import run_unhooked

NAN = float("nan")
CODED = Schema(
    [
        Column("a", "integer", lower=0, atoms=[Atom(-9)]),
        Column("b", decimals=1, lower=0, atoms=[Atom(-9), Atom(-8)]),
        Column("c", "integer", lower=0, atoms=[Atom(-9)]),
    ]
)
CODED_ROWS = np.array([[1, 0.5, 3], [-9, -9, -9], [2, -8, 4], [5, 1.5, 0], [-9, -9, -9], [7, 2.0, 1]], dtype=float)


def standard_normal(u, context=None):
    return (-0.5 * u.square() - 0.5 * math.log(2 * math.pi)).sum(-1)


def same(a, b):
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def fitted(columns, rows, **settings_):
    return FlowEncoding.fit(Schema(columns), np.array(rows, dtype=float), **settings_)


def draw_noise(encoding, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, encoding.dimension, generator=generator, dtype=torch.float64)


@settings(max_examples=60)
@given(schema_settings(), seeds)
def test_decode_gives_back_every_legal_row_whatever_the_noise(columns, seed):
    schema, numbers = build_table(columns, seed)
    encoding = FlowEncoding.fit(schema, numbers)
    rows = torch.tensor(numbers)
    for noise in (
        draw_noise(encoding, (3, len(rows)), seed),
        torch.zeros(1, 1, encoding.dimension),
        0.5 * torch.ones(1),
    ):
        u, log_weight = encoding.encode(rows, noise.expand(*noise.shape[:-1], encoding.dimension).double())
        back = encoding.decode(u)
        measured = torch.tensor([c.kind == "continuous" and c.decimals is None for c in schema.columns])
        exact = (back == rows) | (back.isnan() & rows.isnan())
        close = torch.isclose(back, rows.expand_as(back), rtol=1e-12, atol=1e-12)
        assert (exact | (close & measured)).all()
        assert log_weight.isfinite().all()
        assert u.isfinite().all()


@settings(max_examples=40)
@given(schema_settings(), seeds)
def test_saved_and_built_again_it_is_the_same(columns, seed):
    schema, numbers = build_table(columns, seed)
    encoding = FlowEncoding.fit(schema, numbers, score=numbers[:, 0] > 1)
    again = FlowEncoding.from_config(encoding.config, encoding.state_dict())
    noise = draw_noise(encoding, (len(numbers),))
    for one, other in zip(
        encoding.encode(torch.tensor(numbers), noise), again.encode(torch.tensor(numbers), noise), strict=True
    ):
        assert torch.equal(one, other)


@settings(max_examples=40)
@given(schema_settings(), seeds)
def test_one_row_alone_is_encoded_as_among_others(columns, seed):
    schema, numbers = build_table(columns, seed)
    encoding = FlowEncoding.fit(schema, numbers)
    noise = encoding.fixed_noise(4, seed=3)
    u, log_weight = encoding.encode(torch.tensor(numbers), noise)
    for row in range(len(numbers)):
        alone = encoding.encode(torch.tensor(numbers[[row]]), noise)
        assert torch.equal(alone[0][:, 0], u[:, row])
        assert torch.equal(alone[1][:, 0], log_weight[:, row])


@pytest.mark.parametrize("heavy", [False, True])
def test_the_weight_of_a_continuous_column_is_its_jacobian(heavy):
    values = np.random.default_rng(0).normal(size=500)
    encoding = fitted([Column("x", decimals=None)], np.exp(3 * values)[:, None] if heavy else values[:, None])
    assert encoding.value_heavy.tolist() == [heavy]
    x = torch.linspace(-4, 40, 23, dtype=torch.float64, requires_grad=True)
    u, log_weight = encoding.encode(x[:, None], encoding.center_noise)
    (slope,) = torch.autograd.grad(u.sum(), x)
    torch.testing.assert_close(slope.log(), log_weight, rtol=1e-12, atol=1e-12)
    assert not encoding.discrete


@pytest.mark.parametrize("heavy", [False, True])
def test_a_continuous_density_integrates_to_one_in_the_units_of_the_data(heavy):
    values = np.random.default_rng(0).normal(size=500)
    encoding = fitted([Column("x")], np.exp(2 * values)[:, None] if heavy else 50 + 10 * values[:, None])

    def density(x):
        return encoding.log_density(standard_normal, torch.tensor([[x]], dtype=torch.float64)).exp().item()

    low, high = encoding.decode(torch.tensor([[-9.0], [9.0]], dtype=torch.float64)).squeeze(1).tolist()
    middle = encoding.decode(torch.zeros(1, 1, dtype=torch.float64)).item()
    total = sum(integrate.quad(density, a, b, limit=400)[0] for a, b in ((low, middle), (middle, high)))
    assert total == pytest.approx(1, abs=1e-6)


def test_a_gaussian_column_has_the_density_that_scipy_gives():
    values = np.random.default_rng(0).normal(30, 4, size=800)
    encoding = fitted([Column("x")], values[:, None])
    x = np.linspace(20, 40, 9)
    ours = encoding.log_density(standard_normal, torch.tensor(x)[:, None])
    np.testing.assert_allclose(ours, stats.norm(values.mean(), values.std()).logpdf(x), rtol=1e-12)


@pytest.mark.parametrize("score", [None, [0, 0, 1, 1, 1, 0]])
def test_the_masses_of_categories_are_their_smoothed_frequencies(score):
    column = Column("home", "categorical", categories=["own", "rent", "free"])
    encoding = fitted([column], [[0], [0], [1], [1], [1], [0]], score=None if score is None else np.array(score))
    rows = torch.arange(3, dtype=torch.float64)[:, None]
    masses = encoding.log_density(standard_normal, rows, noise=encoding.fixed_noise(8)).exp()
    np.testing.assert_allclose(masses, [4 / 9, 4 / 9, 1 / 9], rtol=1e-9)


@pytest.mark.parametrize("mean", [0.0, 0.7])
def test_a_discrete_law_sums_to_one_under_any_flow(mean):
    """Not a standard normal now: the mass of one category is an average over noise, their sum is one all the same."""
    column = Column("home", "categorical", categories=["own", "rent", "free"])
    encoding = fitted([column], [[0], [0], [1], [1], [2], [0]])
    rows = torch.arange(3, dtype=torch.float64)[:, None]
    noise = encoding.fixed_noise(4096)
    masses = encoding.log_density(lambda u, _: standard_normal(u - mean), rows, noise=noise).exp()
    edges = stats.norm.ppf([0, 4 / 9, 7 / 9, 1])
    np.testing.assert_allclose(masses, np.diff(stats.norm.cdf(edges - mean)), atol=2e-3)


@pytest.mark.parametrize("step", [None, 0.5, 5])
def test_the_masses_of_an_integer_column_are_those_of_its_bins(step):
    width = float(step or 1)
    values = np.round(np.random.default_rng(0).normal(20, 6 * width, size=400) / width) * width
    encoding = fitted([Column("n", "integer", step=step)], values[:, None])
    grid = np.arange(-60, 120) * width
    noise = encoding.fixed_noise(256)
    masses = encoding.log_density(standard_normal, torch.tensor(grid)[:, None], noise=noise).exp().numpy()
    assert masses.sum() == pytest.approx(1, abs=1e-4)
    law = stats.norm(values.mean(), math.sqrt(values.var() + width**2 / 12))
    np.testing.assert_allclose(masses, law.cdf(grid + width / 2) - law.cdf(grid - width / 2), atol=1e-5)


def test_the_masses_of_a_heavy_tailed_integer_column_sum_to_one():
    values = np.random.default_rng(0).geometric(0.3, size=400) ** 2.0
    encoding = fitted([Column("n", "integer")], values[:, None])
    assert encoding.value_heavy.tolist() == [True]
    grid = torch.arange(-3000, 6000, dtype=torch.float64)[:, None]
    masses = encoding.log_density(standard_normal, grid, noise=encoding.fixed_noise(32)).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-3)


def test_a_column_with_atoms_is_a_mixture_that_integrates_to_one():
    """Brute force: masses of the atoms plus the integral over the numbers."""
    values = np.array([0.0] * 30 + [-9.0] * 10 + list(np.random.default_rng(0).normal(5, 2, size=60)))
    encoding = fitted([Column("gain", atoms=[Atom(-9), Atom(0, "inflation")])], values[:, None])
    noise = encoding.fixed_noise(64)
    masses = encoding.log_density(
        standard_normal, torch.tensor([[0.0], [-9.0]], dtype=torch.float64), noise=noise
    ).exp()
    np.testing.assert_allclose(masses, [31 / 103, 11 / 103], rtol=1e-9)
    x = torch.linspace(-11.003, 21, 4001, dtype=torch.float64)[:, None]
    density = encoding.log_density(standard_normal, x, noise=noise).exp()
    assert torch.trapezoid(density, x.squeeze(1)).item() == pytest.approx(61 / 103, abs=1e-4)


def test_columns_whose_codes_coincide_share_a_coordinate():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    assert encoding.dimension == 5  # a value for each, one cell for a and c, one for b
    assert encoding.dimensions_of("a")[0] == encoding.dimensions_of("c")[0]
    assert encoding.dimensions_of("b")[0] not in (*encoding.dimensions_of("a"), *encoding.dimensions_of("c"))


def test_a_row_that_breaks_the_shared_codes_has_density_zero():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    rows = torch.tensor([[-9, -9, -9], [-9, 1.0, -9], [3, -9, 4], [3, 1.0, -9], [-9, 1.0, 3]], dtype=torch.float64)
    log_density = encoding.log_density(standard_normal, rows)
    assert log_density.isfinite().tolist() == [True, True, True, False, False]
    assert (log_density[3:] == -math.inf).all()


def test_atoms_that_may_change_share_nothing():
    free = [Column(name, atoms=[Atom(-9, may_change=True)]) for name in "ab"]
    encoding = FlowEncoding.fit(Schema(free), CODED_ROWS[:, [0, 2]])
    rows = torch.tensor([[-9.0, 4.0]], dtype=torch.float64)
    assert encoding.dimension == 4
    assert encoding.log_density(standard_normal, rows).isfinite().all()


def test_an_atom_never_seen_has_density_zero():
    encoding = fitted([Column("a", atoms=[Atom(-9), Atom(NAN)])], [[1.0], [2.0], [-9.0]])
    rows = torch.tensor([[-9.0], [NAN], [1.5]], dtype=torch.float64)
    assert encoding.log_density(standard_normal, rows).isfinite().tolist() == [True, False, True]
    assert encoding.encode(rows, encoding.center_noise)[0].isfinite().all()


def test_missing_values_are_an_atom():
    encoding = fitted([Column("a", decimals=1, atoms=[Atom(NAN)])], [[1.0], [NAN], [2.5], [NAN]])
    rows = torch.tensor([[NAN], [2.0]], dtype=torch.float64)
    u, log_weight = encoding.encode(rows, draw_noise(encoding, (2,)))
    assert same(encoding.decode(u), rows)
    assert log_weight.isfinite().all()


def test_a_constant_column_is_refused_by_name_with_a_remedy():
    with pytest.raises(DataError, match=r"column 'b' is constant .* \(always 3.0\).*actionable=False"):
        fitted([Column("a"), Column("b")], [[1.0, 3.0], [2.0, 3.0]])
    with pytest.raises(DataError, match=r"always 'own'"):
        fitted([Column("h", "binary", categories=["own", "rent"])], [[0], [0]])


@pytest.mark.parametrize("fixed", [{"actionable": False}, {"protected": True}])
def test_a_constant_column_that_nobody_changes_is_carried_along(fixed):
    encoding = fitted([Column("a"), Column("b", **fixed)], [[1.0, 3.0], [2.0, 3.0]])
    rows = torch.tensor([[1.5, 3.0], [1.5, 4.0]], dtype=torch.float64)
    u, log_weight = encoding.encode(rows, encoding.center_noise)
    assert u.shape == (2, 1)
    assert log_weight.isfinite().tolist() == [True, False]
    torch.testing.assert_close(encoding.decode(u), torch.tensor([[1.5, 3.0], [1.5, 3.0]], dtype=torch.float64))


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="no training rows"):
        FlowEncoding.fit(CODED, np.zeros((0, 3)))


def test_coordinates_are_standardized():
    random = np.random.default_rng(0)
    rows = np.stack([random.poisson(4, 4000), random.normal(9, 3, 4000), random.integers(0, 3, 4000)], 1).astype(float)
    columns = [Column("n", "integer"), Column("x"), Column("k", "categorical", categories=["a", "b", "c"])]
    u, _ = fitted(columns, rows).dequantize(torch.tensor(rows), torch.Generator().manual_seed(1))
    assert u.mean(0).abs().max() < 0.06
    assert (u.std(0) - 1).abs().max() < 0.06


def test_fresh_noise_comes_from_the_generator_alone():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    rows = torch.tensor(CODED_ROWS)
    one, other = (encoding.dequantize(rows, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, encoding.dequantize(rows, torch.Generator().manual_seed(6))[0])


def test_fixed_noise_is_even_and_the_same_for_all_rows():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    noise = encoding.fixed_noise(64, seed=2)
    assert noise.shape == (64, 1, 5)
    assert torch.equal(noise, encoding.fixed_noise(64, seed=2))
    assert not torch.equal(noise, encoding.fixed_noise(64, seed=3))
    assert (noise.squeeze(1).sort(0).values - (torch.arange(64) + 0.5)[:, None] / 64).abs().max() <= 0.5 / 64
    assert torch.equal(encoding.fixed_noise(1), torch.full((1, 1, 5), 0.5, dtype=torch.float64))


def test_gradients_reach_the_numbers_and_are_finite_at_atoms():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    rows = torch.tensor(CODED_ROWS, requires_grad=True)
    u, log_weight = encoding.encode(rows, encoding.center_noise)
    (gradient,) = torch.autograd.grad(u.sum() + log_weight.sum(), rows)
    assert gradient.isfinite().all()
    assert ((gradient != 0) == torch.tensor(CODED_ROWS >= 0)).all()


def test_float32_stays_float32_and_agrees():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    rows = torch.tensor(CODED_ROWS)
    noise = encoding.fixed_noise(4)
    u, log_weight = encoding.encode(rows, noise)
    single = encoding.encode(rows.float(), noise)
    assert single[0].dtype == single[1].dtype == torch.float32
    torch.testing.assert_close(single[0].double(), u, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(single[1].double(), log_weight, rtol=1e-4, atol=1e-4)
    assert same(encoding.decode(single[0]).double(), rows.expand(4, -1, -1))


def test_log_density_averages_over_the_draws_and_repeats_the_context():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    rows, noise = torch.tensor(CODED_ROWS), encoding.fixed_noise(8)
    context = torch.arange(6, dtype=torch.float64)[:, None]

    def flow(u, c):
        return standard_normal(u - c)

    ours = encoding.log_density(flow, rows, context=context, noise=noise)
    loop = []
    for row, label in zip(rows, context, strict=True):
        u, log_weight = encoding.encode(row[None], noise[:, 0])
        loop.append(math.log(float((flow(u, label) + log_weight).exp().mean())))
    np.testing.assert_allclose(ours, loop, rtol=1e-12)


def test_a_flow_in_float32_is_given_float32():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)

    class Flow(torch.nn.Linear):
        def forward(self, u, context=None):
            assert u.dtype == torch.float32
            return super().forward(u).squeeze(-1)

    assert encoding.log_density(Flow(5, 1), torch.tensor(CODED_ROWS)).dtype == torch.float64


def test_distance_scale_leaves_atoms_out():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    expected = [np.std([1, 2, 5, 7]), np.std([0.5, 1.5, 2.0]), np.std([3, 4, 0, 1])]
    np.testing.assert_allclose(encoding.distance_scale, expected)


def test_wrong_shapes_are_refused():
    encoding = FlowEncoding.fit(CODED, CODED_ROWS)
    with pytest.raises(ShapeError, match=r"numbers must have shape \(..., 3\), got \(2, 2\)"):
        encoding.encode(torch.zeros(2, 2), encoding.center_noise)
    with pytest.raises(ShapeError, match=r"noise must have shape \(..., 5\)"):
        encoding.encode(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"u must have shape \(..., 5\)"):
        encoding.decode(torch.zeros(2, 3))


def test_an_inflation_atom_at_the_edge_of_a_lattice_is_reached_only_as_an_atom():
    column = Column("gain", "integer", lower=0, upper=50, atoms=[Atom(0, "inflation")])
    encoding = fitted([column], [[0], [0], [0], [5], [9], [30]])
    u = torch.tensor([[9.0, -40.0]], dtype=torch.float64)  # the cell "a number", and a number far below
    assert encoding.decode(u).item() in (0.0, 1.0)
    code, value = encoding.dimensions_of("gain")
    number = torch.zeros(1, 2, dtype=torch.float64)
    number[0, code], number[0, value] = -3.0, -40.0
    assert encoding.decode(number).item() == 1.0


def test_encode_compiles_without_a_break():
    """One graph for a search to run; without the shape checks, which no graph holds."""
    script = """
import numpy as np, torch
from counterflow.tables import Atom, Column, FlowEncoding, Schema
schema = Schema([Column("a", "integer", atoms=[Atom(-9)]), Column("x"), Column("k", "binary", categories=["f", "m"])])
rows = np.array([[1, 0.5, 0], [-9, 2.5, 1], [3, 1.0, 1]], dtype=float)
encoding = FlowEncoding.fit(schema, rows)
numbers, noise = torch.tensor(rows), encoding.fixed_noise(4)
compiled = torch.compile(encoding.encode, fullgraph=True, backend="aot_eager")
for ours, theirs in zip(compiled(numbers, noise), encoding.encode(numbers, noise)):
    assert torch.allclose(ours, theirs, rtol=1e-12)
mapped = torch.func.vmap(lambda row: encoding.encode(row, encoding.center_noise)[0])(numbers)
assert torch.allclose(mapped, encoding.encode(numbers, encoding.center_noise)[0])
print("done")
"""
    assert "done" in run_unhooked(script)

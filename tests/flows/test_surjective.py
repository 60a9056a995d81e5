"""Surjections and the flows behind them: masses add up to one, bounds are bounds, and tables are learned."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from counterflow import bijections, flows
from counterflow.bijections import (
    AbsoluteValue,
    AbstractSurjection,
    Affine,
    Argmax,
    Clip,
    Exp,
    Interval,
    Invert,
    SideBySide,
    Sort,
    UniformDequantization,
    VariationalDequantization,
)
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.flows import SurjectiveFlow, dequantized
from counterflow.training import fit
from tests.laws.registry import draw


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(module: torch.nn.Module, spread: float = 0.3) -> torch.nn.Module:
    module, generator = module.double(), seeded()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator).double())
    return module


def whole(rows: Tensor) -> Tensor:
    return (3 * rows).round()


def category(rows: Tensor) -> Tensor:
    return (3 * torch.special.ndtr(rows)).floor().clamp(0, 2)


# How to build each surjection of two columns, how to make data for it, and the constraint of its latents.
SURJECTIONS = {
    "absolute": (lambda c: AbsoluteValue(2, context_features=c), lambda rows: rows, "positive"),
    "argmax": (lambda c: Argmax(2, categories=3, context_features=c), category, None),
    "clip": (lambda c: Clip(2, low=-0.5, high=1.0), lambda rows: rows.clamp(-0.5, 1.0), None),
    "sort": (lambda c: Sort(2), lambda rows: rows, None),
    "uniform": (lambda c: UniformDequantization(2), whole, None),
    "variational": (lambda c: VariationalDequantization(2, context_features=c), whole, None),
    "side_by_side": (
        lambda c: SideBySide([Argmax(1, categories=3, context_features=c), Affine(1)]),
        lambda rows: torch.cat((category(rows[..., :1]), rows[..., 1:]), -1),
        None,
    ),
}
every = pytest.mark.parametrize("name", SURJECTIONS)


def test_every_surjection_is_tested():
    classes = {getattr(bijections, name) for name in bijections.__all__}
    maps = {c for c in classes if isinstance(c, type) and issubclass(c, AbstractSurjection)} - {AbstractSurjection}
    assert maps == {type(make(0)) for make, _, _ in SURJECTIONS.values()}


def built(name: str, context_features: int = 0) -> tuple[AbstractSurjection, Tensor]:
    make, data, _ = SURJECTIONS[name]
    return shaken(make(context_features)), data(draw(40, 2))


@every
def test_a_latent_leads_back_to_its_data(name):
    surjection, x = built(name)
    z, weight = surjection.to_latent(x.expand(50, 40, 2), generator=seeded())
    assert z.shape == (50, 40, *surjection.latent_shape)
    assert weight.shape == (50, 40)
    back = surjection.to_data(z, generator=seeded())
    if name == "absolute":
        back, x = back.abs(), x.abs()
    if name == "sort":
        back, x = back.sort(-1).values, x.sort(-1).values
    torch.testing.assert_close(back, x.expand_as(back))


@every
def test_leading_dimensions_broadcast_and_rows_stand_alone(name):
    surjection, x = built(name, 3)
    noise, context = torch.rand(5, 1, surjection.noise_features, generator=seeded()).double(), draw(40, 3)
    z, weight = surjection.place(x, noise, context=context)
    one, one_weight = surjection.place(x[7], noise[3, 0], context=context[7])
    torch.testing.assert_close(z.expand(5, 40, -1)[3, 7], one)
    torch.testing.assert_close(weight.expand(5, 40)[3, 7], one_weight)


@every
def test_placing_has_gradients_and_maps_over_rows(name):
    surjection, x = built(name)
    noise = torch.rand(40, surjection.noise_features, generator=seeded()).double()
    z, weight = surjection.place(x, noise)
    for found, expected in zip(torch.func.vmap(surjection.place)(x, noise), (z, weight), strict=True):
        torch.testing.assert_close(found, expected)
    parameters = list(surjection.parameters())
    for gradient in torch.autograd.grad(z.sum() + weight.sum(), parameters) if parameters else ():
        assert gradient.isfinite().all()
        assert (gradient != 0).any()


@every
def test_the_same_noise_gives_the_same_latents(name):
    surjection, x = built(name)
    first, second = (surjection.to_latent(x, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert surjection.exact == (name in ("absolute", "sort"))
    moved = surjection.to_latent(x, generator=seeded(4))[0]
    assert torch.equal(moved, first[0]) == surjection.exact


def flow_of(features: int, spread: float = 0.3) -> flows.Flow:
    return shaken(flows.maf(features, layers=2, hidden=(8,)), spread)


@pytest.mark.parametrize("hidden_law", ["argmax", "uniform", "variational"])
def test_masses_of_all_cells_add_up_to_one(hidden_law):
    """Brute force over every category, or every whole number that has any mass."""
    grid = torch.arange(3.0) if hidden_law == "argmax" else torch.arange(-8.0, 9.0)
    x = torch.cartesian_prod(grid, grid).double()
    surjection = shaken(SURJECTIONS[hidden_law][0](0), 0.05)
    model = SurjectiveFlow(surjection, flow_of(surjection.latent_shape[0], spread=0.1))
    with torch.no_grad():
        masses = model.log_prob(x, draws=3000, generator=seeded()).exp()
    assert masses.sum().item() == pytest.approx(1.0, abs=0.03)


def test_masses_are_those_of_the_normal_law():
    """Witness: scipy. The latent is normal, so a cell's mass is a difference of two distribution functions."""
    model = shaken(dequantized(flows.compose(Affine(1, shift=1.0, scale=2.0)), variational=True), 0.0)
    x = torch.arange(-3.0, 5.0).double().unsqueeze(-1)
    exact = torch.from_numpy(stats.norm(1, 2).cdf(x + 1) - stats.norm(1, 2).cdf(x)).squeeze(-1)
    found = model.log_prob(x, draws=4000, generator=seeded()).exp()
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=0.0)
    bound = model.log_prob_bound(x.expand(4000, 8, 1), generator=seeded()).mean(0)
    assert (bound < exact.log()).all()


def test_an_atom_has_the_mass_beyond_the_bound():
    """Witness: scipy, on both bounds; inside it is the density itself, whatever the noise."""
    model = SurjectiveFlow(Clip(1, low=-0.5, high=1.0), flows.compose(Affine(1))).double()
    x = torch.tensor([[-0.5], [0.3], [1.0]], dtype=torch.float64)
    found = model.log_prob(x, draws=20000, generator=seeded()).exp()
    exact = torch.tensor([stats.norm.cdf(-0.5), stats.norm.pdf(0.3), stats.norm.sf(1.0)], dtype=torch.float64)
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=0.0)
    torch.testing.assert_close(found[1], exact[1], rtol=1e-12, atol=0.0)


def test_the_density_of_sorted_numbers_integrates_to_one_and_knows_no_order():
    model = SurjectiveFlow(Sort(2), flows.compose(Affine(2, shift=0.3, scale=0.5))).double()
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis + 0.01)  # beside the diagonal, where numbers would be equal
    with torch.no_grad():
        density = model.log_prob(points).exp()
        torch.testing.assert_close(model.log_prob(points.flip(-1)).exp(), density)
    assert density.sum().item() * 0.02**2 == pytest.approx(1.0, abs=0.003)


def test_the_signs_share_the_density_of_the_absolute_value():
    model = SurjectiveFlow(shaken(AbsoluteValue(2)), flows.compose([Invert(Exp(2)), flow_of(2).bijection])).double()
    x = draw(50, 2).abs()
    signs = torch.cartesian_prod(*(torch.tensor([-1.0, 1.0]).double(),) * 2).unsqueeze(1)
    densities = model.log_prob(signs * x).exp()
    torch.testing.assert_close(densities.sum(0), model.flow(x).exp())
    assert not torch.allclose(densities[0], densities[3])


@every
def test_draws_raise_the_estimate_towards_the_value(name):
    make, data, latents = SURJECTIONS[name]
    surjection = shaken(make(0), 0.1)
    flow = flow_of(surjection.latent_shape[0], spread=0.1)
    if latents == "positive":
        flow = flows.compose([Invert(Exp(2)), flow.bijection]).double()
    model, x = SurjectiveFlow(surjection, flow), data(draw(30, 2))
    with torch.no_grad():
        one = model.log_prob_bound(x.expand(1000, 30, 2), generator=seeded()).mean()
        few = model.log_prob(x.expand(200, 30, 2), draws=10, generator=seeded(1)).mean()
        many = model.log_prob(x, draws=4000, generator=seeded(2)).mean()
    if surjection.exact:
        torch.testing.assert_close(torch.stack((one, few)), many.expand(2))
    else:
        assert one < few < many + 0.01
        assert one < many - 0.001


@pytest.mark.parametrize("kind", ["argmax", "uniform", "variational"])
def test_a_trained_model_approaches_the_entropy_of_the_table(kind):
    """A table of two dependent columns whose law is known: cross-entropy over all cells against its entropy."""
    law = torch.tensor([[0.30, 0.02], [0.03, 0.25], [0.25, 0.15]])
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(2))
    chosen = torch.multinomial(law.flatten(), 2000, replacement=True, generator=seeded())
    if kind == "argmax":
        parts = [Argmax(1, categories=k, generator=seeded()) for k in (3, 2)]
        model = SurjectiveFlow(SideBySide(parts), flows.maf(5, layers=2, hidden=(32,), generator=seeded()))
    else:
        flow = flows.spline_autoregressive(2, layers=1, hidden=(32,), generator=seeded())
        model = dequantized(flow, variational=kind == "variational", generator=seeded())
    settings = {"max_epochs": 20, "batch_size": 150, "learning_rate": 2e-2, "progress": False, "compile": False}
    fit(model, cells[chosen], augment=model.with_noise, generator=seeded(), **settings)
    with torch.no_grad():
        masses = model.log_prob(cells, draws=2000, generator=seeded()).exp()
    assert masses.sum().item() < 1.01
    frequencies = torch.bincount(chosen, minlength=6) / 2000
    excess = (frequencies * (frequencies / masses).log()).sum().item()
    sides = [frequencies.reshape(3, 2).sum(axis, keepdim=True) for axis in (0, 1)]
    dependence = (frequencies * (frequencies / (sides[0] * sides[1]).flatten()).log()).sum().item()
    assert -0.01 < excess < 0.5 * dependence  # independent columns would miss all of it


def test_categories_have_the_probabilities_of_the_largest_of_normal_draws():
    """Witness: scipy's integral over the largest. Both the estimate and the samples."""
    shift, scale = torch.tensor([0.0, 0.5, -0.3, 0.2]), 0.7
    model = SurjectiveFlow(Argmax(1, categories=4), flows.compose(Affine(4, shift=shift, scale=scale))).double()
    laws = [stats.norm(mean, scale) for mean in shift.tolist()]

    def largest(t: float, k: int) -> float:
        return laws[k].pdf(t) * math.prod(law.cdf(t) for law in laws if law is not laws[k])

    exact = torch.tensor([integrate.quad(largest, -6, 6, args=(k,))[0] for k in range(4)], dtype=torch.float64)
    found = model.log_prob(torch.arange(4).unsqueeze(-1), draws=40000, generator=seeded()).exp()
    torch.testing.assert_close(found, exact, rtol=0.03, atol=0.0)
    x = model.sample(20000, generator=seeded()).long().flatten()
    assert stats.chisquare(torch.bincount(x, minlength=4).numpy(), (20000 * exact).numpy()).pvalue > 1e-3


def test_contexts_reach_flow_and_surjection():
    surjection = Argmax(1, categories=3, context_features=2)
    model = shaken(SurjectiveFlow(surjection, flows.maf(3, context_features=2, layers=1, hidden=(8,))))
    assert model.sample(7, draw(5, 2), generator=seeded()).shape == (7, 5, 1)
    rows, _ = model.with_noise(torch.zeros(5, 1), seeded())
    assert not torch.allclose(model(rows, draw(5, 2)), model(rows, draw(5, 2) + 1))
    alone = SurjectiveFlow(surjection, flow_of(3))
    assert alone.sample(7, draw(5, 2), generator=seeded()).shape == (7, 5, 1)


def test_images_are_dequantized_too():
    model = dequantized(flows.compose(Affine((2, 3, 3))))
    x = torch.randint(0, 8, (5, 2, 3, 3), generator=seeded())
    assert model.log_prob(x, draws=3, generator=seeded()).shape == (5,)
    assert torch.equal(model.surjection.to_latent(x.float(), generator=seeded())[0].floor(), x.float())


@pytest.mark.parametrize("value", [0.0, 255.0, 65535.0, -3.0, -1.0])
def test_no_noise_rounds_up_into_the_next_cell(value):
    x, noise = torch.tensor([value]), torch.tensor([1 - 2.0**-24])
    for surjection in (UniformDequantization(1), VariationalDequantization(1)):
        assert surjection.place(x, noise)[0].floor() == x


def test_interval_is_the_scaled_logit():
    """Witness: scipy's logistic law."""
    layer = Interval(-2.0, 6.0).double()
    flow = flows.compose(layer)
    x = torch.tensor([[-1.9], [0.0], [5.5]], dtype=torch.float64)
    z = torch.from_numpy(stats.logistic.ppf((x.numpy() + 2) / 8))
    torch.testing.assert_close(layer.to_latent(x)[0], z)
    expected = stats.norm.logpdf(z) - stats.logistic.logpdf(z) - math.log(8)
    torch.testing.assert_close(flow.double()(x), torch.from_numpy(expected).squeeze(-1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"the flow must have points of shape \(6,\)"):
        SurjectiveFlow(Argmax(2, categories=3), flows.maf(5))
    with pytest.raises(ShapeError, match="see with_noise"):
        SurjectiveFlow(UniformDequantization(2), flows.maf(2))(torch.zeros(3, 2))
    with pytest.raises(ShapeError, match="noise must map points"):
        VariationalDequantization(2, noise=Affine(2))
    with pytest.raises(ArgumentError, match="at least one member"):
        SideBySide([])
    with pytest.raises(ShapeError, match="Flatten images"):
        SideBySide([UniformDequantization((1, 2, 2))])
    for make in (lambda: Clip(1, low=1.0, high=0.0), lambda: Interval(1.0, 1.0)):
        with pytest.raises(ArgumentError, match="low must be below high"):
            make()


COMPILE = """
import torch
from counterflow import flows
from counterflow.bijections import Argmax, Clip, SideBySide, VariationalDequantization
for surjection in (SideBySide([Argmax(1, categories=3), Clip(1, low=0.0)]), VariationalDequantization(2)):
    model = flows.SurjectiveFlow(surjection, flows.maf(surjection.latent_shape[0], layers=1, hidden=(8,))).double()
    rows, _ = model.with_noise(torch.tensor([[0, 0], [1, 2]]), torch.Generator().manual_seed(0))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(rows), model(rows))
print("done")
"""


def test_rows_with_their_noise_compile_as_one_graph(run_unhooked):
    assert run_unhooked(COMPILE, warnings="ignore").split() == ["done"]

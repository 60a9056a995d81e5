"""PointFlow: its densities against closed forms, its symmetries, its folder, and what it refuses."""

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from counterflow.core.clouds import as_clouds
from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.generators import as_generator
from counterflow.pointclouds import PointFlow, PointFlowSettings, draw_points, present_points

KINDS = ["coupling", "continuous"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(dimensions=2, *, shaken=True, **settings):
    """A small model in double precision whose weights are all of some size."""
    small = {"latent_features": 3, "layers": 3, "hidden": (8, 8), "bins": 4, "encoder": (8, 8), "head": (8,)}
    small |= {"embedding": 8, "prior_layers": 2, "prior_hidden": (8, 8)}
    model = PointFlow(PointFlowSettings(dimensions=dimensions, **(small | settings)), generator=seeded()).double()
    generator = seeded(1)
    with torch.no_grad():
        for parameter in model.parameters() if shaken else ():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        model.units.center.copy_(torch.tensor([0.5, -1.0, 2.0])[:dimensions])
        model.units.scale.fill_(0.7)
    return model.eval()


def clouds(count=4, points=20, dimensions=2, seed=0):
    return torch.randn(count, points, dimensions, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_of_points_integrates_to_one(kind):
    """Witness: a sum over a grid in the units of the clouds, so that the scale is in the density too."""
    model = made(points=kind)
    axis = torch.linspace(-9, 9, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(axis + 0.5, axis - 1.0)[None]
    z = torch.tensor([[0.3, -1.0, 0.7]], dtype=torch.float64)
    with torch.no_grad():
        mass = model.point_log_prob(grid, z).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fresh_model_gives_the_normal_density_with_its_constant_once(kind, dimensions):
    """Witness: torch.distributions. (The published code has the constant once for each dimension.)"""
    model = made(dimensions, shaken=False, points=kind)
    x, z = clouds(dimensions=dimensions), torch.zeros(4, 3, dtype=torch.float64)
    law = MultivariateNormal(model.units.center, 0.7**2 * torch.eye(dimensions, dtype=torch.float64))
    assert torch.allclose(model.point_log_prob(x, z), law.log_prob(x), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_is_that_of_the_map(kind):
    """Witness: the determinant by automatic differentiation of the way from noise to points."""
    model = made(3, points=kind)
    z, noise = torch.tensor([[0.3, -1.0, 0.7]], dtype=torch.float64), clouds(1, 1, 3)

    def to_point(e):
        return model.points.to_data(e[None, None], model.context(z))[0][0, 0] * model.units.scale + model.units.center

    jacobian = torch.autograd.functional.jacobian(to_point, noise[0, 0])
    expected = Normal(0, 1).log_prob(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet
    found = model.point_log_prob(to_point(noise[0, 0])[None, None], z)
    assert found.item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_bound_is_its_formula():
    """Witness: the same sum with torch.distributions, latent by latent."""
    model, x = made(), clouds()
    mean, log_deviation = model.posterior(x)
    law = Independent(Normal(mean, log_deviation.exp()), 1)
    draws = torch.randn(5, 4, 3, generator=seeded(7), dtype=torch.float64)
    terms = []
    for draw in draws:
        z = mean + log_deviation.exp() * draw
        terms.append(model.point_log_prob(x, z).sum(1) + model.log_prob(z))
    expected = torch.stack(terms).mean(0) + law.entropy()
    assert torch.allclose(model.elbo(x, samples=5, generator=seeded(7)), expected, atol=1e-10)


def test_the_bound_lies_below_the_likelihood():
    """Witness: log p(X) by importance sampling from the prior, of a cloud of three points and one latent number."""
    model, x = made(latent_features=1), clouds(1, 3)
    with torch.no_grad():
        z = model.prior.sample(20_000, generator=seeded(3))
        terms = model.point_log_prob(x.expand(len(z), -1, -1), z).sum(1)
        bound = model.elbo(x, samples=200, generator=seeded(4))
    truth = terms.logsumexp(0) - math.log(len(z))
    assert truth.item() - 5 < bound.item() < truth.item()


@pytest.mark.parametrize("kind", KINDS)
def test_neither_the_order_of_points_nor_absent_ones_matter(kind):
    model, x = made(points=kind), clouds()
    longer = torch.cat([x, torch.full((4, 7, 2), torch.nan, dtype=torch.float64)], 1)
    shuffled = longer[:, torch.randperm(27, generator=seeded())]
    assert torch.allclose(model.encode(x), model.encode(shuffled), atol=1e-12)
    for name in ("elbo", "reconstruct"):
        answers = [getattr(model, name)(cloud, generator=seeded(5)) for cloud in (x, shuffled)]
        assert torch.allclose(*answers, atol=1e-8)


def test_clouds_of_unequal_size_are_read_as_each_alone():
    model, x = made(), clouds()
    parts = [cloud[: 5 + 3 * place] for place, cloud in enumerate(x)]
    alone = torch.cat([model.encode(part[None]) for part in parts])
    assert torch.allclose(model.encode(parts), alone, atol=1e-12)
    assert torch.allclose(model.features(parts, at_once=3), alone, atol=1e-12)
    density = model.point_log_prob(parts, alone)
    assert density[0, 5:].eq(0).all()
    assert density[0, :5].ne(0).all()


def test_one_point_is_a_cloud():
    model = made()
    x = clouds(2, 1)
    assert model.elbo(x).isfinite().all()
    assert model.reconstruct(x, 5).shape == (2, 5, 2)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("variational", [True, False])
def test_a_folder_brings_back_the_same_model(tmp_path, noise, variational):
    model, x = made(noise=noise, variational=variational), clouds()
    model.save(tmp_path / "model")
    loaded = PointFlow.load(tmp_path / "model")
    assert loaded.settings == model.settings
    assert torch.equal(loaded.reconstruct(x, 9), model.reconstruct(x, 9))
    assert torch.equal(loaded.sample(3, 9, generator=seeded()), model.sample(3, 9, generator=seeded()))
    assert not [file for file in (tmp_path / "model").iterdir() if file.suffix not in (".json", ".safetensors")]


def test_a_folder_of_another_kind_is_refused(tmp_path):
    from counterflow import flows

    flows.realnvp(2).save(tmp_path)
    with pytest.raises(PersistenceError, match="pointflow"):
        PointFlow.load(tmp_path)


def test_decoding_is_a_differentiable_function_of_the_latent():
    """Witness: a difference quotient, so that another room may climb in the latent."""
    model = made()
    generator = as_generator(model)
    z = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(generator.decode(z), generator.decode(z))
    (slope,) = torch.autograd.grad(generator.decode(z).square().mean(), z)
    step = torch.tensor([[1e-5, 0.0, 0.0]], dtype=torch.float64)
    ends = [generator.decode(z.detach() + side * step).square().mean() for side in (1, -1)]
    assert slope[0, 0].item() == pytest.approx(((ends[0] - ends[1]) / 2e-5).item(), rel=1e-4)
    assert generator.encode(clouds()).shape == (4, 3)


def test_samples_come_from_their_generator():
    model = made()
    first, again, other = (model.sample(2, 5, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert model.sample(2, 70_000).shape == (2, 70_000, 2)  # more than are drawn at once


def test_samples_follow_the_density():
    """Witness: the mean of a function of the points, as the grid says and as the samples say."""
    model = made()
    z = torch.tensor([[0.3, -1.0, 0.7]], dtype=torch.float64)
    axis = torch.linspace(-9, 9, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(axis + 0.5, axis - 1.0)[None]
    with torch.no_grad():
        weights = model.point_log_prob(grid, z)[0].softmax(0)
        drawn = model.decode(z, 40_000, generator=seeded())[0]
    for f in (lambda x: x[:, 0], lambda x: x[:, 1].square(), lambda x: x.prod(1)):
        error = f(drawn).std() / 200
        assert f(drawn).mean().item() == pytest.approx((weights * f(grid[0])).sum().item(), abs=4 * error.item())


def test_interpolation_goes_from_one_reconstruction_to_the_other():
    model = made()
    start, end = clouds(2, 15)
    way = model.interpolate(start, end[:9], steps=4, points=12)
    assert way.shape == (4, 12, 2)
    ends = model.reconstruct([start, end[:9]], 12)
    assert torch.allclose(way[[0, -1]], ends, atol=1e-6)


def test_the_level_of_noise_is_told():
    model, x = made(noise=0.2), clouds()
    z = model.encode(x)
    quiet, loud = (model.point_log_prob(x, z, level=torch.full((4, 1), a).double()) for a in (0.0, 1.0))
    assert torch.equal(quiet, model.point_log_prob(x, z))
    assert not torch.allclose(quiet, loud)


def test_a_deterministic_encoder_has_no_bound():
    model = made(variational=False)
    assert model.encode(clouds()).shape == (4, 3)
    with pytest.raises(ArgumentError, match="elbo must have a variational encoder"):
        model.elbo(clouds())


def test_scale_is_set_once():
    model = PointFlow(PointFlowSettings(dimensions=2, latent_features=3))
    x = 3 + 2 * clouds(50, 40)
    model.initialize([x[0], *x[1:, :20]])
    points = torch.cat([x[0], x[1:, :20].flatten(0, 1)])
    assert torch.allclose(model.units.center.double(), points.mean(0), atol=1e-5)
    assert model.units.scale.item() == pytest.approx((points - points.mean(0)).square().mean().sqrt().item(), rel=1e-5)
    mean, log_deviation = model.posterior([x[0], *x[1:, :20]])
    assert torch.allclose(mean.mean(0), torch.zeros(3), atol=1e-3)
    assert torch.allclose(mean.std(0, correction=0), torch.ones(3), atol=1e-3)
    assert torch.allclose(log_deviation, torch.tensor(-2.0), atol=0.1)
    before = model.units.scale.clone()
    model.initialize(x * 7)
    assert torch.equal(model.units.scale, before)


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (torch.zeros(4, 2), ShapeError, "must have shape"),
        (torch.zeros(2, 4, 3), ShapeError, "points in 2 dimensions, got points in 3"),
        ([], ShapeError, "at least one cloud"),
        ([torch.zeros(4, 2), torch.zeros(4, 3)], ShapeError, "all of one space"),
        (torch.zeros(0, 4, 2), ShapeError, "must have shape"),
        (torch.zeros(2, 0, 2), DataError, "cloud 0 without any"),
        ([torch.zeros(4, 2), torch.zeros(0, 2)], DataError, "cloud 1 without any"),
        (torch.full((2, 4, 2), torch.nan), DataError, "cloud 0 without any"),
        (torch.tensor([[[0.0, torch.nan]]]), DataError, "as point 0 of cloud 0"),
        (torch.tensor([[[0.0, 0.0], [0.0, torch.inf]]]), DataError, "infinity in point 1 of cloud 0"),
    ],
)
def test_bad_clouds_are_named(bad, error, match):
    with pytest.raises(error, match=match):
        made().encode(bad)


def test_other_bad_arguments_are_named():
    model, x = made(), clouds()
    with pytest.raises(ShapeError, match=r"z must have shape \(4, 3\), one latent for each of 4 clouds, got \(2, 3\)"):
        model.point_log_prob(x, torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match="z must have shape"):
        model.decode(torch.zeros(2, 5, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="points must be a whole number"):
        model.sample(2, 0)
    with pytest.raises(ArgumentError, match="steps must be a whole number of at least 2"):
        model.interpolate(x[0], x[1], steps=1)
    with pytest.raises(DataError, match="must differ in their points"):
        PointFlow(PointFlowSettings(dimensions=2)).initialize(torch.ones(3, 4, 2))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dimensions": 4}, "dimensions must be one of 2, 3"),
        ({"noise": -0.1}, "noise must be at least 0"),
        ({"latent_features": 0}, "latent_features"),
        ({"encoder": ()}, "number of widths in encoder"),
        ({"hidden": (0,)}, "each width in hidden must be a whole number of at least 1, got 0"),
        ({"bins": 1}, "bins"),
    ],
)
def test_bad_settings_are_named(settings, match):
    with pytest.raises(ArgumentError, match=match):
        PointFlowSettings(**settings)


def test_whole_numbers_become_clouds():
    assert as_clouds(torch.zeros(1, 2, 3, dtype=torch.long).numpy()).dtype == torch.get_default_dtype()


def test_points_are_drawn_without_replacement():
    x = clouds(3, 30)
    x[1, 5:] = torch.nan
    drawn = draw_points(x, 10, generator=seeded())
    assert drawn.shape == (3, 10, 2)
    assert present_points(drawn).sum(1).tolist() == [10, 5, 10]
    for cloud, source in zip(drawn, x, strict=True):
        points = {tuple(point.tolist()) for point in cloud[present_points(cloud)]}
        assert points <= {tuple(point.tolist()) for point in source}
        assert len(points) == present_points(cloud).sum()
    assert not torch.equal(drawn[0], draw_points(x, 10, generator=seeded(1))[0])


FAR = torch.tensor([500_000.0, 4_649_776.0], dtype=torch.float64)


@pytest.mark.parametrize("where", ["tensor", "list"])
def test_far_clouds_keep_their_digits(where):
    """Witness: the same clouds at the origin, for a model in single precision that is cast to and fro."""
    near, far = (PointFlow(PointFlowSettings(dimensions=2, latent_features=3), generator=seeded()) for _ in range(2))
    x = clouds(6, 50)
    moved = x + FAR
    near.initialize(x)
    far.double().float().initialize(moved if where == "tensor" else list(moved.numpy()))
    far.half().float()
    assert torch.allclose(far.units.center, near.units.center + FAR, rtol=0, atol=1e-8)
    weights = {name: value for name, value in near.state_dict().items() if not name.startswith("units")}
    far.load_state_dict(weights, strict=False)
    with torch.no_grad():
        z = near.encode(x)
        assert torch.allclose(far.encode(moved), z, atol=1e-5)
        assert torch.allclose(far.point_log_prob(moved, z), near.point_log_prob(x, z), atol=1e-5)
    single, expected = far.decode(z, 20).detach(), near.decode(z, 20).detach()
    assert single.dtype == torch.float32
    half_a_place = torch.tensor([2**-6, 2**-2])  # of single precision, at FAR
    assert ((single - FAR - expected).abs() <= half_a_place + 1e-4).all()
    exact, expected = far.double().decode(z.double(), 20).detach(), near.double().decode(z.double(), 20).detach()
    assert torch.allclose(exact - FAR, expected, rtol=0, atol=1e-6)


def test_lists_take_the_most_exact_type():
    x = as_clouds([torch.zeros(1, 2), FAR[None].numpy() + 0.224, [[1, 2]]])
    assert x[:, 0].tolist() == [[0, 0], (FAR + 0.224).tolist(), [1, 2]]


TYPES = """
import torch
from counterflow.core.errors import CounterflowError
from counterflow.pointclouds import PointFlow, PointFlowSettings, as_clouds, fit_pointflow

model, x = PointFlow(PointFlowSettings(dimensions=2)), torch.randn(4, 5, 2)
calls = [lambda bad=bad: as_clouds(bad) for bad in ("a", None, 0.5, [["a", "b"]], [None], x + 0j)]
calls += [lambda: fit_pointflow(model, x, validation="a")]
widths = [(name, bad) for name in ("encoder", "head", "hidden", "prior_hidden") for bad in (8, (0,), (8.0,), "64")]
calls += [lambda name=name, bad=bad: PointFlowSettings(**{name: bad}) for name, bad in widths]
for call in calls:
    try:
        call()
    except CounterflowError as error:
        print(error)
"""


def test_values_of_another_type_are_named(run_unhooked):
    """Users have no hook that checks types: each gets a sentence that names what is wrong."""
    sentences = run_unhooked(TYPES).splitlines()
    names = ["clouds"] * 6 + ["validation"]
    for name in ("encoder", "head", "hidden", "prior_hidden"):
        names += [name, f"each width in {name}", f"each width in {name}", name]
    assert [sentence.partition(" must ")[0] for sentence in sentences] == names


def test_arrays_in_any_order_of_memory_are_clouds():
    x = clouds(2, 5).numpy()
    assert torch.equal(as_clouds(x[:, ::-1].astype(">f8")), clouds(2, 5).flip(1))


def test_latents_of_another_width_are_named():
    model, x = made(), clouds()
    with pytest.raises(ShapeError, match=r"z must have shape \(4, 3\), .* got \(4, 5\)"):
        model.point_log_prob(x, torch.zeros(4, 5, dtype=torch.float64))


def test_points_are_drawn_from_what_users_have():
    x = clouds(3, 6)
    drawn = draw_points(x, 4, generator=seeded())
    assert torch.equal(draw_points(x.numpy(), 4, generator=seeded()), drawn)
    assert torch.equal(draw_points([cloud.numpy() for cloud in x], 4, generator=seeded()), drawn)

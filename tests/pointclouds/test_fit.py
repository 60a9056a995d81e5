"""Training of PointFlows on ellipses, whose law is known, and what training refuses."""

import pytest
import torch

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.datasets import ellipses
from counterflow.pointclouds import PointFlow, PointFlowSettings, fit_pointflow, fit_prior
from counterflow.pointclouds.objectives import PointObjective, shake
from counterflow.training import TrainingSettings


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small(**settings):
    chosen = {"dimensions": 2, "latent_features": 4, "layers": 4, "hidden": (32, 32), "encoder": (32, 64)}
    return PointFlow(
        PointFlowSettings(**(chosen | {"embedding": 32, "prior_hidden": (16,)} | settings)), generator=seeded()
    )


def trained(model, clouds, *, epochs=12, rate=4e-3, **settings):
    schedule = TrainingSettings(max_epochs=epochs, learning_rate=rate, compile=False, progress=False)
    return fit_pointflow(model, clouds, settings=schedule, generator=seeded(1), **settings)


@pytest.fixture(scope="module")
def learned():
    model = small(prior_layers=2)
    report = trained(model, ellipses(300, 128, generator=seeded()).clouds, epochs=16, points=64)
    return model, report


def test_the_likelihood_of_points_comes_near_the_truth(learned):
    """Witness: the entropy of each ellipse, which no law falls below; .31 above it is its own normal law."""
    model, report = learned
    fresh = ellipses(200, 256, generator=seeded(9))
    with torch.no_grad():
        nats = -model.point_log_prob(fresh.clouds, model.encode(fresh.clouds)).mean(1)
    above = (nats - fresh.log_area).mean().item()
    assert 0 < above < 0.25
    assert report.best_validation < 1.1


def test_reconstructions_have_the_spread_of_their_clouds(learned):
    """Witness: each cloud's own covariance, that of another cloud being far off."""
    model, _ = learned
    fresh = ellipses(60, 256, generator=seeded(9)).clouds
    true, found = (
        torch.stack([cloud.T.cov() for cloud in x]) for x in (fresh, model.reconstruct(fresh, 256, generator=seeded()))
    )
    own = (true - found).flatten(1).norm(dim=1).median()
    other = (true - found.roll(1, 0)).flatten(1).norm(dim=1).median()
    assert own < 0.35 * other


def test_samples_look_like_clouds(learned):
    """Witness: the mean radius of clouds, in law, beside fresh ones."""
    model, _ = learned
    drawn, fresh = model.sample(300, 64, generator=seeded(3)), ellipses(300, 64, generator=seeded(9)).clouds
    radii = [x.norm(dim=2).mean(1) for x in (drawn, fresh)]
    assert radii[0].mean().item() == pytest.approx(radii[1].mean().item(), abs=0.06)
    assert radii[0].std().item() == pytest.approx(radii[1].std().item(), rel=0.4)


@pytest.mark.parametrize("objective", ["likelihood", "flow_matching"])
def test_a_continuous_flow_learns_by_either_loss(objective):
    model = small(points="continuous", hidden=(32, 32), noise=0.05)
    clouds = ellipses(100, 48, generator=seeded()).clouds
    with torch.no_grad():
        before = model.point_log_prob(clouds, model.encode(clouds)).mean()
    trained(model, clouds, epochs=2 if objective == "likelihood" else 25, points=24, objective=objective)
    with torch.no_grad():
        assert model.point_log_prob(clouds, model.encode(clouds)).mean() > before + 0.2


def test_a_deterministic_autoencoder_gets_its_prior_afterwards():
    model = small(variational=False, prior_layers=1)
    clouds = ellipses(120, 48, generator=seeded()).clouds
    trained(model, clouds, epochs=6, points=32)
    z = model.features(clouds)
    drawn = model.prior.sample(2000, generator=seeded(5))
    assert torch.allclose(drawn.mean(0), z.mean(0), atol=float(0.4 * z.std()))
    assert model.log_prob(z).mean() > model.log_prob(z + 4 * z.std(0)).mean() + 1


def test_a_prior_is_fitted_to_the_latents_alone(learned):
    model, _ = learned
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    clouds = ellipses(40, 64, generator=seeded()).clouds
    fit_prior(model, clouds, validation=clouds[:10], max_epochs=2, progress=False, generator=seeded())
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, weights[name])}
    model.load_state_dict(weights)
    assert moved == {"prior"}


def test_the_loss_is_the_bound_for_each_point():
    """Witness: the public bound, with the same noise of the latents."""
    model = small(noise=0.0).double()
    model.initialize(5 * torch.randn(6, 10, 2, generator=seeded(), dtype=torch.float64))
    clouds = torch.randn(6, 10, 2, generator=seeded(), dtype=torch.float64)
    clouds[0, 4:] = torch.nan
    batch = shake(model, clouds, points=10, generator=seeded(2))
    x = torch.where(batch.present.unsqueeze(-1), batch.clean * model.units.scale + model.units.center, torch.nan)
    bound = 0.0
    mean, log_deviation = model.posterior(x)
    z = mean + log_deviation.exp() * batch.latent
    entropy = torch.distributions.Normal(mean, log_deviation.exp()).entropy().sum()
    bound = model.point_log_prob(x, z).sum() + model.log_prob(z).sum() + entropy
    assert PointObjective(model)(batch).item() == pytest.approx(-bound.item() / 54, abs=1e-9)
    assert model.elbo(x).shape == (6,)


def test_noise_of_every_level_is_added_and_told():
    model = small(noise=0.5)
    x = torch.zeros(4000, 3, 2)
    batch = shake(model, x, points=3, generator=seeded())
    spread = batch.noisy.flatten(1).std(1)
    assert torch.corrcoef(torch.stack([spread, batch.level[:, 0]]))[0, 1] > 0.7
    assert batch.noisy.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.05)  # the root of E u^2 / 4
    assert batch.clean.eq(0).all()


def test_the_same_seed_gives_the_same_model():
    clouds = ellipses(20, 16, generator=seeded()).clouds
    models = [small() for _ in range(2)]
    for model in models:
        trained(model, clouds, epochs=2, points=8, validation=clouds[:4])
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_lists_of_unequal_clouds_are_learned_from():
    clouds = [cloud[: 5 + place] for place, cloud in enumerate(ellipses(20, 30, generator=seeded()).clouds)]
    report = trained(small(), clouds, epochs=2, points=8, validation=0.0)
    assert report.epochs == 2
    assert report.history[-1].validation != report.history[-1].validation  # nothing was held out


@pytest.mark.parametrize(
    ("clouds", "settings", "error", "match"),
    [
        (torch.randn(1, 9, 2), {}, DataError, "at least 2"),
        (torch.randn(5, 9, 3), {}, ShapeError, "points in 2 dimensions"),
        (torch.ones(5, 9, 2), {}, DataError, "must differ"),
        (torch.randn(5, 9, 2), {"validation": 1.5}, ArgumentError, "share in"),
        (torch.randn(2, 9, 2), {"validation": 0.9}, DataError, "leaves none"),
        (torch.randn(5, 9, 2), {"validation": torch.randn(2, 9, 3)}, ShapeError, "validation must hold points"),
        (torch.randn(5, 9, 2), {"points": 0}, ArgumentError, "points must be"),
        (torch.randn(5, 9, 2), {"objective": "flow_matching"}, ArgumentError, "must have a velocity"),
    ],
)
def test_bad_data_are_named(clouds, settings, error, match):
    with pytest.raises(error, match=match):
        fit_pointflow(small(), clouds, **settings)


def test_far_clouds_are_learned_as_near_ones_are():
    """Witness: the same run at the origin."""
    shift = torch.tensor([500_000.0, 4_649_776.0], dtype=torch.float64)
    clouds = ellipses(20, 32, generator=seeded()).clouds.double()
    losses = [
        trained(small(layers=2), x, epochs=2, points=16, validation=held).best_validation
        for x, held in ((clouds, clouds[:4]), (clouds + shift, clouds[:4] + shift))
    ]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)


@pytest.mark.parametrize("limits", [{"max_epochs": 2}, {"max_epochs": 3, "time_limit": 60.0}, {"time_limit": 1e-3}])
def test_settings_hold_for_the_prior_too(monkeypatch, limits):
    from counterflow.pointclouds import _fit_pointflow as module

    reports, asked = [], []

    def followed(*arguments, **settings):
        asked.append(settings)
        reports.append(fit_prior(*arguments, **settings))

    monkeypatch.setattr(module, "fit_prior", followed)
    clouds = ellipses(30, 16, generator=seeded()).clouds
    schedule = TrainingSettings(compile=False, progress=False, **limits)
    report = fit_pointflow(small(layers=2, variational=False), clouds, settings=schedule, generator=seeded())
    assert reports[0].epochs == limits.get("max_epochs", 1)
    left = limits.get("time_limit")
    assert asked[0]["time_limit"] == (None if left is None else pytest.approx(max(left - report.seconds, 1e-3)))


@pytest.mark.parametrize("weight", [-5.0, float("nan"), float("inf")])
def test_weights_that_mean_nothing_are_named(weight):
    with pytest.raises(ArgumentError, match="kl_weight must be at least 0 and finite"):
        fit_pointflow(small(), torch.randn(5, 9, 2), kl_weight=weight)

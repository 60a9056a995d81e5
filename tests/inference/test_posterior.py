"""Neural posterior estimation: against conjugate posteriors, with every form of observation, saved and refused."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.inference import (
    BoxUniform,
    Embedding,
    FlowMatchingHead,
    Posterior,
    Simulations,
    SplineHead,
    as_prior,
    fit_posterior,
    importance_sample,
    simulate,
)

NORMAL = as_prior(Independent(Normal(torch.zeros(2), torch.ones(2)), 1))
BOX = BoxUniform([-1.0, 0.0], [1.0, 3.0])
SMALL = SplineHead(layers=1, hidden=(16,), bins=4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noisy(theta, generator, deviation=0.5):
    return theta + deviation * torch.randn(theta.shape, generator=generator)


@pytest.fixture(scope="module")
def conjugate():
    """Prior N(0, 1), noise N(0, .25): the posterior is N(.8 x, .2)."""
    found = simulate(noisy, NORMAL, count=4000, generator=seeded())
    return fit_posterior(found, NORMAL, max_epochs=15, generator=seeded(), progress=False)


@pytest.mark.parametrize("x", [[0.0, 0.0], [1.0, -0.5]])
def test_a_conjugate_posterior_is_found(conjugate, x):
    x = torch.tensor(x)
    theta = conjugate.sample(4000, x, generator=seeded(1))
    torch.testing.assert_close(theta.mean(0), 0.8 * x, atol=0.05, rtol=0)
    torch.testing.assert_close(theta.var(0), torch.full((2,), 0.2), atol=0.03, rtol=0)
    exact = Independent(Normal(0.8 * x, math.sqrt(0.2)), 1).log_prob(theta)
    divergence = (conjugate.log_prob(theta, x) - exact).mean()  # KL(q || p), by its own draws
    assert 0 <= divergence + 0.01 < 0.05


def test_one_observation_and_one_for_each_row_agree(conjugate):
    xs = torch.tensor([[0.3, 0.1], [1.0, -1.0]])
    theta = torch.tensor([[0.2, 0.0], [0.5, -0.5]])
    each = conjugate.log_prob(theta, xs)
    alone = torch.cat([conjugate.log_prob(theta[i : i + 1], xs[i]) for i in range(2)])
    torch.testing.assert_close(each, alone)
    many = conjugate.sample_each(4000, xs, generator=seeded())
    singly = torch.stack([conjugate.sample(4000, x, generator=seeded(1)) for x in xs])
    torch.testing.assert_close(many.mean(1), singly.mean(1), atol=5 * 0.45 * (2 / 4000) ** 0.5, rtol=0)


def test_the_mode_is_the_highest_point(conjugate):
    x = torch.tensor([1.0, 0.5])
    mode = conjugate.mode(x, generator=seeded())
    torch.testing.assert_close(mode, 0.8 * x, atol=0.2, rtol=0)
    theta = conjugate.sample(2000, x, generator=seeded(1))
    assert conjugate.log_prob(mode.unsqueeze(0), x) >= conjugate.log_prob(theta, x).max() - 1e-3


def test_an_observed_posterior_is_a_proposal(conjugate):
    """Weighted by the true likelihood, its draws give the evidence of a normal law."""
    x = torch.tensor([0.5, -1.0])
    target = lambda theta: NORMAL.log_prob(theta) + Independent(Normal(theta, 0.5), 1).log_prob(x)  # noqa: E731
    weighed = importance_sample(target, conjugate.at(x), n=4000, generator=seeded())
    exact = Independent(Normal(torch.zeros(2), math.sqrt(1.25)), 1).log_prob(x)
    assert abs(weighed.log_normalizer - exact) < 0.02
    assert weighed.effective_draws > 3000


@pytest.mark.parametrize("head", [SMALL, FlowMatchingHead(hidden=(16, 16))])
def test_no_mass_leaks_out_of_the_priors_bounds(head):
    found = simulate(noisy, BOX, count=300, generator=seeded())
    posterior = fit_posterior(found, BOX, head=head, max_epochs=2, generator=seeded(), progress=False)
    x = torch.tensor([2.0, -1.0])  # far beyond a corner
    theta = posterior.sample(500, x, generator=seeded())
    assert torch.isfinite(BOX.log_prob(theta)).all()
    assert posterior.log_prob(torch.tensor([[1.5, 1.0]]), x).item() == -math.inf
    a, b = torch.meshgrid(torch.linspace(-1, 1, 201), torch.linspace(0, 3, 201), indexing="ij")
    middles = torch.stack([(a[1:, 1:] + a[:-1, :-1]) / 2, (b[1:, 1:] + b[:-1, :-1]) / 2], dim=-1).reshape(-1, 2)
    mass = posterior.log_prob(middles, torch.tensor([0.0, 1.5])).exp().sum() * (2 / 200) * (3 / 200)
    assert abs(mass - 1) < 0.02


def trials(theta, generator):
    """From one to six noisy looks at the parameters."""
    x = theta.unsqueeze(1) + torch.randn(len(theta), 6, 2, generator=generator)
    count = torch.randint(1, 7, (len(theta), 1), generator=generator)
    return torch.where((torch.arange(6) < count).unsqueeze(2), x, torch.nan)


def test_any_number_of_trials_is_taken_in_any_order():
    """With n trials the posterior is N(n mean / (n + 1), 1 / (n + 1))."""
    found = simulate(trials, NORMAL, count=6000, missing=True, generator=seeded())
    posterior = fit_posterior(found, NORMAL, trials=True, max_epochs=15, generator=seeded(), progress=False)
    for count in (1, 5):
        x = 0.5 + torch.randn(count, 2, generator=seeded(count))
        theta = posterior.sample(3000, x, generator=seeded())
        torch.testing.assert_close(theta.mean(0), count * x.mean(0) / (count + 1), atol=0.12, rtol=0)
        torch.testing.assert_close(theta.std(0), torch.full((2,), (count + 1) ** -0.5), atol=0.08, rtol=0)
        torch.testing.assert_close(posterior.log_prob(theta, x), posterior.log_prob(theta, x.flip(0)))


def test_a_missing_value_widens_the_posterior():
    def gappy(theta, generator):
        x = noisy(theta, generator, 0.3)
        return torch.where(torch.rand(x.shape, generator=generator) < 0.3, torch.nan, x)

    found = simulate(gappy, NORMAL, count=8000, missing=True, generator=seeded())
    posterior = fit_posterior(found, NORMAL, max_epochs=15, generator=seeded(), progress=False)
    xs = noisy(NORMAL.sample(40, generator=seeded(1)), seeded(2), 0.3)
    whole = posterior.sample_each(500, xs, generator=seeded()).std(1).mean(0)
    xs[:, 0] = torch.nan
    half = posterior.sample_each(500, xs, generator=seeded()).std(1).mean(0)
    seen = (1 + 1 / 0.3**2) ** -0.5
    torch.testing.assert_close(half, torch.tensor([1.0, seen]), atol=0.1, rtol=0)  # the prior's deviation is 1
    torch.testing.assert_close(whole, torch.tensor([seen, seen]), atol=0.05, rtol=0)


def bumps(theta, generator):
    """A series whose height and place are the parameters."""
    time = torch.linspace(-2, 2, 24)
    clean = theta[:, :1] * torch.exp(-((time - theta[:, 1:]) ** 2) / 0.1)
    return (clean + 0.05 * torch.randn(clean.shape, generator=generator)).unsqueeze(1)


@pytest.mark.parametrize(
    ("embedding", "shape"),
    [
        (Embedding("series", 8, (8, 8)), (1, 24)),
        (Embedding("image", 8, (8,)), (1, 4, 6)),
        (Embedding("mlp", 8, (16,)), (24,)),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh()), (1, 24)),
        (None, (1, 24)),
    ],
)
@pytest.mark.parametrize("head", [SMALL, FlowMatchingHead(hidden=(16, 16))])
def test_every_embedding_is_trained_and_saved_with_its_flow(embedding, shape, head, tmp_path):
    prior = BoxUniform([0.5, -1.0], [2.0, 1.0])
    found = simulate(lambda t, g: bumps(t, g).reshape(-1, *shape), prior, count=400, generator=seeded())
    first = fit_posterior(
        found, prior, embedding=embedding, head=head, max_epochs=1, generator=seeded(), progress=False
    )
    posterior = fit_posterior(
        found, prior, embedding=embedding, head=head, max_epochs=6, generator=seeded(), progress=False
    )
    assert posterior.reports[0].best_validation < first.reports[0].best_validation
    posterior.save(tmp_path)
    again = Posterior.load(tmp_path, embedding=None if isinstance(embedding, Embedding | None) else embedding)
    x, theta = found.x[0], found.theta[:5]
    assert torch.equal(again.log_prob(theta, x), posterior.log_prob(theta, x))
    assert torch.equal(again.sample(9, x, generator=seeded()), posterior.sample(9, x, generator=seeded()))


def test_an_ensemble_is_the_mean_of_its_members():
    found = simulate(noisy, BOX, count=200, generator=seeded())
    posterior = fit_posterior(found, BOX, head=SMALL, members=3, max_epochs=1, generator=seeded(), progress=False)
    context, theta = posterior.reader(found.x[:4]), found.theta[:4]
    each = torch.stack([member(theta, context) for member in posterior.ensemble.members]).exp()
    assert (each.std(0) > 0).all()
    torch.testing.assert_close(posterior.log_prob(theta, found.x[:4]).exp(), each.mean(0))


def test_failures_are_told_on():
    found = Simulations(BOX.sample(50), torch.randn(50, 2), failed=BOX.sample(7))
    posterior = fit_posterior(found, BOX, head=SMALL, max_epochs=1, progress=False)
    assert "7 of 57" in posterior.prior_note


def test_one_seed_gives_one_posterior():
    found = simulate(noisy, BOX, count=100, generator=seeded())
    one, two = (
        fit_posterior(found, BOX, head=SMALL, max_epochs=2, generator=seeded(5), progress=False) for _ in range(2)
    )
    assert torch.equal(one.log_prob(found.theta, found.x), two.log_prob(found.theta, found.x))


def quick(**settings):
    found = settings.pop("found", None) or Simulations(BOX.sample(40), torch.randn(40, 2))
    return fit_posterior(found, settings.pop("prior", BOX), head=SMALL, max_epochs=1, progress=False, **settings)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: quick(found=Simulations(BOX.sample(5), torch.randn(5, 2))), DataError, "at least 10 runs, got 5"),
        (lambda: quick(prior=BoxUniform([0.0], [1.0])), ShapeError, "got 2 and 1"),
        (lambda: quick(found=Simulations(torch.full((40, 2), torch.nan), torch.zeros(40, 2))), ArgumentError, "theta"),
        (lambda: quick(prior=BoxUniform([0.9, 0.0], [1.0, 3.0])), DataError, "parameter 0 of row"),
        (lambda: quick(trials=True), ShapeError, "rows, trials, features"),
        (lambda: quick(embedding=Embedding("series")), ShapeError, r"\(channels, time\)"),
        (lambda: quick(embedding=Embedding("conv")), ArgumentError, "got 'conv'"),
        (lambda: quick(embedding=lambda: nn.Unflatten(1, (1, 2))), ShapeError, "Flatten what it gives"),
        (lambda: quick(members=0), ArgumentError, "members"),
        (lambda: quick().sample(3, torch.zeros(3)), ShapeError, "of shape"),
        (lambda: quick().sample(3, torch.zeros(4, 2)), ShapeError, "sample_each takes several"),
        (lambda: quick().sample(3, torch.tensor([0.0, torch.nan])), ArgumentError, "missing=True"),
        (lambda: quick().sample(3, torch.tensor([0.0, torch.inf])), ArgumentError, "infinite"),
        (lambda: quick().log_prob(torch.zeros(3), torch.zeros(2)), ShapeError, "theta must have shape"),
    ],
)
def test_what_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_embedding_of_ones_own_must_be_given_again(tmp_path):
    quick(embedding=lambda: nn.Linear(2, 3)).save(tmp_path)
    with pytest.raises(PersistenceError, match="embedding of your own"):
        Posterior.load(tmp_path)

"""The latent plug-in: against laws in closed form and scikit-learn, then partial conditions, files and bad input."""

import math
from functools import partial

import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch import nn

from counterflow import flows
from counterflow.bijections import Whitening
from counterflow.core.errors import ArgumentError, DataError, PersistenceError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import latent_ascent
from counterflow.generators import HasLogProb, Identity, conv_vae
from counterflow.latent import LatentFlow, fit_latent_flow, learn_attributes
from counterflow.latent.codes import as_autoencoder, encode_once
from counterflow.training import TrainingSettings

SHORT = TrainingSettings(max_epochs=2, compile=False, progress=False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Linear(nn.Module):
    """An autoencoder of points on a plane in space: exact for these, a projection for all others."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.linalg.qr(torch.randn(5, 3, generator=seeded(9))).Q)
        self.calls = nn.Dropout(0.9)  # would spoil latents, were it ever in training mode

    def encode(self, x):
        return self.calls(x @ self.basis)

    def decode(self, z):
        return self.calls(z) @ self.basis.T


CLASSES, MEANS = ("cat", "dog", "owl"), torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 1.0], [0.0, 3.0, -1.0]])
SHARES = torch.tensor([0.5, 0.3, 0.2])
FACTOR = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.2, 0.0], [-0.3, 0.4, 0.7]])


def gaussian() -> LatentFlow:
    """A latent flow that is a normal law for each of three classes, known to the last digit."""
    attributes = learn_attributes(["cat"] * 5 + ["dog"] * 3 + ["owl"] * 2)
    layer = Whitening(3, context_features=3)
    lower = torch.linalg.inv(FACTOR)
    with torch.no_grad():
        layer.slope.copy_(MEANS.T)
        layer.lower.copy_(lower.tril(-1))
        layer.log_diagonal.copy_(lower.diagonal().log())
    return LatentFlow(Linear(), flows.compose(layer), attributes=attributes, event_shape=(5,), latent_shape=(3,))


def laws() -> list[torch.distributions.MultivariateNormal]:
    return [torch.distributions.MultivariateNormal(mean, scale_tril=FACTOR) for mean in MEANS]


def points(n: int = 40, seed: int = 1) -> torch.Tensor:
    return 2 * torch.randn(n, 5, generator=seeded(seed))


def test_densities_are_those_of_the_normal_laws():
    latent, z = gaussian(), torch.randn(7, 3, generator=seeded())
    for name, law in zip(CLASSES, laws(), strict=True):
        torch.testing.assert_close(latent.log_prob(z, name), law.log_prob(z))
    each = ["cat", "owl"] * 3 + ["dog"]
    expected = torch.stack([laws()[CLASSES.index(name)].log_prob(row) for name, row in zip(each, z, strict=True)])
    torch.testing.assert_close(latent.log_prob(z, {"class": each}), expected)


@pytest.mark.parametrize("prior", [None, [1.0, 1.0, 2.0]])
def test_classes_follow_bayes_rule(prior):
    latent, x = gaussian(), points()
    found = latent.classify(x, prior=prior)
    shares = SHARES if prior is None else torch.tensor(prior) / 4
    joint = torch.stack([law.log_prob(latent.encode(x)) for law in laws()], 1).exp() * shares
    torch.testing.assert_close(found.probabilities, joint / joint.sum(1, keepdim=True))
    torch.testing.assert_close(found.log_density, joint.sum(1).log())
    assert found.labels == [CLASSES[place] for place in joint.argmax(1)]


@pytest.mark.parametrize("strength", [0.3, 1.0, 1.5, torch.linspace(0, 2, 40)])
def test_an_edit_of_a_normal_law_is_a_shift(strength):
    latent, x = gaussian(), points()
    edit = latent.edit(x, "owl", before="dog", strength=strength)
    shift = torch.as_tensor(strength).reshape(-1, 1) * (MEANS[2] - MEANS[1])
    torch.testing.assert_close(edit.edited_latents, latent.encode(x) + shift)
    torch.testing.assert_close(edit.edited, latent.decode(latent.encode(x) + shift))
    gained = laws()[2].log_prob(latent.encode(edit.edited)) - laws()[1].log_prob(latent.encode(edit.edited))
    torch.testing.assert_close(edit.support, gained, rtol=1e-4, atol=1e-4)
    assert [status is RowStatus.FOUND for status in edit.status] == (gained > 0).tolist()


def test_strength_zero_is_the_reconstruction_bit_by_bit():
    latent, x = gaussian(), points()
    edit = latent.edit(x, "owl", before="dog", strength=0.0)
    assert torch.equal(edit.edited, edit.reconstructions)
    assert torch.equal(edit.reconstructions, latent.decode(latent.encode(x)))


def test_what_is_there_already_is_left_alone():
    latent, x = gaussian(), points()
    edit = latent.edit(x, "owl")
    guessed = latent.classify(x).labels
    assert edit.before["class"] == guessed
    owls = torch.tensor([guess == "owl" for guess in guessed])
    assert 0 < owls.sum() < len(x)
    assert torch.equal(edit.edited[owls], x[owls])
    assert not torch.isclose(edit.edited[~owls], x[~owls]).all(1).any()
    assert [status is RowStatus.ALREADY_DESIRED for status in edit.status] == owls.tolist()
    assert edit.found[owls].all()


def test_the_residual_is_carried_along():
    latent, x = gaussian(), points()
    plain, kept = (latent.edit(x, "owl", before="cat", keep_residual=keep) for keep in (False, True))
    torch.testing.assert_close(kept.edited - x, plain.edited - plain.reconstructions)


def test_round_trips_tell_the_autoencoder_from_the_flow():
    latent, x = gaussian(), points()
    trip = latent.round_trip(x, "cat")
    basis = latent.autoencoder.owner.basis.detach()
    lost = (x - x @ basis @ basis.T).square().mean(1).sqrt()
    torch.testing.assert_close(trip.autoencoder, lost)
    assert lost.min() > 0.1
    assert trip.flow.max() < 1e-5


def test_samples_have_the_moments_of_their_class():
    latent = gaussian()
    z = latent.encode(latent.sample(20_000, "owl", generator=seeded()))
    torch.testing.assert_close(z.mean(0), MEANS[2], atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(z.T), FACTOR @ FACTOR.T, atol=0.06, rtol=0)
    cold = latent.encode(latent.sample(20_000, "owl", temperature=0.5, generator=seeded()))
    torch.testing.assert_close(cold - MEANS[2], (z - MEANS[2]) / 2, atol=1e-4, rtol=1e-4)


def test_a_column_gives_each_draw_its_own_class():
    latent = gaussian()
    mixed = latent.sample(3, {"class": CLASSES}, generator=seeded(4))
    alone = torch.stack([latent.sample(3, name, generator=seeded(4))[i] for i, name in enumerate(CLASSES)])
    torch.testing.assert_close(mixed, alone)


def test_the_autoencoder_comes_back_as_it_went():
    latent = gaussian()
    inner = latent.autoencoder.owner
    inner.train()
    x = points()
    latent.edit(x, "owl")
    latent.sample(2, "cat")
    latent.at("cat").decode(torch.zeros(1, 3))
    assert inner.training
    assert inner.calls.training
    assert inner.basis.requires_grad
    torch.testing.assert_close(latent.encode(x), x @ inner.basis)  # no dropout: in evaluation mode while it works


def test_a_latent_flow_is_a_generator_for_latent_ascent():
    latent, x = gaussian(), points(6)
    assert isinstance(latent, HasLogProb)

    def model(points):
        return 3 * points.sum(1)

    for generator in (latent, latent.at("cat")):
        answer = latent_ascent(generator, model, x, 1, confidence=0.9, max_steps=300)
        assert answer.found.all()
        torch.testing.assert_close(answer.reconstructions, latent.decode(latent.encode(x)))
    u = latent.at("dog").encode(x)
    expected = laws()[1].log_prob(latent.encode(x)) + FACTOR.diagonal().log().sum()
    torch.testing.assert_close(latent.at("dog").log_prob(u), expected)


# ------------------------------------------------------------------------------------------------------- trained flows


def two_hats(n: int, seed: int) -> tuple[torch.Tensor, dict]:
    """Points whose mean follows two attributes and a number; the flow knows nothing of it."""
    generator = seeded(seed)
    smile = torch.rand(n, generator=generator) < 0.5
    hat = torch.rand(n, generator=generator) < torch.where(smile, 0.8, 0.3)
    age = 40 + 10 * torch.randn(n, generator=generator)
    noise = torch.randn(n, 2, generator=generator)
    x = torch.stack([3.0 * smile + 0.05 * (age - 40), 2.0 * hat - smile.float()], 1) + 0.5 * noise
    return x, {"smile": smile, "hat": hat, "age": age}


@pytest.fixture(scope="module")
def hats() -> LatentFlow:
    x, attributes = two_hats(4000, 0)
    settings = TrainingSettings(max_epochs=12, learning_rate=6e-3, compile=False, progress=False)

    small = partial(flows.spline_coupling, layers=2, hidden=(32, 32))
    return fit_latent_flow(
        Identity(), x, attributes=attributes, flow=small, hide=1.0, settings=settings, generator=seeded()
    )


def exact(z: torch.Tensor, smile: int, hat: int, age: float | None) -> torch.Tensor:
    """The true log-density; without an age it is summed out."""
    middle = torch.tensor([3.0 * smile + (0.0 if age is None else 0.05 * (age - 40)), 2.0 * hat - smile])
    deviation = torch.tensor([0.5 if age is not None else math.hypot(0.5, 0.5), 0.5])
    return torch.distributions.Normal(middle, deviation).log_prob(z).sum(1)


def test_partial_conditions_sum_out_what_is_missing(hats):
    z, _ = two_hats(500, 1)
    joint = {(s, h): exact(z, s, h, None) for s in (0, 1) for h in (0, 1)}
    chance = {(1, 1): 0.8, (1, 0): 0.2, (0, 1): 0.3, (0, 0): 0.7}
    given = {s: torch.logaddexp(*(joint[s, h] + math.log(chance[s, h]) for h in (0, 1))) for s in (0, 1)}
    nothing = torch.logaddexp(given[0], given[1]) + math.log(0.5)
    for condition, expected in (
        (None, nothing),
        ({"smile": True}, given[1]),
        ({"smile": 0, "hat": None}, given[0]),
        ({"smile": 1, "hat": 0, "age": float("nan")}, joint[1, 0]),
    ):
        found = hats.log_prob(z, condition).detach()
        weight = (expected - nothing).exp()  # where the condition is likely
        assert float((weight * (expected - found)).sum() / weight.sum()) < 0.1, condition


def test_classes_are_told_with_the_others_known_or_missing(hats):
    z, truth = two_hats(500, 2)
    known = {"hat": truth["hat"], "age": truth["age"]}
    full, part = hats.classify(z, "smile", known=known, prior=[1, 1]), hats.classify(z, "smile", prior=[1, 1])
    logits = [torch.stack([exact(z[i : i + 1], s, int(truth["hat"][i]), float(truth["age"][i])) for i in range(500)])
              for s in (0, 1)]  # fmt: skip
    expected = torch.sigmoid(logits[1] - logits[0])[:, 0]
    assert (full.probabilities[:, 1] - expected).abs().mean() < 0.03
    right = [float((torch.tensor(found.labels) == truth["smile"]).double().mean()) for found in (full, part)]
    assert right[0] >= right[1] > 0.9


def test_an_edit_changes_what_is_named_and_keeps_the_rest(hats):
    z, truth = two_hats(300, 3)
    edit = hats.edit(z, {"smile": ~truth["smile"]}, before=truth)
    moved = edit.edited - z
    sign = torch.where(truth["smile"], -1.0, 1.0)
    torch.testing.assert_close((sign[:, None] * moved).mean(0), torch.tensor([3.0, -1.0]), atol=0.15, rtol=0)
    assert edit.after["hat"] == truth["hat"].tolist()
    assert edit.found.double().mean() > 0.97
    older = hats.edit(z, {"age": truth["age"] + 10}, before=truth).edited - z
    torch.testing.assert_close(older.mean(0), torch.tensor([0.5, 0.0]), atol=0.1, rtol=0)


def test_quadratic_discriminant_analysis_agrees():
    generator = seeded(5)
    labels = torch.arange(3).repeat(500)
    turn = torch.linalg.qr(torch.randn(3, 2, 2, generator=generator)).Q * torch.tensor([1.5, 0.4])
    centers = torch.tensor([[0.0, 0.0], [1.5, 0.5], [0.0, 2.0]])
    x = centers[labels] + (turn[labels] @ torch.randn(1500, 2, 1, generator=generator))[..., 0]
    settings = TrainingSettings(max_epochs=20, learning_rate=1e-2, compile=False, progress=False)
    shallow = partial(flows.maf, layers=3, hidden=(32,))
    latent = fit_latent_flow(
        Identity(), x, attributes=labels, flow=shallow, hide=0.0, settings=settings, generator=generator
    )
    witness = QuadraticDiscriminantAnalysis().fit(x.numpy(), labels.numpy())
    expected = torch.from_numpy(witness.predict_proba(x.numpy())).float()
    found = latent.classify(x)
    assert (found.probabilities - expected).abs().mean() < 0.03
    assert (torch.tensor(found.labels) == torch.from_numpy(witness.predict(x.numpy()))).double().mean() > 0.95


def test_without_attributes_the_flow_makes_a_generator():
    x = torch.randn(200, 2, generator=seeded()) + 5
    latent = fit_latent_flow((lambda x: x / 2, lambda z: 2 * z), x, settings=SHORT, generator=seeded())
    assert (latent.sample(500, generator=seeded()).mean(0) - 5).abs().max() < 0.3
    assert latent.log_prob(latent.encode(x)).shape == (200,)
    with pytest.raises(ArgumentError, match="there are no attributes"):
        latent.sample(1, {"smile": 1})


def test_latents_of_any_shape_and_their_law():
    vae = conv_vae((1, 8, 8), latent_features=3, pixels="normal", widths=(8, 8), generator=seeded())
    x = torch.rand(60, 1, 8, 8, generator=seeded())

    class Reshaped(nn.Module):
        def encode(self, x):
            mean, log_deviation = vae.posterior(x)
            return torch.distributions.Normal(mean.view(-1, 3, 1, 1), log_deviation.exp().view(-1, 3, 1, 1))

        def decode(self, z):
            return vae.decode(z.flatten(1))

    plain, shaped = (encode_once(as_autoencoder(source), x, spread=True) for source in (vae, Reshaped()))
    mean, log_deviation = vae.posterior(x)
    for codes, shape in ((plain, (3,)), (shaped, (3, 1, 1))):
        torch.testing.assert_close(codes.mean, mean)
        torch.testing.assert_close(codes.deviation, log_deviation.exp())
        assert codes.shape == shape
    latent = fit_latent_flow(
        Reshaped(), x, attributes=[0, 1] * 30, resample=True, settings=SHORT, generator=seeded(), batch_size=32
    )
    assert latent.sample(2, 1, generator=seeded()).shape == (2, 1, 8, 8)
    assert latent.edit(x, 1, before=0).edited_latents.shape == (60, 3, 1, 1)


def test_resampling_learns_the_spread_of_the_encoder():
    """Latents of no width with an encoder of deviation 1/2: the flow's variance is their sum."""

    def encode(x):
        return torch.distributions.Normal(x, torch.full_like(x, 0.5))

    x = torch.randn(2000, 2, generator=seeded())
    deviations = []
    for resample in (False, True):
        latent = fit_latent_flow((encode, lambda z: z), x, resample=resample, settings=SHORT, generator=seeded())
        deviations.append(latent.sample(4000, generator=seeded()).std())
    assert deviations == pytest.approx([1.0, math.hypot(1, 0.5)], abs=0.06)


def test_attributes_are_hidden_as_often_as_said():
    attributes = learn_attributes({"a": [0, 1], "b": [0.5, 1.5], "c": ["x", "y"]})
    whole = attributes.encode({"a": 1, "b": 2.0, "c": "x"}, 40_000)
    hidden = attributes.hide(whole, 0.4, generator=seeded())
    lost = torch.stack([(hidden[:, part] == 0).all(1) for part in (slice(0, 2), slice(2, 4), slice(4, 6))], 1)
    assert set(map(tuple, hidden.tolist())) <= {
        tuple((whole[0] * torch.tensor([a, a, b, b, c, c])).tolist()) for a in (0, 1) for b in (0, 1) for c in (0, 1)
    }
    assert lost.double().mean(0).tolist() == pytest.approx([0.2] * 3, abs=0.01)  # half of the share
    assert lost.all(1).double().mean() == pytest.approx(0.4 / 4, abs=0.01)  # the mean of r^3


def test_training_is_the_same_for_one_seed_and_gives_its_report():
    x, attributes = two_hats(300, 0)
    pair = [
        fit_latent_flow(Identity(), x, attributes=attributes, noise=0.1, settings=SHORT, generator=seeded(3))
        for _ in range(2)
    ]
    assert pair[0].report.best_validation == pair[1].report.best_validation
    torch.testing.assert_close(pair[0].log_prob(x, attributes), pair[1].log_prob(x, attributes), rtol=0, atol=0)
    own = fit_latent_flow(
        Identity(), x, attributes=attributes, hide=0.0, validation=two_hats(200, 1), settings=SHORT, generator=seeded()
    )
    held, known = two_hats(200, 1)
    assert own.report.best_validation == pytest.approx(-own.log_prob(held, known).mean().item(), abs=1e-5)


# --------------------------------------------------------------------------------------------------------------- files


def test_a_folder_gives_the_same_flow_back(tmp_path):
    vae = conv_vae((1, 8, 8), latent_features=3, pixels="normal", widths=(8, 8), generator=seeded())
    x = torch.rand(60, 1, 8, 8, generator=seeded())
    known = {"who": ["a", "b", None] * 20, "age": torch.linspace(1.0, 5.0, 60), "on": [True, False] * 30}
    latent = fit_latent_flow(vae, x, attributes=known, settings=SHORT, generator=seeded())
    latent.save(tmp_path)
    again = LatentFlow.load(tmp_path, vae)
    assert again.attributes == latent.attributes
    z = latent.encode(x)
    for condition in (None, {"who": "b"}, known):
        assert torch.equal(again.log_prob(z, condition), latent.log_prob(z, condition))
    assert torch.equal(again.sample(3, {"on": 1}, generator=seeded()), latent.sample(3, {"on": 1}, generator=seeded()))
    other = conv_vae((1, 8, 8), latent_features=3, pixels="normal", widths=(8, 8), generator=seeded(1))
    with pytest.raises(PersistenceError, match="another autoencoder"):
        LatentFlow.load(tmp_path, other)


def test_functions_are_told_by_their_shapes_and_flows_by_hand_are_refused(tmp_path):
    x = torch.randn(50, 2, generator=seeded())
    fit_latent_flow((lambda x: x, lambda z: z), x, settings=SHORT, generator=seeded()).save(tmp_path)
    assert LatentFlow.load(tmp_path, (lambda x: x, lambda z: z)).event_shape == (2,)
    with pytest.raises(ShapeError, match="points of shape"):
        LatentFlow.load(tmp_path, (lambda x: x, lambda z: z[:, :1]))
    with pytest.raises(PersistenceError, match="composed by hand"):
        gaussian().save(tmp_path)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda m: m.sample(2, {"clas": "cat"}), ArgumentError, "Did you mean 'class'"),
        (lambda m: m.sample(2, "catt"), ArgumentError, "one of 'cat', 'dog', 'owl'"),
        (lambda m: m.sample(0, "cat"), ArgumentError, "count must be"),
        (lambda m: m.sample(2, "cat", temperature=0.0), ArgumentError, "temperature must be above"),
        (lambda m: m.sample(2, {"class": ["cat"] * 3}), ShapeError, "one for each of 2 rows, got 3"),
        (lambda m: m.sample(2, {"class": [["cat"], ["dog"]]}), ShapeError, "one column of values"),
        (lambda m: m.log_prob(torch.zeros(2, 4), "cat"), ShapeError, r"z must have shape \(rows, 3\)"),
        (lambda m: m.encode(torch.zeros(2, 4)), ShapeError, r"x must have shape \(rows, 5\)"),
        (lambda m: m.edit(points(2).fill_(math.nan), "owl"), ArgumentError, "x must be finite"),
        (lambda m: m.edit(points(2), None), ArgumentError, "after must give"),
        (lambda m: m.edit(points(2), {"class": ["owl", None]}), ArgumentError, "after must give"),
        (lambda m: m.edit(points(2), "owl", strength=-0.1), ArgumentError, "strength must be at least 0"),
        (lambda m: m.edit(points(2), "owl", strength=math.nan), ArgumentError, "strength must be at least 0"),
        (lambda m: m.edit(points(2), "owl", strength=torch.ones(3)), ShapeError, r"each of the points \(2,\)"),
        (lambda m: m.edit(points(2), "eagle"), ArgumentError, "one of 'cat', 'dog', 'owl', got 'eagle'"),
        (lambda m: m.classify(points(2), "size"), ArgumentError, "one of 'class', got 'size'"),
        (lambda m: m.classify(points(2), prior=[1.0, 1.0]), ArgumentError, "prior must have one number"),
        (lambda m: m.classify(points(2), prior=[1.0, -1.0, 1.0]), ArgumentError, "prior must have one number"),
        (lambda m: m.classify(points(2), prior=[0.0, 0.0, 0.0]), ArgumentError, "prior must have one number"),
    ],
)
def test_bad_questions_are_answered_by_a_sentence(call, error, match):
    with pytest.raises(error, match=match):
        call(gaussian())


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"autoencoder": nn.Linear(2, 2)}, ArgumentError, "encode"),
        ({"autoencoder": (lambda x: x, lambda z: z[:, :1])}, ShapeError, "points of shape"),
        ({"autoencoder": (lambda x: x.sum(1), lambda z: z)}, ShapeError, "as as many latents"),
        ({"autoencoder": (lambda x: x / 0, lambda z: z)}, ArgumentError, "latents must be finite"),
        ({"autoencoder": (lambda x: x.numpy(), lambda z: z)}, ArgumentError, "answer a tensor .*, got ndarray"),
        ({"x": torch.full((20, 2), math.nan)}, ArgumentError, "x must be finite"),
        ({"attributes": [0] * 20}, DataError, "two or more different values"),
        ({"attributes": [0, "a"] * 10}, DataError, "all words or all numbers"),
        ({"attributes": [0.5, math.inf] * 10}, DataError, "finite numbers"),
        ({"attributes": [0, 1, 2]}, ShapeError, "one for each of 20 rows"),
        ({"hide": 1.5}, ArgumentError, "hide must be a share"),
        ({"noise": -1.0}, ArgumentError, "noise must be at least 0"),
        ({"batch_size": 0}, ArgumentError, "batch_size"),
        ({"resample": True}, ArgumentError, "encoder with a law"),
        ({"flow": lambda f, context_features, generator: flows.maf(f)}, ArgumentError, "flow must build a Flow of 2"),
        ({"validation": 1.0}, ArgumentError, "validation must be a share"),
    ],
)
def test_bad_material_is_refused_by_a_sentence(change, error, match):
    settings = {"autoencoder": Identity(), "x": torch.randn(20, 2, generator=seeded()), "attributes": [0, 1] * 10}
    with pytest.raises(error, match=match):
        fit_latent_flow(**{**settings, "settings": SHORT, **change})


def test_frames_and_arrays_are_taken_as_they_come():
    x, hat = torch.randn(40, 2, generator=seeded()), ["yes", "no"] * 20
    how = {"settings": SHORT, "generator": seeded()}
    plain = fit_latent_flow(Identity(), x, attributes={"hat": hat, "size": [1.5, 2.5] * 20}, **how)
    for frame in (
        pd.DataFrame({"hat": hat, "size": [1.5, 2.5] * 20}),
        pl.DataFrame({"hat": hat, "size": [1.5, 2.5] * 20}),
    ):
        other = fit_latent_flow(Identity(), x.numpy(), attributes=frame, settings=SHORT, generator=seeded())
        assert torch.equal(other.log_prob(x, frame), plain.log_prob(x, {"hat": hat, "size": [1.5, 2.5] * 20}))


def test_what_must_be_known_is_asked_for():
    x, attributes = two_hats(100, 0)
    whole = fit_latent_flow(Identity(), x, attributes=attributes, hide=0.0, settings=SHORT, generator=seeded())
    with pytest.raises(ArgumentError, match="must hold 'hat'"):
        whole.sample(1, {"smile": 1, "age": 30.0})
    part = fit_latent_flow(Identity(), x, attributes=attributes, settings=SHORT, generator=seeded())
    with pytest.raises(ArgumentError, match="a number cannot be inferred"):
        part.edit(x, {"age": 50.0})
    with pytest.raises(ArgumentError, match="must be a finite number, got 'old'"):
        part.sample(1, {"age": "old"})
    with pytest.raises(ArgumentError, match="must name its attributes"):
        part.sample(1, 1)
    with pytest.raises(ArgumentError, match="must name one with classes, got None"):
        part.classify(x)
    with pytest.raises(ArgumentError, match="must name one with classes, got 'age'"):
        part.classify(x, "age")


def test_a_flow_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="a context of length 2"):
        LatentFlow(Identity(), flows.maf(2), attributes=learn_attributes([0, 1]), event_shape=(2,), latent_shape=(2,))

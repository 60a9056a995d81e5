"""Latent ascent: stopping, statuses, targets and batches, against closed forms and a loop of its own."""

import math

import pytest
import torch
from torch import nn

from counterflow import bijections, flows, geometry
from counterflow.core.errors import ArgumentError, ModelError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import input_ascent, latent_ascent
from counterflow.generators import AutoencoderGenerator, InversionSettings, InvertedDecoder
from tests.laws.registry import FLOWS, draw

NARROW = torch.tensor([1.0, 0.01])


def classifier(features: int = 3, classes: int = 4) -> nn.Module:
    """Batch norm and dropout: in training mode rows would mix, and answers change."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(features, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, classes))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net.double()


@pytest.fixture
def flow() -> flows.Flow:
    return FLOWS["realnvp"].make()


def test_every_image_reaches_its_own_class_and_stops(flow):
    net, x, target = classifier(), draw(12, 3), 2 * (torch.arange(12) % 2)
    answer = latent_ascent(flow, net, x, target, confidence=0.7, max_steps=150)
    assert {status.value for status in answer.status} == {"found", "already_desired"}
    shares = net.eval()(answer.images).softmax(1)[torch.arange(12), target]
    torch.testing.assert_close(shares, answer.probability)
    assert (shares >= 0.7).all()
    assert (answer.prediction == target).all()
    first = net(x)
    torch.testing.assert_close(answer.original_probability, first.softmax(1)[torch.arange(12), target])
    assert answer.original_prediction.tolist() == first.argmax(1).tolist()
    assert len(set(answer.steps.tolist())) > 3
    torch.testing.assert_close(flow.to_data(answer.latents)[0], answer.images)
    torch.testing.assert_close(answer.reconstructions, x)


@pytest.mark.parametrize("optimizer", ["adam", "gradient"])
def test_a_batch_is_a_loop_over_rows_and_over_batches(flow, optimizer):
    net, x, target = classifier(), draw(7, 3), torch.arange(7) % 4
    settings = {"confidence": 0.5, "max_steps": 12, "optimizer": optimizer, "keep_path": True}
    whole = latent_ascent(flow, net, x, target, **settings)
    parts = latent_ascent(flow, net, x, target, batch_size=3, **settings)
    for row in range(7):
        alone = latent_ascent(flow, net, x[row : row + 1], int(target[row]), **settings)
        for other, at in ((alone, 0), (parts, row)):
            torch.testing.assert_close(other.images[at], whole.images[row])
            torch.testing.assert_close(other.path[at], whole.path[row])
            assert other.steps[at] == whole.steps[row]
            assert other.status[at] == whole.status[row]


def test_the_steps_of_adam_are_those_of_torch(flow):
    """Witness: ``torch.optim.Adam`` on one latent."""
    net, x = classifier().eval(), draw(1, 3)
    answer = latent_ascent(flow, net, x, 2, confidence=1.0, max_steps=20, keep_path=True)
    z = flow.to_latent(x)[0].detach().requires_grad_()
    optimizer, seen = torch.optim.Adam([z], lr=5e-2), [x[0]]
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(flow.to_data(z)[0]), torch.tensor([2])).backward()
        optimizer.step()
        seen.append(flow.to_data(z)[0].detach()[0])
    torch.testing.assert_close(answer.path[0], torch.stack(seen))
    assert answer.steps.tolist() == [20]
    assert answer.status == (RowStatus.NOT_VALID,)


def test_a_plain_step_is_that_of_the_theorem(flow):
    net, x = classifier().eval(), draw(4, 3)
    answer = latent_ascent(
        flow, net, x, 1, confidence=1.0, max_steps=1, optimizer="gradient", learning_rate=1e-3, keep_path=True
    )
    step = geometry.latent_step(flow, x, objective=lambda x: net(x).log_softmax(1)[:, 1], rate=1e-3)
    torch.testing.assert_close(torch.stack([way[1] for way in answer.path]), step)


def test_ascent_follows_the_ridge_and_the_attack_leaves_it():
    """Closed form: with x = S z and logit w x, steps are along S S w in the latent, along w in input space."""
    flow = flows.compose(bijections.Affine(2, scale=NARROW))
    logit, x = torch.log(torch.tensor(99.0)), torch.zeros(1, 2)
    settings = {"target": 1, "optimizer": "gradient", "learning_rate": 1.0}
    along = latent_ascent(flow, lambda x: x.sum(1), x, **settings)
    across = input_ascent(lambda x: x.sum(1), x, **settings)
    ways = along.images[0] / along.images.sum(), across.images[0] / across.images.sum()
    torch.testing.assert_close(ways[0], NARROW.square() / NARROW.square().sum())
    torch.testing.assert_close(ways[1], torch.full((2,), 0.5))
    for answer in (along, across):  # it stops at once: the last step adds less than the gradient at 0.99
        assert logit <= answer.images.sum() <= logit + 0.021
    assert torch.equal(across.latents, across.images)


def test_already_desired_and_hopeless_images():
    flow = flows.compose(bijections.Affine(2))
    x = torch.tensor([[0.1, 0.2], [0.7, 0.0]])
    answer = latent_ascent(flow, lambda x: torch.stack([x[:, 0] * 0, x[:, 0] * 10], 1), x, 1, max_steps=0)
    assert [status.value for status in answer.status] == ["not_valid", "already_desired"]
    assert torch.equal(answer.images, x)
    assert answer.found.tolist() == [False, True]
    assert [len(way) for way in answer.path] == [2, 1]


def test_an_image_that_breaks_leaves_with_the_best_it_had_and_does_not_harm_others():
    def brittle(x):  # the logarithm of a negative number
        return torch.log(1.0 - x[:, 0]) * -1.0

    x = torch.tensor([[0.5], [-3.0]])
    answer = input_ascent(brittle, x, target=3.0, learning_rate=0.3, optimizer="gradient", max_steps=400)
    assert answer.images.isfinite().all()
    assert answer.prediction.isfinite().all()
    alone = input_ascent(brittle, x[1:], target=3.0, learning_rate=0.3, optimizer="gradient", max_steps=400)
    torch.testing.assert_close(answer.images[1:], alone.images)


@pytest.mark.parametrize(
    ("target", "change", "reached"),
    [
        (10.0, None, lambda before, after: (after - 10).abs() <= 0.1 * (before - 10).abs()),
        ([4.0, -1.0, 7.0], None, lambda before, after: (after - torch.tensor([4.0, -1.0, 7.0])).abs() < 1.0),
        ("increase", 2.0, lambda before, after: (after >= before + 2) & (after < before + 3)),
        ("decrease", 2.0, lambda before, after: (after <= before - 2) & (after > before - 3)),
        ("increase", None, lambda before, after: after > before + 4),
    ],
)
def test_regressors(flow, target, change, reached):
    def model(x):
        return x.float().sum(1, keepdim=True)

    x = draw(3, 3)
    answer = latent_ascent(flow, model, x, target, confidence=0.9, change=change, max_steps=150, learning_rate=0.1)
    assert answer.found.all()
    assert reached(model(x)[:, 0], answer.prediction.float()).all()
    assert answer.probability.isnan().all()
    if target == "increase" and change is None:
        assert answer.steps.tolist() == [150] * 3


def test_proximity_holds_an_image_back():
    """Closed form: maximize x - w/2 |x|^2, so that the ascent ends at 1 / w."""
    settings = {"target": "increase", "optimizer": "gradient", "learning_rate": 0.2, "max_steps": 30}
    answer = input_ascent(lambda x: x[:, 0], torch.zeros(1, 2), proximity=4.0, **settings)
    torch.testing.assert_close(answer.images, torch.tensor([[0.25, 0.0]]))


def test_images_are_clipped_before_the_model_sees_them():
    seen = []

    def model(x):
        seen.append((x.detach().min().item(), x.detach().max().item()))
        return x.flatten(1).sum(1) * 100

    x = torch.full((2, 1, 2, 2), 0.5)
    answer = input_ascent(model, x, target="increase", change=150.0, learning_rate=0.3, clip=(0.0, 1.0))
    assert answer.found.all()
    assert min(seen)[0] >= 0
    assert max(high for _, high in seen) <= 1
    assert answer.images.max() <= 1
    assert answer.heatmap.shape == (2, 2, 2)


def test_probabilities_and_single_columns_are_read(flow):
    net, x = classifier(classes=1).eval(), draw(3, 3)
    logits = latent_ascent(flow, net, x, 0, confidence=0.9)
    shares = latent_ascent(flow, lambda x: net(x)[:, 0].sigmoid(), x, 0, confidence=0.9, output="probabilities")
    torch.testing.assert_close(logits.images, shares.images, rtol=1e-6, atol=1e-6)
    assert (net(logits.images).sigmoid() <= 0.1).all()


def test_an_inexact_generator_is_reported_against_both():
    """A decoder of a line in the plane: the answer lies on the line, the original does not."""
    direction = torch.tensor([[0.6, 0.8]])
    exact = AutoencoderGenerator(lambda x: x @ direction.T, lambda z: z @ direction)
    settings = InversionSettings(starts=1, steps=100, prior=0.0)
    found = InvertedDecoder(lambda z: z @ direction, 1, settings=settings)
    x = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    for generator in (exact, found):
        answer = latent_ascent(generator, lambda x: x.sum(1), x, 1, refine=True, learning_rate=0.3)
        assert answer.found.all()
        torch.testing.assert_close(answer.reconstructions, x @ direction.T @ direction, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(answer.images[:, 0] / answer.images[:, 1], torch.full((2,), 0.75))
        torch.testing.assert_close(
            answer.reconstruction_error, torch.tensor([0.8, 0.6]) / math.sqrt(2), atol=1e-3, rtol=1e-3
        )
        assert not torch.allclose(answer.heatmap, answer.reconstruction_heatmap, atol=0.05)


def test_guests_are_given_back_as_they_came(flow):
    net = classifier().train()
    flow.train()
    latent_ascent(flow, net, draw(2, 3), 1, max_steps=3)
    assert all(part.training for part in net.modules())
    assert flow.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": 4}, ArgumentError, "class from 0 to 3, got 4"),
        ({"target": -1}, ArgumentError, "class from 0 up"),
        ({"target": [1, 2, 3]}, ArgumentError, "one for each of 2"),
        ({"target": "more"}, ArgumentError, "'increase' or 'decrease', got 'more'"),
        ({"target": 1.0}, ModelError, "regressor must answer one number"),
        ({"confidence": 0.0}, ArgumentError, "confidence"),
        ({"clip": (1.0, 0.0)}, ArgumentError, "clip"),
        ({"change": -1.0}, ArgumentError, "change"),
        ({"learning_rate": 0.0}, ArgumentError, "learning_rate"),
        ({"max_steps": -1}, ArgumentError, "max_steps"),
        ({"proximity": -1.0}, ArgumentError, "proximity"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(flow, settings, error, message):
    with pytest.raises(error, match=message):
        latent_ascent(flow, classifier(), draw(2, 3), **{"target": 1, **settings})


def test_wrong_images_are_refused_with_a_sentence(flow):
    with pytest.raises(ShapeError, match=r"image\[None\]"):
        latent_ascent(flow, classifier(), draw(3), 1)
    with pytest.raises(ArgumentError, match="images must be finite"):
        latent_ascent(flow, classifier(), torch.full((1, 3), math.nan).double(), 1)
    with pytest.raises(ShapeError, match="the generator must decode"):
        latent_ascent(AutoencoderGenerator(lambda x: x, lambda z: z[:, :2]), classifier(), draw(2, 3), 1)

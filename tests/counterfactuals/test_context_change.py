"""Counterfactuals by a change of context: the least step along a known shift, and what they share with edits."""

import math

import pytest
import torch
from torch import nn

from counterflow import flows
from counterflow.bijections import Whitening
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import context_change
from counterflow.generators import Identity
from counterflow.latent import LatentFlow, learn_attributes
from tests.laws.registry import draw

SHIFT = torch.tensor([2.0, -1.0, 0.5]).double()
WEIGHT = torch.tensor([1.5, 0.5, 1.0]).double()


def law() -> flows.Flow:
    """Points x = c SHIFT + noise."""
    layer = Whitening(3, context_features=1)
    with torch.no_grad():
        layer.slope.copy_(SHIFT[:, None])
    return flows.compose(layer).double()


def model(x):
    return x @ WEIGHT - 1.0  # one logit of the second of two classes


ASK = {"model": model, "before": torch.zeros(1).double(), "after": torch.ones(1).double(), "target": 1}


def test_the_least_strength_that_does_is_found():
    x = draw(50, 3)
    answer = context_change(Identity(), law(), images=x, confidence=0.8, most=1.5, **ASK)
    needed = (math.log(4) - model(x)) / (WEIGHT @ SHIFT)  # where the logit is log 4
    done = model(x) > 0  # predicted as wished, but sure enough only from log 4 on
    for row, status in enumerate(answer.status):
        if status is RowStatus.ALREADY_DESIRED:
            assert needed[row] <= 0
            torch.testing.assert_close(answer.images[row], x[row], rtol=0, atol=0)
        elif status is RowStatus.FOUND:
            assert 0 < needed[row] <= 1.5
            expected = x[row] + needed[row] * SHIFT
            torch.testing.assert_close(answer.images[row], expected, rtol=0, atol=1e-3)
            assert answer.probability[row] >= 0.8
            assert answer.steps[row] == math.ceil(needed[row] / 1.5 * 20)
        else:
            assert needed[row] > 1.5
            torch.testing.assert_close(answer.images[row], x[row] + 1.5 * SHIFT)  # the best there is
    assert len({status for status in answer.status}) == 3
    assert done.any()
    torch.testing.assert_close(answer.latents[answer.found], answer.images[answer.found])


def test_no_gradient_of_the_model_is_needed():
    def stepwise(x):
        return 5 * (model(x) > 0.5).double() - 2.5

    answer = context_change(
        Identity(), law(), images=draw(30, 3), confidence=0.9, most=3.0, **{**ASK, "model": stepwise}
    )
    assert answer.found.all()
    assert (model(answer.images) > 0.5).all()


def test_a_latent_flow_takes_the_same_step_as_its_edit():
    attributes = learn_attributes(["no", "yes"] * 5)
    layer = Whitening(3, context_features=2)
    with torch.no_grad():
        layer.slope[:, 1].copy_(SHIFT)
    basis = torch.linalg.qr(torch.randn(5, 3, generator=torch.Generator().manual_seed(0))).Q
    coder = (lambda x: x @ basis, lambda z: z @ basis.T)
    latent = LatentFlow(coder, flows.compose(layer), attributes=attributes, event_shape=(5,), latent_shape=(3,))
    x = draw(20, 5).float()
    settings = {"before": attributes.encode("no", 20), "after": attributes.encode("yes", 20), "target": 1, "most": 2.0}

    def classifier(x):
        return x @ basis @ WEIGHT.float() - 1.0

    for residual in (False, True):
        answer = context_change(
            latent,
            latent.flow,
            model=classifier,
            images=x,
            confidence=0.9,
            keep_residual=residual,
            **settings,
        )
        share = (answer.latents - latent.encode(x)) @ SHIFT.float() / SHIFT.float().square().sum()
        edit = latent.edit(x, "yes", before="no", strength=share, keep_residual=residual)
        changed = torch.tensor([status is not RowStatus.ALREADY_DESIRED for status in answer.status])
        assert changed.any()
        torch.testing.assert_close(answer.images[changed], edit.edited[changed])


def test_images_keep_their_shape_and_range():
    flow = flows.glow((1, 4, 4), levels=1, steps=1, hidden=(8, 8), context_features=2)
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    answer = context_change(
        Identity(),
        flow,
        model=lambda x: x.flatten(1).sum(1) - 100,
        images=x,
        before=torch.zeros(2),
        after=torch.ones(2),
        target=1,
        clip=(0.0, 1.0),
        steps=3,
    )
    assert answer.images.shape == x.shape
    assert set(answer.status) == {RowStatus.NOT_VALID}
    assert (answer.images >= 0).all()
    assert (answer.images <= 1).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"images": torch.zeros(3)}, ShapeError, "images must have shape"),
        ({"images": torch.full((2, 3), math.nan).double()}, ArgumentError, "images must be finite"),
        ({"confidence": 0.0}, ArgumentError, "confidence must be above 0"),
        ({"most": 0.0}, ArgumentError, "most must be above zero"),
        ({"steps": 0}, ArgumentError, "steps must be a whole number"),
        ({"target": 2}, ArgumentError, "target must be a class from 0 to 1"),
        ({"before": torch.zeros(2).double(), "after": torch.ones(2).double()}, ShapeError, "context must have shape"),
    ],
)
def test_bad_input_is_refused_by_a_sentence(change, error, match):
    with pytest.raises(error, match=match):
        context_change(Identity(), law(), **{**ASK, "images": draw(2, 3), **change})


def test_a_generator_of_another_shape_is_refused():
    class Half(nn.Module):
        def encode(self, x):
            return x

        def decode(self, z):
            return z[:, :2]

    with pytest.raises(ShapeError, match="the generator must decode images of shape"):
        context_change(Half(), law(), images=draw(2, 3), **ASK)

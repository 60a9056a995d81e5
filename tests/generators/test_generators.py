"""Generators: flows exactly, autoencoders nearly, decoders by search; closed forms are the witnesses."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from counterflow import flows
from counterflow.core.errors import ArgumentError
from counterflow.generators import (
    AutoencoderGenerator,
    FlowGenerator,
    Generator,
    HasLogProb,
    Identity,
    InversionSettings,
    InvertedDecoder,
    Refines,
    as_generator,
    invert,
)
from tests.laws.registry import draw

PRECISE = InversionSettings(steps=250, prior=0.0)


class VariationalAutoencoder(nn.Module):
    """Encodes into mean and log-variance, as most do."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(4, 2), nn.Linear(2, 4)

    def encode(self, x):
        return self.down(x), torch.zeros(len(x), 2)

    def decode(self, z):
        return self.up(z)


def test_a_flow_is_an_exact_generator():
    flow = flows.realnvp(3, context_features=2).double()
    generator, x = FlowGenerator(flow, draw(2)), draw(5, 3)
    z = generator.encode(x)
    torch.testing.assert_close(generator.decode(z), x)
    torch.testing.assert_close(generator.log_prob(z), torch.distributions.Normal(0, 1).log_prob(z).sum(1))
    assert isinstance(generator, Generator)
    assert isinstance(generator, HasLogProb)
    assert not isinstance(generator, Refines)


def test_what_is_taken_for_a_generator():
    vae, flow = VariationalAutoencoder(), flows.nice(2)
    assert isinstance(as_generator(flow), FlowGenerator)
    assert as_generator(flow).flow is flow
    wrapped = as_generator(vae)
    assert torch.equal(wrapped.encode(torch.ones(1, 4)), vae.down(torch.ones(1, 4)))
    assert {id(p) for p in wrapped.parameters()} == {id(p) for p in vae.parameters()}
    identity, plain = Identity(), SimpleNamespace(encode=lambda x: x, decode=lambda z: z)
    assert as_generator(identity) is identity
    assert as_generator(plain) is plain
    with pytest.raises(ArgumentError, match=r"methods encode\(x\) and decode\(z\), got Linear"):
        as_generator(nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match="conditional: pass context="):
        as_generator(flows.nice(2, context_features=1))


@pytest.mark.parametrize(
    "answer",
    [
        lambda z: z,
        lambda z: [z, None],
        lambda z: torch.distributions.Normal(z, 1.0),
        lambda z: SimpleNamespace(latent_dist=SimpleNamespace(mean=z)),
    ],
)
def test_what_encoders_may_answer(answer):
    z = draw(3, 2)
    assert torch.equal(AutoencoderGenerator(lambda x: answer(z), lambda z: z).encode(draw(3, 4)), z)


def test_what_decoders_may_answer():
    x = draw(3, 4)
    assert torch.equal(AutoencoderGenerator(lambda x: x, lambda z: SimpleNamespace(sample=x)).decode(x), x)
    with pytest.raises(ArgumentError, match="the decoder must answer a tensor"):
        AutoencoderGenerator(lambda x: x, lambda z: "x").decode(x)


def test_inversion_of_a_linear_decoder_is_least_squares():
    matrix, x = draw(5, 2, seed=4), draw(6, 5)
    found = invert(lambda z: z @ matrix.T, x, start=draw(3, 1, 2), settings=PRECISE)
    expected = torch.linalg.lstsq(matrix, x.T).solution.T
    torch.testing.assert_close(found.z, expected, atol=1e-3, rtol=1e-3)
    residual = (expected @ matrix.T - x).square().mean(1)
    torch.testing.assert_close(found.error, residual, atol=1e-5, rtol=1e-3)
    assert found.errors.shape == (3, 6)


def test_the_prior_makes_it_ridge_regression():
    matrix, x, weight = draw(5, 2, seed=4), draw(6, 5), 0.5
    settings = InversionSettings(steps=250, prior=weight)
    found = invert(lambda z: z @ matrix.T, x, start=draw(1, 1, 2), settings=settings)
    ridge = 2 * matrix.T @ matrix / 5 + weight / 2 * torch.eye(2).double()
    expected = torch.linalg.solve(ridge, 2 * matrix.T @ x.T / 5).T
    torch.testing.assert_close(found.z, expected, atol=1e-3, rtol=1e-3)


def test_many_starts_find_what_one_misses():
    """A decoder with a ditch in the way: from the wrong side the descent ends in a local minimum."""

    def decoder(z):
        return z.square() + 2 * torch.cos(2.5 * z)

    x = decoder(torch.tensor([[3.0]]).double())
    starts = torch.tensor([[[0.0]], [[2.8]]]).double()
    one = invert(decoder, x, start=starts[:1], settings=PRECISE)
    both = invert(decoder, x, start=starts, settings=PRECISE)
    assert one.error > 0.1
    assert both.error < 1e-6
    torch.testing.assert_close(both.errors[0], one.errors[0])


def test_a_point_has_the_same_latent_whatever_its_company_and_chunk():
    matrix, x = draw(5, 2, seed=4), draw(7, 5)
    settings = InversionSettings(starts=2, steps=50, points_at_once=5)
    generator = InvertedDecoder(lambda z: z @ matrix.T, 2, settings=settings)
    torch.testing.assert_close(generator.encode(x)[3:4], generator.encode(x[3:4]))
    assert generator.encode(x).shape == (7, 2)


def test_refining_never_makes_it_worse():
    matrix, x = draw(5, 2, seed=4), draw(6, 5)
    rough = InvertedDecoder(lambda z: z @ matrix.T, 2, settings=InversionSettings(starts=1, steps=5, prior=0.0))
    z = rough.encode(x)
    best = torch.linalg.lstsq(matrix, x.T).solution.T
    z[0] = best[0]

    def error(z):
        return (rough.decode(z) - x).square().mean(1)

    refined = rough.refine(x, z)
    assert (error(refined) <= error(z)).all()
    assert (error(refined)[1:] < error(z)[1:]).all()
    assert torch.equal(refined[0], z[0])


def test_a_guess_of_the_latent_is_one_more_start():
    matrix, x = draw(5, 2, seed=4), draw(6, 5)
    inverse = torch.linalg.pinv(matrix)
    few = InversionSettings(starts=1, steps=1, learning_rate=1e-9, prior=0.0)
    generator = InvertedDecoder(lambda z: z @ matrix.T, 2, settings=few, encoder=lambda x: x @ inverse.T)
    torch.testing.assert_close(generator.encode(x), x @ inverse.T)
    assert isinstance(generator, Refines)


@pytest.mark.parametrize("settings", [{"starts": 0}, {"learning_rate": 0.0}, {"prior": -1.0}, {"points_at_once": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ArgumentError, match=next(iter(settings))):
        InversionSettings(**settings)

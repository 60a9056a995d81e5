"""Velocities: their divergence against Jacobians, their conditioning, and what they refuse."""

import pytest
import torch
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.nets import VelocityMLP, bind_module
from counterflow.nets.smooth import SMOOTH_ACTIVATIONS, get_smooth_activation
from tests.laws.registry import draw

KINDS = [("concat", 0), ("concat", 2), ("squash", 0), ("squash", 2), ("film", 2), ("hypernetwork", 2)]
HIDDEN = [(5,), (5, 6), (5, 6, 7)]


def make(kind: str, context_features: int, hidden: tuple[int, ...] = (5, 6), **settings) -> VelocityMLP:
    generator = torch.Generator().manual_seed(0)
    velocity = VelocityMLP(
        3,
        context_features=context_features,
        hidden=hidden,
        conditioning=kind,
        zero=False,
        generator=generator,
        **settings,
    ).double()
    with torch.no_grad():
        for i, parameter in enumerate(velocity.parameters()):
            parameter.add_(0.3 * draw(*parameter.shape, seed=i))
    return velocity


def inputs(context_features: int) -> tuple[Tensor, Tensor, Tensor | None]:
    return draw(2, 4, 1).abs(), draw(2, 4, 3, seed=1), draw(4, context_features, seed=2) if context_features else None


def traces(velocity: torch.nn.Module, t: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
    """The trace of every point's Jacobian, by automatic differentiation of one point after another."""

    def trace(i: int, j: int) -> Tensor:
        given = () if context is None else (context[j],)
        return torch.func.jacrev(lambda point: velocity(t[i, j], point, *given))(x[i, j]).trace()

    return torch.stack([torch.stack([trace(i, j) for j in range(x.shape[1])]) for i in range(x.shape[0])])


@pytest.mark.parametrize("hidden", HIDDEN, ids=len)
@pytest.mark.parametrize(("kind", "context_features"), KINDS)
def test_the_divergence_is_the_trace_of_the_jacobian(kind, context_features, hidden):
    velocity, (t, x, context) = make(kind, context_features, hidden), inputs(context_features)
    value, divergence = velocity.bind(context).slope(t, x, integrand=True)
    torch.testing.assert_close(value, velocity(t, x, context), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(divergence[..., 0], traces(velocity, t, x, context), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["concat", "hypernetwork"])
def test_any_module_has_the_same_divergence(kind):
    velocity, (t, x, context) = make(kind, 2, (5, 6, 7)), inputs(2)
    found = bind_module(velocity, context).slope(t, x, integrand=True)
    torch.testing.assert_close(found, velocity.bind(context).slope(t, x, integrand=True), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kind", "context_features"), KINDS)
def test_all_sign_vectors_together_give_the_exact_divergence(kind, context_features):
    """The mean of Hutchinson's estimate over all eight sign vectors is its expectation."""
    velocity, (t, x, context) = make(kind, context_features), inputs(context_features)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    for field in (velocity.bind(context, probes=signs), bind_module(velocity, context, probes=signs)):
        divergence = field.slope(t, x, integrand=True)[1]
        torch.testing.assert_close(divergence[..., 0], traces(velocity, t, x, context), rtol=1e-10, atol=1e-10)
        one = velocity.bind(context, probes=signs[:1]).slope(t, x, integrand=True)[1]
        assert not torch.allclose(one, divergence, atol=1e-3)


def test_points_may_have_probes_of_their_own():
    velocity, (t, x, context) = make("film", 2), inputs(2)
    probes = draw(2, 4, 5, 3, seed=7).sign()
    together = velocity.bind(context, probes=probes).slope(t, x, integrand=True)[1]
    alone = velocity.bind(context[2], probes=probes[1, 2]).slope(t[1, 2], x[1, 2], integrand=True)[1]
    torch.testing.assert_close(together[1, 2], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "rank"), [("concat", None), ("film", None), ("hypernetwork", None), ("hypernetwork", 2)]
)
def test_a_shared_context_is_as_good_as_copies(kind, rank):
    velocity, (t, x, context) = make(kind, 2, rank=rank), inputs(2)
    copies = context.expand(2, 4, 2).contiguous()
    torch.testing.assert_close(velocity(t, x, context), velocity(t, x, copies), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SMOOTH_ACTIVATIONS)
def test_slopes_are_those_of_autograd(name):
    a = torch.linspace(-4, 4, 33, dtype=torch.float64).requires_grad_()
    value, slope = get_smooth_activation(name)(a)
    torch.testing.assert_close(slope, torch.autograd.grad(value.sum(), a)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "context_features"), KINDS)
def test_a_fresh_velocity_is_zero(kind, context_features):
    _, x, context = inputs(context_features)
    velocity = VelocityMLP(3, context_features=context_features, conditioning=kind).double()
    assert not velocity(torch.rand(4, 1, dtype=torch.float64), x, context).any()


def test_a_low_rank_emits_less():
    sizes = [sum(p.numel() for p in make("hypernetwork", 2, (32, 32), rank=rank).parameters()) for rank in (None, 2)]
    assert sizes[1] < sizes[0] / 5


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"conditioning": "hyper"}, "conditioning must be"),
        ({"conditioning": "hypernetwork"}, "must have a context"),
        ({"hidden": ()}, "at least one width"),
        ({"activation": "relu"}, "activation must be one of elu"),
        ({"context_features": -1}, "context_features must be"),
    ],
)
def test_settings_are_checked(settings, match):
    with pytest.raises(ArgumentError, match=match):
        VelocityMLP(2, **settings)

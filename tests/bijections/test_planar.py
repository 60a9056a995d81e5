"""Planar, radial and Sylvester maps: against their formulas written out, at the edge of invertibility, and back."""

import pytest
import torch

from counterflow.bijections import Planar, Radial, Sylvester
from counterflow.core.errors import ArgumentError
from tests.laws.registry import draw

MAKERS = {
    "tanh": lambda g: Planar(3, generator=g),
    "leaky": lambda g: Planar(3, activation="leaky_relu", generator=g),
    "radial": lambda g: Radial(3, generator=g),
    "sylvester": lambda g: Sylvester(3, generator=g),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def built(make, *, spread: float = 0.0, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    layer = make(generator).double()
    with torch.no_grad():
        layer.net.value.add_(spread * torch.randn(layer.net.value.shape, generator=generator))
    return layer


@every
@pytest.mark.parametrize("seed", range(5))
def test_wild_parameters_still_make_a_bijection(make, seed):
    """Parameters far beyond what training reaches: u.w far below -1, the center's pull below -alpha, and so on."""
    layer, x = built(make, spread=5.0, seed=seed), 3 * draw(200, 3)
    z, log_det = layer.to_latent(x)
    back, log_det_back = layer.to_data(z)
    torch.testing.assert_close(back, x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-5, atol=1e-5)


@every
def test_gradients_of_the_inverse_are_those_of_finite_differences(make):
    layer, z = built(make, spread=0.7), draw(4, 3).requires_grad_()
    start = layer.net.value.detach().clone().requires_grad_()

    def inverse(z, value):
        return torch.func.functional_call(layer, {"net.value": value}, (z,))

    layer.forward = layer.to_data
    assert torch.autograd.gradcheck(inverse, (z, start), atol=1e-6)


def test_planar_is_its_formula():
    layer, x = built(MAKERS["tanh"], spread=0.5), draw(6, 3)
    u, w, b = layer.net.value.detach().split((3, 3, 1))
    w = layer.direction + w
    stretch = torch.log(torch.exp(torch.tensor(-0.999)) + (1 - torch.exp(torch.tensor(-0.999))) * torch.exp(u @ w))
    u = u + (stretch - u @ w) * w / (w @ w)
    expected = torch.stack([row + u * torch.tanh(w @ row + b) for row in x])
    torch.testing.assert_close(layer.to_latent(x)[0], expected, rtol=1e-7, atol=1e-7)
    slope = 1 - torch.tanh(x @ w + b) ** 2
    determinants = torch.stack([torch.linalg.det(torch.eye(3) + torch.outer(u, w) * one) for one in slope])
    torch.testing.assert_close(layer.to_latent(x)[1].exp(), determinants, rtol=1e-7, atol=1e-7)


def test_radial_is_its_formula():
    layer, x = built(MAKERS["radial"], spread=0.5), draw(6, 3)
    center, reach, pull = layer._settings(x[0], None)
    radius = (x - center).norm(dim=-1, keepdim=True)
    assert pull > -reach
    torch.testing.assert_close(layer.to_latent(x)[0], x + pull / (reach + radius) * (x - center))


def test_radial_keeps_its_center():
    layer = built(MAKERS["radial"], spread=0.5)
    center = layer._settings(draw(3), None)[0]
    for direction in (layer.to_latent, layer.to_data):
        value, log_det = direction(center)
        torch.testing.assert_close(value, center)
        assert torch.isfinite(torch.autograd.grad(value.sum() + log_det, layer.net.value)[0]).all()


@pytest.mark.parametrize("units", [1, 2, 4])
@pytest.mark.parametrize(("reflections", "reverse"), [(0, True), (2, False), (4, True)])
def test_sylvester_is_its_formula(units, reflections, reverse):
    """The step and the m-dimensional determinant of theorem 1, with Q, R and R~ as matrices."""
    layer = built(
        lambda g: Sylvester(4, units=units, reflections=reflections, reverse=reverse, generator=g), spread=0.5
    )
    x = draw(6, 4)
    outer, inner, bias, vectors = layer._settings(x[0], None)
    q = layer._lift(torch.eye(units, dtype=x.dtype), vectors).T
    torch.testing.assert_close(q.T @ q, torch.eye(units, dtype=x.dtype))
    for matrix in (outer, inner):
        assert torch.equal(matrix, matrix.triu())
    hidden = torch.tanh(x @ q @ inner.T + bias)
    torch.testing.assert_close(layer.to_latent(x)[0], x + hidden @ outer.T @ q.T)
    small = torch.eye(units) + (1 - hidden**2).unsqueeze(-1) * (inner @ outer)
    torch.testing.assert_close(layer.to_latent(x)[1], torch.linalg.slogdet(small).logabsdet)


def test_as_many_units_as_reflections_reach_a_subspace_that_depends_on_the_context():
    g = torch.Generator().manual_seed(0)
    layer = Sylvester(3, units=1, context_features=2, generator=g).double()
    with torch.no_grad():
        layer.net.layers[0].weight.normal_(generator=g)
    steps = [layer.to_latent(torch.ones(3, dtype=torch.float64), context)[0] - 1 for context in draw(2, 2)]
    assert torch.nn.functional.cosine_similarity(*steps, dim=0).abs() < 0.99


def test_a_sylvester_map_has_at_most_as_many_units_as_features():
    with pytest.raises(ArgumentError, match="units must be at most features, 3, got 4"):
        Sylvester(3, units=4)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ArgumentError, match="activation must be 'tanh' or 'leaky_relu'"):
        Planar(3, activation="relu")

"""The metric, the spectrum, tangent spaces, paths and the theorem, against closed forms, autograd and brute force."""

import pytest
import torch
from torch.autograd.functional import jacobian as autograd_jacobian

from counterflow import bijections, flows, geometry
from counterflow.core.errors import ArgumentError, ShapeError
from tests.laws.registry import FLOWS, draw

ANY_SOLVER = 1e-6  # a flow whose way back is a search agrees with autograd as far as the search goes


def linear_flow() -> tuple[flows.Flow, torch.Tensor]:
    """A flow x = A z + b, and A."""
    matrix = torch.eye(3, dtype=torch.float64) + 0.4 * draw(3, 3, seed=5)
    layer = bijections.LULinear(3).double()
    with torch.no_grad():
        layer.factors.copy_(0.5 * draw(3, 3, seed=1))
        layer.log_diagonal.copy_(0.5 * draw(3, seed=2))
    matrix = torch.linalg.inv(layer.weight().detach())
    return flows.compose([layer, bijections.Affine(3, shift=1.0).double()]).double(), matrix


def curved_flow(features: int = 4) -> flows.Flow:
    """A coupling flow off its starting values: smooth, and no linear map."""
    generator = torch.Generator().manual_seed(3)
    flow = flows.realnvp(features, layers=4, hidden=(16,), generator=generator).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return flow


def test_the_metric_of_a_linear_flow_has_a_closed_form():
    flow, matrix = linear_flow()
    x = draw(5, 3)
    torch.testing.assert_close(geometry.inverse_metric(flow, x), (matrix @ matrix.T).expand(5, 3, 3))
    torch.testing.assert_close(geometry.induced_metric(flow, x), torch.linalg.inv(matrix @ matrix.T).expand(5, 3, 3))


def test_the_spectrum_of_a_linear_flow_has_a_closed_form():
    flow, matrix = linear_flow()
    left, values, _ = torch.linalg.svd(matrix)
    torch.testing.assert_close(geometry.jacobian_singular_values(flow, draw(2, 5, 3)), values.expand(2, 5, 3))
    tangents = geometry.tangent_space(flow, draw(5, 3), dimension=2)
    torch.testing.assert_close((tangents @ left[:, :2]).abs(), torch.eye(2).double().expand(5, 2, 2), atol=1e-9, rtol=0)
    assert (tangents.gather(-1, tangents.abs().argmax(-1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("name", ["realnvp", "spline_coupling", "maf", "residual", "sylvester"])
def test_the_jacobian_is_that_of_autograd(name):
    """Witness: ``torch.autograd.functional.jacobian`` of one point after the other."""
    flow = FLOWS[name].make()
    z = draw(3, flow.features)
    with torch.no_grad():
        x = flow.to_data(z)[0]
    expected = torch.stack([autograd_jacobian(lambda z: flow.to_data(z[None])[0][0], point) for point in z])
    torch.testing.assert_close(geometry.data_jacobian(flow, x), expected, rtol=ANY_SOLVER, atol=ANY_SOLVER)


def test_metric_and_inverse_are_inverse_and_do_not_depend_on_chunks():
    flow, x = curved_flow(), draw(2, 3, 4)
    metric, inverse = geometry.induced_metric(flow, x), geometry.inverse_metric(flow, x, points_at_once=3)
    torch.testing.assert_close(metric @ inverse, torch.eye(4).double().expand(2, 3, 4, 4), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(inverse, geometry.inverse_metric(flow, x, points_at_once=1000))


def test_chunks_bound_what_goes_through_the_flow_together():
    flow, seen = curved_flow(), []
    flow.bijection.register_forward_pre_hook(lambda *_: None)
    original = flow.bijection.to_data

    def counted(z, context=None):
        seen.append(len(z))
        return original(z, context)

    flow.bijection.to_data = counted
    geometry.jacobian_singular_values(flow, draw(10, 4), points_at_once=6)
    assert max(seen) <= 6


def test_points_of_any_shape_and_contexts():
    """An image is its flattened numbers, and the vectors of the tangent space are images."""
    flow = flows.compose(bijections.Affine((1, 2, 2), scale=torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])))
    x = torch.zeros(3, 1, 2, 2)
    assert geometry.jacobian_singular_values(flow, x)[0].tolist() == [4.0, 3.0, 2.0, 1.0]
    assert torch.equal(geometry.tangent_space(flow, x, dimension=1)[0, 0], torch.tensor([[[0.0, 0.0], [0.0, 1.0]]]))
    assert geometry.inverse_metric(flow, x[0]).diagonal().tolist() == [1.0, 4.0, 9.0, 16.0]
    conditional = FLOWS["realnvp_context"].make()
    points, context = draw(2, conditional.features), draw(conditional.context_features)
    inverse = geometry.inverse_metric(conditional, points, context=context)
    expected = autograd_jacobian(
        lambda z: conditional.to_data(z, context)[0], conditional.to_latent(points[0], context)[0].detach()
    )
    torch.testing.assert_close(inverse[0], expected @ expected.T)


@pytest.mark.parametrize(("rate", "batch"), [(0.02, 5), (0.01, 7)])
def test_half_the_step_makes_a_quarter_of_the_gap(rate, batch):
    """The theorem: a step in the latent is a step along the raised gradient, up to the square of its length."""
    flow, x = curved_flow(), draw(batch, 4, seed=batch)

    def objective(x):
        return torch.sin(x).sum(1) + x[:, 0] * x[:, 1]

    whole, half = (geometry.ascent_gap(flow, x, objective=objective, rate=r) for r in (rate, rate / 2))
    assert ((whole / half - 4).abs() < 0.4).all()
    step = geometry.metric_step(flow, x, objective=objective, rate=rate) - x
    assert (whole < 0.2 * step.norm(dim=1)).all()


def test_the_wrong_metric_breaks_the_theorem():
    """The check itself can fail: along the plain gradient the gap only halves."""
    flow, x = curved_flow(), draw(5, 4)

    def gap(rate):
        step = geometry.latent_step(flow, x, objective=lambda x: x.sin().sum(1), rate=rate)
        return (step - x - rate * x.cos()).norm(dim=1)

    assert ((gap(0.01) / gap(0.005)) < 2.5).all()


def test_the_raised_gradient_is_the_product_of_the_matrix():
    flow, x, gradient = curved_flow(), draw(5, 4), draw(5, 4, seed=9)
    expected = (geometry.inverse_metric(flow, x) @ gradient[..., None])[..., 0]
    torch.testing.assert_close(geometry.raise_gradient(flow, x, gradient=gradient), expected)


def test_a_latent_line_is_as_long_as_the_latent_distance():
    """Witness: the length of the path under the metric at its middles, summed over short pieces."""
    flow, start, end = curved_flow(), draw(2, 4), draw(2, 4, seed=1)
    path = geometry.latent_line(flow, start, end=end, steps=400)
    torch.testing.assert_close(path[0], start)
    torch.testing.assert_close(path[-1], end)
    pieces, middles = path[1:] - path[:-1], (path[1:] + path[:-1]) / 2
    metric = geometry.induced_metric(flow, middles)
    length = (pieces[..., None, :] @ metric @ pieces[..., None])[..., 0, 0].sqrt().sum(0)
    torch.testing.assert_close(length, geometry.latent_distance(flow, start, end=end), rtol=1e-3, atol=0)


def test_the_dimension_of_a_flat_sheet():
    """Two wide directions of five, exactly; the share says the same where the noise has little of it."""
    scale = torch.tensor([0.01, 3.0, 0.012, 2.0, 0.009])
    values = geometry.jacobian_singular_values(flows.compose(bijections.Affine(5, scale=scale)), torch.zeros(3, 5))
    assert geometry.local_dimension(values).tolist() == [2, 2, 2]
    assert geometry.local_dimension(values, rule="share", share=0.99).tolist() == [2, 2, 2]
    assert geometry.local_dimension(values, rule="share", share=0.5).tolist() == [1, 1, 1]
    assert geometry.local_dimension(values, rule="share", share=1.0).max() <= 5


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda f: geometry.tangent_space(f, torch.zeros(1, 4).double(), dimension=5),
            ArgumentError,
            "between 1 and 4",
        ),
        (lambda f: geometry.induced_metric(f, torch.zeros(1, 3).double()), ShapeError, "shape"),
        (lambda f: geometry.jacobian_singular_values(f, torch.zeros(0, 4).double()), ShapeError, "at least one point"),
        (
            lambda f: geometry.inverse_metric(f, torch.zeros(1, 4).double(), points_at_once=0),
            ArgumentError,
            "points_at",
        ),
        (lambda f: geometry.local_dimension(torch.ones(1)), ArgumentError, "at least two"),
        (lambda f: geometry.local_dimension(torch.ones(3), rule="share", share=0.0), ArgumentError, "above 0"),
    ],
)
def test_wrong_questions_are_refused_with_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call(curved_flow())

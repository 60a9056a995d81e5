"""The flow itself: errors, samples, composition, change of context, and settings."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterflow import flows
from counterflow.bijections import Affine, Exp, Invert, Permutation
from counterflow.core.errors import ArgumentError, PersistenceError, ShapeError
from counterflow.distributions import Laplace, StandardNormal
from tests.laws.registry import FLOWS, draw


@pytest.fixture
def flow() -> flows.Flow:
    return flows.realnvp(3, context_features=2, layers=2, hidden=(8,))


@pytest.mark.parametrize(
    ("x", "context", "error", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(5, 2), ShapeError, r"x must have shape \(\*batch, 3\), got \(5, 2\)"),
        (torch.zeros(5, 3), torch.zeros(5, 3), ShapeError, r"\(\*batch, 2\), got \(5, 3\).*context_features=0"),
        (torch.zeros(5, 3), None, ArgumentError, "pass context="),
        (torch.zeros(5, 3).double(), torch.zeros(5, 2), ArgumentError, r"flow.to\(torch.float64\)"),
        (torch.zeros(5, 3), torch.zeros(5, 2).double(), ArgumentError, r"context.to\(torch.float32\)"),
        (torch.zeros(5, 3), torch.zeros(4, 2), ShapeError, "must broadcast"),
    ],
)
def test_wrong_input_is_refused_with_a_sentence(flow, x, context, error, message):
    for method in (flow, flow.log_prob, flow.to_latent):
        with pytest.raises(error, match=message):
            method(x, context)


def test_to_data_names_its_argument(flow):
    with pytest.raises(ShapeError, match="z must have shape"):
        flow.to_data(torch.zeros(5, 2), torch.zeros(5, 2))


def test_context_for_an_unconditional_flow_is_refused():
    with pytest.raises(ArgumentError, match="context_features=2"):
        flows.nice(3).sample(2, torch.zeros(5, 2))


@given(
    n=st.one_of(st.integers(0, 4), st.lists(st.integers(1, 3), max_size=2)),
    rows=st.lists(st.integers(1, 3), max_size=2),
)
def test_shapes_of_samples(n, rows):
    flow = flows.nice(3, context_features=2, layers=2, hidden=(8,))
    shape = n if isinstance(n, int) else tuple(n)
    x, log_prob = flow.sample_and_log_prob(shape, torch.zeros(*rows, 2))
    batch = ((n,) if isinstance(n, int) else tuple(n)) + tuple(rows)
    assert x.shape == (*batch, 3)
    assert log_prob.shape == batch


def test_calling_the_flow_is_its_log_density(flow):
    x, context = draw(5, 3).float(), draw(5, 2).float()
    assert torch.equal(flow(x, context), flow.log_prob(x, context))


def test_composition_by_hand():
    """The log-normal law, from its parts."""
    flow = flows.compose([Invert(Exp(2)), Affine(2, shift=0.5, scale=2.0)])
    x = draw(5, 2).exp().float()
    expected = torch.distributions.LogNormal(0.5, 2.0).log_prob(x).sum(-1)
    torch.testing.assert_close(flow(x), expected, rtol=1e-5, atol=1e-5)


def test_composition_with_a_base_of_its_own():
    flow = flows.compose(Permutation([1, 0]), Laplace(torch.tensor([0.0, 3.0])))
    assert flow(torch.tensor([3.0, 0.0])).item() == pytest.approx(-2 * 0.6931472)


def test_a_base_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="bijection and base"):
        flows.compose(Affine(2), StandardNormal(3))


def test_a_composed_flow_cannot_be_saved_to_a_folder(tmp_path):
    with pytest.raises(PersistenceError, match="state_dict"):
        flows.compose(Affine(2)).save(tmp_path)


@pytest.mark.parametrize("name", flows.TABLE_RECIPES)
def test_config_is_plain_data_that_rebuilds_the_flow(name):
    flow = flows.TABLE_RECIPES[name](3, context_features=2, hidden=(4, 4))
    assert flow.config["recipe"] == name
    assert flow.config["hidden"] == [4, 4]
    rebuilt = flows.from_config(flow.config)
    assert rebuilt.config == flow.config
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {k: v.shape for k, v in flow.state_dict().items()}


def test_unknown_recipe():
    with pytest.raises(ArgumentError, match="recipe must be one of .*iaf, image_realnvp, linear"):
        flows.from_config({"recipe": "glowing", "features": 2})


@pytest.mark.parametrize("name", [name for name in flows.TABLE_RECIPES if name != "linear"])
def test_no_layers(name):
    with pytest.raises(ArgumentError, match="layers must be a whole number"):
        flows.TABLE_RECIPES[name](3, layers=0)


@pytest.mark.parametrize("name", [name for name in FLOWS if name.endswith("context")])
def test_change_of_context_keeps_the_latent(name):
    flow, (x, before) = FLOWS[name].make(), FLOWS[name].data()
    after = before + 1
    moved = flows.change_context(flow, x, before=before, after=after)
    assert not torch.allclose(moved, x, atol=1e-3)
    torch.testing.assert_close(flow.to_latent(moved, after)[0], flow.to_latent(x, before)[0], rtol=1e-6, atol=1e-6)
    back = flows.change_context(flow, moved, before=after, after=before)
    torch.testing.assert_close(back, x, rtol=1e-6, atol=1e-6)


def test_change_of_context_of_a_normal_law_shifts_by_the_mean():
    """x = a c + e, e ~ N(0, 1): under c' the same person has x + a (c' - c)."""
    flow = flows.linear(1, context_features=1).double()
    with torch.no_grad():
        flow.bijection.bijections[1].net.layers[0].weight.copy_(torch.tensor([[3.0], [0.0]]))
    x, before, after = draw(5, 1), draw(5, 1, seed=1), draw(5, 1, seed=2)
    torch.testing.assert_close(flows.change_context(flow, x, before=before, after=after), x + 3 * (after - before))
    for strength in (0.5, 2.0, torch.linspace(0, 2, 5).double()):
        changed = flows.change_context(flow, x, before=before, after=after, strength=strength)
        weight = torch.as_tensor(strength).reshape(-1, 1)
        torch.testing.assert_close(changed, x + 3 * weight * (after - before))
    assert torch.equal(flows.change_context(flow, x, before=before, after=after, strength=0.0), x)


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf"), torch.tensor([0.5, -1.0])])
def test_a_change_of_context_has_a_strength(strength):
    flow = flows.maf(2, context_features=1)
    with pytest.raises(ArgumentError, match="strength must be at least 0 and finite"):
        flows.change_context(flow, torch.zeros(2, 2), before=torch.zeros(1), after=torch.ones(1), strength=strength)


@pytest.mark.parametrize("name", flows.TABLE_RECIPES)
def test_initialization_makes_data_in_any_unit_standard(name):
    flow, x = flows.TABLE_RECIPES[name](2).double(), 1e4 + 1e3 * draw(500, 2)
    flows.initialize(flow, x)
    z = flow.to_latent(x)[0]
    assert z.mean(0).abs().max() < 0.5
    torch.testing.assert_close(z.std(0), torch.ones(2).double(), rtol=0.5, atol=0.5)


def test_repeated_seeds_repeat_samples():
    flow = flows.maf(2, layers=1)
    first, second = (flow.sample(5, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)

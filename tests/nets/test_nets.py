"""Networks: what they see, what they start as, and that shared contexts cost no copy and change no number."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from counterflow.core.errors import ArgumentError
from counterflow.nets import (
    ACTIVATIONS,
    MLP,
    Constant,
    MaskedLinear,
    MaskedMLP,
    RecurrentEncoder,
    ResidualMLP,
    Stepwise,
    make_conditioner,
    make_linear,
)
from counterflow.training import TrainingStep
from tests.laws.registry import draw


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    features=st.integers(1, 7),
    size=st.integers(1, 3),
    width=st.integers(1, 20),
    layers=st.integers(0, 3),
    context=st.integers(0, 2),
    reverse=st.booleans(),
    residual=st.booleans(),
)
def test_outputs_see_only_earlier_inputs(features, size, width, layers, context, reverse, residual):
    net = MaskedMLP(
        features,
        size,
        hidden=(width,) * layers,
        context_features=context,
        reverse=reverse,
        residual=residual,
        zero=False,
        generator=generator(),
    )
    given_context = torch.ones(context) if context else None
    jacobian = torch.func.jacrev(lambda x: net(x, given_context))(torch.ones(features)).reshape(
        size, features, features
    )
    jacobian = jacobian.flip(1, 2) if reverse else jacobian
    assert (jacobian.triu() == 0).all()


@pytest.mark.parametrize("residual", [False, True])
def test_outputs_see_all_earlier_inputs_and_the_context(residual):
    net = MaskedMLP(5, 2, hidden=(24, 24), context_features=1, residual=residual, zero=False, generator=generator())
    x, context = torch.ones(5), torch.ones(1)
    by_input = torch.func.jacrev(net)(x, context).reshape(2, 5, 5)
    assert ((by_input != 0) == torch.ones(5, 5).tril(-1).bool()).all()
    assert (torch.func.jacrev(net, argnums=1)(x, context) != 0).all()


def test_hidden_units_are_sorted_by_degree():
    """So the masks are block triangular: what one more known feature unlocks is one contiguous block."""
    net = MaskedMLP(6, 1, hidden=(25, 25), context_features=2)
    for layer in net.layers[:-1]:
        free = layer.mask.sum(1)
        assert (free.diff() >= 0).all()


@pytest.mark.parametrize("make", [MLP, ResidualMLP])
def test_shared_context_equals_a_copied_one(make):
    net = make(3, 4, context_features=2, zero=False, generator=generator())
    x, context = torch.randn(7, 5, 3, generator=generator()), torch.randn(5, 2, generator=generator())
    torch.testing.assert_close(net(x, context), net(x, context.expand(7, 5, 2)))
    torch.testing.assert_close(net(x, context[0]), net(x, context[0].expand(7, 5, 2)))


@pytest.mark.parametrize("make", [MLP, ResidualMLP])
def test_starts_at_zero_and_not_without(make):
    x = torch.randn(5, 3, generator=generator())
    assert not make(3, 2, generator=generator())(x).any()
    assert make(3, 2, zero=False, generator=generator())(x).all()


def test_mlp_is_torch_layers_in_a_row():
    net = MLP(3, 2, hidden=(8, 4), zero=False, activation="tanh", generator=generator())
    x = torch.randn(5, 3, generator=generator())
    first, second, last = net.layers
    torch.testing.assert_close(net(x), last(second(first(x).tanh()).tanh()))


def test_residual_mlp_by_hand():
    net = ResidualMLP(3, 2, width=4, blocks=1, zero=False, activation="relu", generator=generator())
    x = torch.randn(5, 3, generator=generator())
    hidden = net.first(x)
    inner, outer = net.blocks[0]
    hidden = hidden + outer(inner(hidden.relu()).relu())
    torch.testing.assert_close(net(x), net.last(hidden.relu()))


def test_weights_come_from_the_generator_and_look_like_torchs():
    before = torch.random.get_rng_state()
    first, second = (make_linear(100, 50, generator=generator(1)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.weight.abs().max() <= 0.1
    assert first.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)


def test_conditioner_without_inputs_is_a_constant():
    assert isinstance(make_conditioner(0, 3, hidden=(8,)), Constant)
    assert make_conditioner(0, 3, hidden=(8,), context_features=1)(torch.zeros(4, 0), torch.ones(4, 1)).shape == (4, 3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_keeps_the_shape(name):
    assert MLP(2, 3, activation=name)(torch.zeros(4, 2)).shape == (4, 3)


def test_unknown_activation():
    with pytest.raises(ArgumentError, match="activation must be one of"):
        MLP(2, 3, activation="swiglu")


@pytest.mark.parametrize("make", [MLP, ResidualMLP])
def test_nothing_to_look_at(make):
    with pytest.raises(ArgumentError, match="inputs \\+ context_features"):
        make(0, 3)


class TestFolding:
    def layer(self):
        return MaskedLinear(torch.tensor([[True, False], [True, True]]), generator=torch.Generator().manual_seed(0))

    def expected(self, layer, x):
        return torch.nn.functional.linear(x, layer.weight * layer.mask, layer.bias)

    def test_a_kept_product_follows_its_weight(self):
        layer, x = self.layer(), torch.ones(2)
        with torch.no_grad():
            assert torch.equal(layer(x), self.expected(layer, x))
            layer.weight.add_(1.0)
            assert torch.equal(layer(x), self.expected(layer, x))
            layer.weight.data = layer.weight.data * 2
            assert torch.equal(layer(x), self.expected(layer, x))
            layer.load_state_dict({"weight": torch.ones(2, 2), "bias": torch.zeros(2)})
            assert layer(x).tolist() == [1.0, 2.0]
        assert layer.double()(x.double()).tolist() == [1.0, 2.0]

    def test_a_training_step_is_seen_in_between(self):
        layer, x = self.layer(), torch.ones(3, 2)
        step = TrainingStep(layer, lambda module, batch: module(batch).square().mean())
        with torch.no_grad():
            layer(x)
        step(x, 0.1)
        with torch.no_grad():
            assert torch.equal(layer(x), self.expected(layer, x))

    def test_the_weight_has_gradients_where_they_are_wanted(self):
        layer = self.layer().eval()
        layer(torch.ones(2)).sum().backward()
        assert layer.weight.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]

    def test_it_is_kept_where_none_are(self):
        layer = self.layer().requires_grad_(False)
        layer(torch.ones(2))
        kept = layer._folded
        layer(torch.zeros(2))
        assert kept is not None
        assert layer._folded is kept

    def test_another_weight_may_stand_in(self):
        layer = self.layer()
        swapped = torch.func.functional_call(layer, {"weight": torch.ones(2, 2)}, (torch.ones(2),))
        assert torch.equal(swapped, torch.tensor([1.0, 2.0]) + layer.bias)

    def test_for_good(self):
        layer, x = self.layer(), torch.ones(2)
        before = layer(x)
        layer.fold()
        assert torch.equal(layer(x), before)
        assert layer.weight[0, 1] == 0


class TestStepwise:
    @pytest.mark.parametrize("residual", [False, True])
    @pytest.mark.parametrize("context_features", [0, 2])
    @pytest.mark.parametrize("hidden", [(), (3, 3), (16, 16, 16)])
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("grad", [False, True])
    def test_it_gives_what_a_whole_pass_gives(self, residual, context_features, hidden, reverse, grad):
        net = MaskedMLP(
            5, 2, hidden=hidden, context_features=context_features, reverse=reverse, residual=residual, zero=False
        ).double()
        x = draw(4, 5, seed=1)
        context = draw(4, context_features, seed=2) if context_features else None
        with torch.set_grad_enabled(grad):
            run, outputs = Stepwise(net, context, points=4), {}
            for feature in net.order:
                outputs[feature] = run.conditions()
                run.advance(x[:, feature])
        found = torch.stack([outputs[i] for i in range(5)], -1)  # (size, points, features)
        torch.testing.assert_close(found, net(x, context).unflatten(-1, (2, 5)).movedim(1, 0), rtol=1e-12, atol=1e-12)
        assert found.requires_grad == grad

    def test_every_unit_is_computed_once(self):
        """The multiplications of a whole run are about half of those of one pass, whatever the number of features."""
        net = MaskedMLP(32, 2, hidden=(64, 64), zero=False)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(torch.zeros(10, 32))
            whole = counter.get_total_flops()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run = Stepwise(net, None, points=10)
            for _ in range(32):
                run.conditions()
                run.advance(torch.zeros(10))
        assert 0.3 * whole < counter.get_total_flops() < 0.7 * whole


class TestHalves:
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("features", [2, 7, 8])
    @pytest.mark.parametrize("residual", [False, True])
    def test_leaving_zeros_out_changes_nothing(self, monkeypatch, reverse, features, residual):
        settings = {"hidden": (12, 12), "reverse": reverse, "residual": residual, "zero": False, "context_features": 1}
        monkeypatch.setattr("counterflow.nets.masked._WORTH_HALVING", 0)
        monkeypatch.setattr("counterflow.nets.masked._is_worth_halving", lambda: not torch.is_grad_enabled())
        halved = MaskedMLP(features, 3, **settings, generator=generator()).double()
        assert all(layer.halves is not None for layer in list(halved.layers)[1:])
        x, context = draw(5, features, seed=1), draw(5, 1, seed=2)
        with torch.no_grad():
            found = halved(x, context)
        torch.testing.assert_close(found, halved(x, context).detach(), rtol=1e-12, atol=1e-12)

    def test_a_quarter_of_the_multiplications_is_left_out(self, monkeypatch):
        monkeypatch.setattr("counterflow.nets.masked._is_worth_halving", lambda: True)
        net = MaskedMLP(32, 4, hidden=(256, 256), zero=False)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net(torch.zeros(10, 32))
        whole = 2 * 10 * (32 * 256 + 256 * 256 + 256 * 128)
        assert counter.get_total_flops() < 0.79 * whole


def test_a_recurrent_encoder_is_the_recurrence_step_by_step():
    encoder = RecurrentEncoder(2, 3, hidden=(5,), generator=torch.Generator().manual_seed(0))
    series = torch.randn(4, 2, 6, generator=torch.Generator().manual_seed(1))
    cell, state = torch.nn.GRUCell(2, 5), torch.zeros(4, 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in encoder.unit.state_dict().items()})
    for t in range(6):
        state = cell(series[..., t], state)
    torch.testing.assert_close(encoder(series), encoder.last(state))

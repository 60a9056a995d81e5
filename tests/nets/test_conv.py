"""Convolutional conditioners: where they start, what a context does, and any leading dimensions."""

import pytest
import torch
from torch.nn import functional

from counterflow.core.errors import ArgumentError
from counterflow.nets import ConvNet, ResidualConvNet, conditioners_in, make_conv, make_conv_conditioner
from tests.laws.registry import draw


def generator():
    return torch.Generator().manual_seed(0)


SHARED = {"context_features": 2, "generator": generator()}
NETS = {
    "plain": lambda **settings: ConvNet(2, 3, hidden=(4, 5), **SHARED, **settings),
    "residual": lambda **settings: ResidualConvNet(
        2, 3, width=4, context_features=2, generator=generator(), **settings
    ),
}
every = pytest.mark.parametrize("make", NETS.values(), ids=NETS)


@every
def test_the_last_layer_starts_at_zero(make):
    assert make()(torch.ones(5, 2, 4, 4), torch.ones(2)).count_nonzero() == 0


def test_the_net_without_hidden_layers_starts_at_zero_under_every_context():
    net = make_conv_conditioner(2, 3, hidden=(), context_features=2)
    assert net(torch.ones(2, 4, 4), torch.ones(2)).count_nonzero() == 0


@every
def test_leading_dimensions_are_a_loop(make):
    net, x, context = make(zero=False).double(), draw(2, 3, 2, 4, 5), draw(3, 2)
    found = net(x, context)
    assert found.shape == (2, 3, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(found[i, j], net(x[i, j], context[j]))


def test_the_plain_net_is_its_formula():
    net, x, context = NETS["plain"](zero=False).double(), draw(6, 2, 4, 4), draw(6, 2)
    first, middle, last = net.layers
    state = functional.conv2d(x, first.weight, first.bias, padding=1)
    state = state + functional.linear(context, net.context_layer.weight, net.context_layer.bias)[:, :, None, None]
    state = functional.conv2d(state.relu(), middle.weight, middle.bias)
    assert middle.kernel_size == (1, 1)
    torch.testing.assert_close(net(x, context), functional.conv2d(state.relu(), last.weight, last.bias, padding=1))


@every
def test_a_pixel_sees_its_neighborhood_and_no_more(make):
    net = make(zero=False).double()
    x = draw(2, 15, 15).requires_grad_()
    seen = torch.autograd.grad(net(x, draw(2))[0, 7, 7], x)[0].abs().sum(0) > 0
    reach = 2 if isinstance(net, ConvNet) else 6
    rows = seen.any(1).nonzero().flatten()
    assert rows.min() >= 7 - reach
    assert rows.max() <= 7 + reach
    assert seen[6:9, 6:9].all()


def test_initial_weights_are_those_of_torch_in_size_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    layer = make_conv(3, 50, generator=generator())
    assert torch.equal(torch.random.get_rng_state(), before)
    bound = 27**-0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_mixed_precision_reaches_the_nets_of_images():
    from counterflow.bijections import CheckerboardCoupling, Shift

    layer, x = CheckerboardCoupling((1, 4, 4), Shift(), hidden=(8,), generator=generator()), torch.ones(1, 4, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    plain = layer.to_latent(x)[0]
    with conditioners_in(layer, torch.bfloat16):
        rounded = layer.to_latent(x)[0]
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, plain)
    torch.testing.assert_close(rounded, plain, rtol=0.03, atol=0.03)


def test_residual_nets_have_one_width():
    with pytest.raises(ArgumentError, match=r"all equal, got \(4, 5\)"):
        make_conv_conditioner(1, 1, hidden=(4, 5), residual=True)

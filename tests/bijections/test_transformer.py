"""The causal transformer and the map made of it: attention against torch's own, caches against full passes."""

import pytest
import torch

from counterflow.bijections import ScaleShift, Spline, TransformerAutoregressive
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.nets import CausalTransformer
from tests.laws.registry import draw


def shaken(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator).double())
    return module


def make(event_shape=6, transformer=None, **settings):
    settings = {"hidden": (8, 8), "heads": 2, "context_features": 2} | settings
    return shaken(TransformerAutoregressive(event_shape, transformer or ScaleShift(), **settings))


def test_a_block_is_that_of_torch():
    """Witness: torch's own encoder layer with the same weights and a causal mask."""
    block = shaken(CausalTransformer(2, 2, length=5, width=8, heads=2)).blocks[0]
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
    )
    ours = block.state_dict()
    names = {
        "self_attn.in_proj_weight": "project",
        "self_attn.out_proj.weight": "join.weight",
        "self_attn.out_proj.bias": "join.bias",
        "linear1.weight": "widen.weight",
        "linear1.bias": "widen.bias",
        "linear2.weight": "narrow.weight",
        "linear2.bias": "narrow.bias",
        "norm1.weight": "attend.weight",
        "norm1.bias": "attend.bias",
        "norm2.weight": "think.weight",
        "norm2.bias": "think.bias",
    }
    state = {name: ours[own] for name, own in names.items()} | {"self_attn.in_proj_bias": torch.zeros(24).double()}
    theirs.load_state_dict(state)
    x = draw(3, 5, 8)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    torch.testing.assert_close(block(x), theirs(x, src_mask=mask, is_causal=True))


def test_an_output_depends_on_the_tokens_before_it_and_on_all_of_them():
    net = shaken(CausalTransformer(1, 1, length=4, width=8, heads=2, blocks=1))
    jacobian = torch.func.jacrev(net)(draw(4, 1)).reshape(4, 4)
    assert torch.equal(jacobian != 0, torch.ones(4, 4).tril(-1).bool())


@pytest.mark.parametrize("gradients", [True, False])
def test_steps_give_what_one_pass_gives(gradients):
    net, x, context = shaken(CausalTransformer(2, 3, length=4, width=8, context_features=2)), draw(5, 4, 2), draw(5, 2)
    with torch.set_grad_enabled(gradients):
        caches, previous = net.caches(), torch.full((5, 2), torch.nan, dtype=torch.float64)
        steps = []
        for place in range(4):
            steps.append(net.step(previous, caches, place=place, context=context))
            previous = x[:, place]
        torch.testing.assert_close(torch.stack(steps, -2), net(x, context), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(("event_shape", "token"), [(6, 1), (6, 3), ((2, 4, 6), 2)])
def test_samples_are_those_of_as_many_full_passes_as_tokens(event_shape, token, gradients):
    layer = make(event_shape, token=token, reverse=True)
    z, context = draw(5, *layer.event_shape), draw(5, 2)
    with torch.set_grad_enabled(gradients):
        found, log_det = layer.to_data(z, context)
        tokens, x = layer._tokens(z, None)[0], torch.zeros_like(layer._tokens(z, None)[0])
        for _ in range(layer.net.length):
            x, log_dets = layer.transformer.to_data(tokens, layer.net(x, context))
        torch.testing.assert_close(found, layer._points(x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(log_det, log_dets.sum(-1), rtol=1e-12, atol=1e-12)


def test_each_token_passes_the_network_once():
    layer, seen = make(6), []
    layer.net.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
    layer.to_data(draw(5, 6), draw(5, 2))
    assert seen == [(5, 1, 8)] * 6


def test_samples_without_gradients_write_into_buffers_made_once():
    layer, made = make(6), []
    caches = layer.net.caches()
    with torch.no_grad():
        for place in range(6):
            layer.net.step(draw(5, 1), caches, place=place, context=draw(5, 2))
            made.append(caches[0]._keys.data_ptr())
    assert len(set(made)) == 1
    assert caches[0]._keys.shape == (5, 2, 6, 4)


def test_gradients_flow_through_samples():
    layer, context = make(4, Spline(bins=4), token=2), draw(2, 2)
    z = draw(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: layer.to_data(z, context), z, atol=1e-6)


def test_a_patch_is_a_square_through_all_channels():
    layer = make((2, 4, 6), token=2)
    x = draw(3, 2, 4, 6)
    tokens = layer._tokens(x, None)[0]
    assert tokens.shape == (3, 6, 8)
    assert torch.equal(tokens[0, 4].reshape(2, 2, 2), x[0, :, 2:4, 2:4])
    assert torch.equal(layer._points(tokens), x)


def test_within_a_token_numbers_are_mapped_by_themselves():
    layer = make(6, token=3)
    jacobian = torch.func.jacrev(lambda x: layer.to_latent(x, draw(2))[0])(draw(6))
    first, second = jacobian[:3, :3], jacobian[3:, 3:]
    assert torch.equal(first != 0, torch.eye(3).bool())
    assert torch.equal(second != 0, torch.eye(3).bool())
    assert (jacobian[3:, :3] != 0).all()
    assert (jacobian[:3, 3:] == 0).all()


@pytest.mark.parametrize(("event_shape", "token"), [(5, 2), ((1, 4, 5), 2), ((4, 4), 2)])
def test_tokens_must_fill_a_point(event_shape, token):
    with pytest.raises(ShapeError, match=f"tokens of {token} must fill"):
        TransformerAutoregressive(event_shape, ScaleShift(), token=token)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"hidden": (8, 16)}, "all equal"), ({"hidden": ()}, "all equal"), ({"heads": 3}, "multiple")],
)
def test_widths_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        TransformerAutoregressive(4, ScaleShift(), **settings)

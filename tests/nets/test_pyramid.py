"""Networks between images and vectors: any size, images alone, the formula, and memory spared by computing again."""

import pytest
import torch
from torch.nn import functional

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.nets import ImageDecoder, ImageEncoder, make_conv
from tests.laws.registry import draw

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 1, 3)]


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_size_goes_in_and_comes_out(shape):
    encoder = ImageEncoder(shape, 4, widths=(3, 2), generator=generator()).double()
    decoder = ImageDecoder(4, shape, widths=(3, 2, 2), generator=generator()).double()
    z = encoder(draw(2, *shape))
    assert z.shape == (2, 4)
    assert decoder(z).shape == (2, *shape)


def test_a_stride_of_two_keeps_every_other_pixel():
    wide, layer = make_conv(2, 3, generator=generator()), make_conv(2, 3, stride=2, generator=generator())
    x = torch.randn(1, 2, 5, 8, generator=generator())
    torch.testing.assert_close(layer(x), wide(x)[..., ::2, ::2])


def test_the_encoder_is_its_formula():
    net, x = (
        ImageEncoder((2, 5, 8), 3, widths=(4, 5), activation="tanh", generator=generator()).double(),
        draw(6, 2, 5, 8),
    )
    first, second = net.layers
    h = functional.conv2d(x, first.weight, first.bias, stride=2, padding=1).tanh()
    h = functional.conv2d(h, second.weight, second.bias, stride=2, padding=1).tanh()
    torch.testing.assert_close(net(x), functional.linear(h.reshape(6, -1), net.last.weight, net.last.bias))


def test_the_decoder_is_its_formula():
    net = ImageDecoder(3, (2, 8, 6), widths=(5, 4), activation="tanh", normalize=True, generator=generator()).double()
    z, (block,) = draw(6, 3), net.blocks
    h = functional.linear(z, net.first.weight, net.first.bias).reshape(6, 5, 4, 3)
    h = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
    h = functional.conv2d(h, block.conv.weight, block.conv.bias, padding=1)
    h = h / (h.square().sum(1, keepdim=True) / 4 + 1e-8).sqrt()
    torch.testing.assert_close(net(z), functional.conv2d(h.tanh(), net.last.weight, net.last.bias, padding=1))


def test_a_batch_is_a_loop():
    decoder = ImageDecoder(3, (1, 8, 8), widths=(4, 4, 4), normalize=True, generator=generator()).double()
    encoder, z = ImageEncoder((1, 8, 8), 3, generator=generator()).double(), draw(5, 3)
    torch.testing.assert_close(decoder(z)[2:3], decoder(z[2:3]))
    torch.testing.assert_close(encoder(decoder(z))[2:3], encoder(decoder(z[2:3])))


def test_computing_again_changes_neither_values_nor_gradients_and_keeps_less():
    """What autograd keeps is counted by hooks on saved tensors."""

    def run(*, recompute):
        settings = {"widths": (8, 8, 8), "normalize": True, "generator": generator()}
        net, z = ImageDecoder(3, (1, 32, 32), recompute=recompute, **settings).double(), draw(2, 3).requires_grad_()
        kept: dict[int, int] = {}

        def pack(tensor):
            kept[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            x = net(z)
        return x, torch.autograd.grad(x.square().sum(), z)[0], sum(kept.values())

    plain, again = run(recompute=False), run(recompute=True)
    torch.testing.assert_close(plain[0], again[0], rtol=0, atol=0)
    torch.testing.assert_close(plain[1], again[1])
    assert again[2] < plain[2] / 2


def test_seeds_decide_the_weights():
    one, two = (ImageDecoder(3, (1, 8, 8), generator=generator()).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_wrong_settings_are_refused_with_a_sentence():
    with pytest.raises(ShapeError, match="channels, height, width"):
        ImageEncoder((3, 4), 2)
    with pytest.raises(ArgumentError, match="number of widths"):
        ImageDecoder(2, (1, 4, 4), widths=())
    with pytest.raises(ArgumentError, match="activation must be one of"):
        ImageDecoder(2, (1, 4, 4), activation="step")

"""Maps of images against loops, matrix products and Jacobians; what stays, stays."""

import math

import pytest
import torch

from counterflow.bijections import (
    ActNorm,
    Affine,
    CheckerboardCoupling,
    ConvCoupling,
    OnChannels,
    PixelWise,
    ScaleShift,
    Shift,
    Squeezed,
    invertible_conv,
    squeeze,
    unsqueeze,
    verify,
)
from counterflow.core.errors import ArgumentError, ShapeError
from tests.laws.registry import draw


def shaken(module, spread=0.3):
    module, generator = module.double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator).double())
    return module


@pytest.mark.parametrize(("shape", "factor"), [((2, 4, 6), 2), ((1, 3, 6), 3), ((3, 2, 2), 1)])
def test_squeeze_is_a_loop_over_blocks(shape, factor):
    x = draw(5, *shape)
    z = squeeze(x, factor)
    channels, height, width = shape
    assert z.shape == (5, channels * factor**2, height // factor, width // factor)
    for c in range(channels):
        for i in range(factor):
            for j in range(factor):
                assert torch.equal(z[:, (c * factor + i) * factor + j], x[:, c, i::factor, j::factor])
    assert torch.equal(unsqueeze(z, factor), x)


@pytest.mark.parametrize("shape", [(1, 3, 4), (1, 4, 3)])
def test_odd_sides_are_not_squeezed(shape):
    with pytest.raises(ShapeError, match=r"multiples of 2, got .*Crop or pad"):
        squeeze(draw(*shape))


@pytest.mark.parametrize("inner", [Affine((3, 2, 2)), Affine(4)])
def test_squeezed_needs_whole_blocks(inner):
    with pytest.raises(ShapeError, match="inner must map images of 4 channels or a multiple"):
        Squeezed(inner)


def test_unsqueeze_needs_whole_blocks():
    with pytest.raises(ShapeError, match="multiple of 4, got 6"):
        unsqueeze(draw(6, 2, 2))


def test_the_invertible_convolution_is_a_matrix_product_at_every_pixel():
    layer, x = shaken(invertible_conv((3, 2, 4), generator=torch.Generator().manual_seed(1))), draw(5, 3, 2, 4)
    permutation, mix = layer.inner.parts
    matrix = mix.weight() @ torch.eye(3, dtype=torch.float64)[permutation.order]
    z, log_det = layer.to_latent(x)
    for h in range(2):
        for w in range(4):
            torch.testing.assert_close(z[:, :, h, w], x[:, :, h, w] @ matrix.T + mix.bias)
    torch.testing.assert_close(log_det, (8 * torch.linalg.slogdet(matrix).logabsdet).expand(5))
    torch.testing.assert_close(log_det, (8 * mix.log_diagonal.sum()).expand(5))
    torch.testing.assert_close(z, torch.nn.functional.conv2d(x, matrix[:, :, None, None], mix.bias))


def test_channels_are_normalized_over_images_and_pixels():
    layer, x = PixelWise(ActNorm(2), (3, 4)).double(), 5 + 3 * draw(50, 2, 3, 4)
    layer.initialize(x)
    z = layer.to_latent(x)[0]
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(z.std((0, 2, 3), correction=0), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("flip", [False, True])
def test_a_checkerboard_keeps_every_second_pixel_and_maps_it_from_its_neighbors(flip):
    layer, x = shaken(CheckerboardCoupling((2, 3, 5), ScaleShift(2.0), flip=flip, hidden=(4,))), draw(2, 3, 5)
    z, log_det = layer.to_latent(x)
    kept = torch.tensor([[(h + w) % 2 == flip for w in range(5)] for h in range(3)])
    assert torch.equal(z[:, kept], x[:, kept])
    assert (z[:, ~kept] != x[:, ~kept]).all()
    jacobian = torch.func.jacrev(lambda point: layer.to_latent(point)[0])(x).reshape(30, 30)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_det)
    free = (~kept).expand(2, 3, 5).flatten()
    among_free = jacobian[free][:, free]
    assert torch.equal(among_free, among_free.diag().diag())
    assert (jacobian[free][:, ~free] != 0).any(1).all()


@pytest.mark.parametrize("flip", [False, True])
def test_half_of_the_channels_stays_and_scales_are_bounded(flip):
    layer, x = shaken(ConvCoupling((3, 2, 2), ScaleShift(0.5), flip=flip, hidden=(4,)), 3.0), draw(20, 3, 2, 2)
    z, log_det = layer.to_latent(x)
    stays = slice(2, 3) if flip else slice(0, 1)
    assert torch.equal(z[:, stays], x[:, stays])
    assert log_det.abs().max() <= 0.5 * 2 * 4
    assert log_det.abs().max() > 0.1


def test_additive_couplings_keep_volume():
    layer = shaken(ConvCoupling((2, 2, 2), Shift(), hidden=(4,)))
    assert torch.equal(layer.to_latent(draw(5, 2, 2, 2))[1], torch.zeros(5, dtype=torch.float64))


def test_channels_that_leave_stay_as_they_are():
    layer, x = OnChannels(3, Affine((1, 2, 2), scale=0.5)).double(), draw(5, 3, 2, 2)
    z, log_det = layer.to_latent(x)
    assert torch.equal(z[:, 1:], x[:, 1:])
    torch.testing.assert_close(z[:, :1], 2 * x[:, :1], rtol=1e-7, atol=0)
    torch.testing.assert_close(log_det, torch.full((5,), 4 * math.log(2), dtype=torch.float64), rtol=1e-7, atol=0)


@pytest.mark.parametrize(
    "layer",
    [
        Squeezed(PixelWise(Affine(9, scale=3.0), (1, 2)), factor=3),
        Squeezed(OnChannels(4, ConvCoupling((3, 1, 1), ScaleShift(), hidden=(3,)))),
    ],
    ids=["thirds", "nested"],
)
def test_wrapped_maps_are_bijections(layer):
    verify(shaken(layer), draw(3, *layer.event_shape))


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: ConvCoupling((1, 4, 4), Shift()), "two channels at least.*CheckerboardCoupling"),
        (lambda: CheckerboardCoupling((4,), Shift()), "Use Coupling for vectors"),
        (lambda: OnChannels(1, Affine((2, 2, 2))), "at most 1 channels"),
        (lambda: OnChannels(3, Affine(3)), "at most 3 channels"),
    ],
)
def test_other_shapes_are_refused(build, sentence):
    with pytest.raises((ShapeError, ArgumentError), match=sentence):
        build()

"""Packed inputs: each network sees its own part, in its own shape."""

import pytest
import torch
from torch import nn

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.nets import ImageEncoder, PackedEncoder, RecurrentEncoder, pack


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_network_reads_its_own_part():
    series, image = torch.randn(6, 2, 5, generator=seeded()), torch.randn(6, 1, 8, 8, generator=seeded(1))
    first = RecurrentEncoder(2, 3, generator=seeded())
    second = ImageEncoder((1, 8, 8), 4, widths=(2,), generator=seeded())
    both = PackedEncoder({first: (2, 5), second: (1, 8, 8)})
    torch.testing.assert_close(both(pack(series, image)), torch.cat([first(series), second(image)], 1))
    assert len(list(both.parameters())) == len(list(first.parameters())) + len(list(second.parameters()))


def test_wrong_parts_are_refused():
    with pytest.raises(ArgumentError, match="got none"):
        PackedEncoder({})
    with pytest.raises(ShapeError, match="rows of 6 numbers, got 7"):
        PackedEncoder({nn.Flatten(): (2, 3)})(torch.zeros(4, 7))

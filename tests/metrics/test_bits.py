"""Bits per dimension against the entropy of a law that is known."""

import math

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.metrics import bits_per_dimension


def test_the_mean_over_a_law_is_its_entropy():
    law = np.array([0.5, 0.25, 0.125, 0.125])  # 1.75 bits a number, for two independent numbers
    pairs = np.log(np.outer(law, law))
    assert (bits_per_dimension(pairs, 2) * np.exp(pairs)).sum() == pytest.approx(1.75)


def test_the_units_of_the_density_do_not_matter():
    of_bytes = torch.tensor([-300.0, -200.0], dtype=torch.float64)
    of_shares = of_bytes + 64 * math.log(256)  # x / 256 is denser by 256 in each of 64 numbers
    torch.testing.assert_close(bits_per_dimension(of_shares, 64, step=1 / 256), bits_per_dimension(of_bytes, 64))


@pytest.mark.parametrize("wrong", [{"dimensions": 0}, {"step": 0.0}])
def test_sizes_are_positive(wrong):
    with pytest.raises(ArgumentError):
        bits_per_dimension(-1.0, **({"dimensions": 3} | wrong))

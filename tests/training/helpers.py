"""Small things to train."""

import math

import torch
from torch import nn

from counterflow.training import fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_rows(rows=200, features=2, seed=0):
    return torch.randn(rows, features, generator=seeded(seed))


class DiagonalGaussian(nn.Module):
    """A flow in one line: its log-density is that of independent normals; a context shifts the mean."""

    def __init__(self, features=2, context_features=0, mean=0.0):
        super().__init__()
        self.mean = nn.Parameter(torch.full((features,), mean))
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.slope = nn.Parameter(torch.zeros(context_features, features)) if context_features else None

    def forward(self, x, context=None):
        mean = self.mean if self.slope is None else self.mean + context @ self.slope
        z = (x - mean) * torch.exp(-self.log_scale)
        return (-0.5 * z.square() - self.log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)


class CountingGaussian(DiagonalGaussian):
    """One with a saved buffer that training changes, as batch statistics do."""

    def __init__(self, features=2):
        super().__init__(features)
        self.register_buffer("steps", torch.zeros(2))

    def forward(self, x, context=None):
        if self.training:
            self.steps += torch.tensor([1.0, float(x.detach().mean())])
        return super().forward(x, context)


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def quick_fit(flow, x, **changes):
    """A fit of a few epochs without a bar; the defaults are the library's otherwise."""
    settings = {"max_epochs": 5, "batch_size": 32, "generator": seeded(1), "progress": False}
    return fit(flow, x, **(settings | changes))

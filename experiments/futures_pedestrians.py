"""Pedestrians of ETH and UCY: windows, and laws of where they will be, in meters."""

import json
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from counterflow.regression import DensityRegression
from experiments.futures_models import Rows
from experiments.tables import all_data

__all__ = [
    "AHEAD",
    "PERIOD",
    "SCENES",
    "SEEN",
    "Windows",
    "blurred",
    "load_windows",
    "log_density",
    "paths",
    "residual_rows",
]

SEEN, AHEAD, PERIOD = 8, 12, 0.4
SCENES = ("eth", "hotel", "univ", "zara1", "zara2")
_HEADING, _BLUR = 4, 0.02


class Windows(NamedTuple):
    """Walks of twenty places: origin at the last seen place, turned so that the last steps lead along (1, 0).

    Args:
        seen: Eight places.
        ahead: Twelve that follow.
        pace: Meters a second over the last steps.
    """

    seen: Tensor
    ahead: Tensor
    pace: Tensor

    def some(self, count: int, generator: torch.Generator) -> "Windows":
        """At most so many, at random."""
        chosen = torch.randperm(len(self.seen), generator=generator)[:count]
        return Windows(*(part[chosen] for part in self))

    @property
    def x(self) -> Tensor:
        """Places and steps as channels of a series."""
        steps = torch.diff(self.seen, dim=1, prepend=self.seen[:, :1])
        return torch.cat([self.seen, steps / PERIOD], 2).transpose(1, 2)

    @property
    def going_on(self) -> Tensor:
        """Where somebody of unchanged pace and direction would be."""
        times = PERIOD * torch.arange(1, AHEAD + 1, dtype=self.seen.dtype)
        return self.pace[:, None, None] * times[None, :, None] * torch.tensor([1.0, 0.0], dtype=self.seen.dtype)


@cache
def load_windows(scene: str, part: str) -> Windows:
    """The windows of a part (train, val, test) of the split that leaves a scene out."""
    folder = all_data() / "trajectories"
    names = json.loads((folder / "eth_ucy_splits.json").read_text())[scene][part]
    with np.load(folder / "eth_ucy.npz") as arrays:
        found = np.concatenate([_windows(arrays[name].astype(np.float64)) for name in names])
    walks = torch.from_numpy(found)
    walks = walks - walks[:, SEEN - 1 : SEEN]
    lead = -walks[:, SEEN - 1 - _HEADING]
    length = lead.norm(dim=1)
    cos, sin = torch.where(length > 0, lead.T / length, torch.tensor([[1.0], [0.0]], dtype=lead.dtype))
    turn = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    walks = torch.einsum("nij,ntj->nti", turn, walks)
    return Windows(walks[:, :SEEN], walks[:, SEEN:], length / (_HEADING * PERIOD))


def blurred(windows: Windows, generator: torch.Generator) -> Windows:
    """The places ahead with normal noise of 2 cm: else the lattice of centimeters, and who stands, decide densities."""
    noise = torch.randn(windows.ahead.shape, generator=generator, dtype=windows.ahead.dtype)
    return windows._replace(ahead=windows.ahead + _BLUR * noise)


def _windows(table: np.ndarray) -> np.ndarray:
    """All runs of twenty frames in a row of each pedestrian."""
    period = np.diff(np.unique(table[:, 0])).min()
    found, size = [], SEEN + AHEAD
    for one in np.unique(table[:, 1]):
        own = table[table[:, 1] == one]
        own = own[np.argsort(own[:, 0])]
        for i in range(len(own) - size + 1):
            if own[i + size - 1, 0] - own[i, 0] == (size - 1) * period:
                found.append(own[i : i + size, 2:])
    return np.array(found).reshape(-1, size, 2)


def residual_rows(windows: Windows, *, horizons: list[int], each: int, generator: torch.Generator) -> Rows:
    """Rows for learning: for each window some of the horizons, and by how much the mean velocity differs from the pace.

    Half of the windows are mirrored, and places ahead are blurred.
    """
    windows = blurred(windows, generator)
    mirror = torch.where(torch.rand(len(windows.seen), 1, 1, generator=generator) < 0.5, -1.0, 1.0)
    flip = torch.cat([torch.ones_like(mirror), mirror], 2).to(windows.seen)
    windows = Windows(windows.seen * flip, windows.ahead * flip, windows.pace)
    order = torch.rand(len(flip), len(horizons), generator=generator).argsort(1)[:, :each]
    steps = torch.tensor(horizons)[order]
    rows = torch.arange(len(flip))[:, None]
    after = steps * PERIOD
    y = (windows.ahead - windows.going_on)[rows, steps - 1] / after[..., None]
    return Rows(windows.x.repeat_interleave(each, 0), y.flatten(0, 1), after.flatten().to(y))


def log_density(law: DensityRegression, windows: Windows) -> Tensor:
    r"""Natural log-density of each place ahead, per square meter: :math:`\log q(r \mid x, h) - 2 \log h`."""
    found = []
    for step in range(AHEAD):
        after = PERIOD * (step + 1)
        r = (windows.ahead[:, step] - windows.going_on[:, step]) / after
        found.append(law.log_prob(r, windows.x, horizon=after) - 2 * np.log(after))
    return torch.stack(found, 1).detach()


def paths(law: DensityRegression, windows: Windows, *, count: int, seed: int = 0) -> Tensor:
    """Draw whole walks: one latent point is carried through all horizons, ``(windows, count, 12, 2)``."""
    places = []
    for step in range(AHEAD):
        after = PERIOD * (step + 1)
        r = law.draws_alike(count, windows.x, horizon=after, seed=seed).detach()
        places.append(windows.going_on[:, None, step] + r * after)
    return torch.stack(places, 2)

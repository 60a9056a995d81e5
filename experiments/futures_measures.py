"""How well the laws of ``futures.py`` forecast: beside the exact law of road forks, and on pedestrians' real walks."""

import math

import torch
from torch import Tensor

from counterflow.datasets import Forks
from counterflow.metrics import (
    average_displacement_error,
    energy_distance,
    final_displacement_error,
    hit_rate,
    mean_shift_modes,
    mode_coverage,
)
from counterflow.nets import pack
from counterflow.regression import DensityRegression
from experiments.futures_pedestrians import Windows, blurred, log_density, paths

__all__ = ["ConstantPace", "judge_forks", "judge_walks", "scene_input"]

LATE, RADIUS, BANDWIDTH = 5.0, 1.0, 0.6
_SCENES, _DRAWS, _BEST, _WALKS = 200, 60, 20, 150


def scene_input(scenes: Forks) -> Tensor:
    """History and map of each scene, packed."""
    return pack(scenes.history(), scenes.raster())


@torch.no_grad()
def judge_forks(law: DensityRegression | None, scenes: Forks, y: Tensor) -> dict[str, object]:
    """Measure a law beside the exact one; ``None`` for the exact law itself, which says what can be reached.

    All but the log-density is measured five seconds ahead, where exits have parted.

    Args:
        law: What was learned.
        scenes: Test scenes.
        y: A place drawn in each at its own horizon.
    """
    generator = torch.Generator().manual_seed(5)
    late = scenes[:_SCENES].at(LATE)
    came = late.sample(1, generator=generator)[:, 0]
    exact = late.sample(_DRAWS, generator=generator)
    if law is None:
        gap, draws = torch.zeros(len(scenes)), late.sample(_DRAWS, generator=generator)
    else:
        gap = scenes.log_prob(y) - law.log_prob(y, scene_input(scenes), horizon=scenes.horizon)
        draws = law.sample(_DRAWS, scene_input(late), horizon=LATE, generator=generator)
    ways = torch.where((late.weights > 0.05).unsqueeze(-1), late.means, torch.nan)
    modes = mean_shift_modes(draws, 3, bandwidth=BANDWIDTH).points
    return {
        "gap": gap.mean().item(),
        "gap_error": (gap.std() / len(gap) ** 0.5).item(),
        "mode_coverage": mode_coverage(draws, ways, radius=RADIUS),
        "mode_coverage_half_weight": _fair_coverage(draws, late),
        "fde_20": final_displacement_error(draws[:, :_BEST, None], came.unsqueeze(1)).mean().item(),
        "hit_rate": hit_rate(modes, came, radius=RADIUS),
        "energy_distance": energy_distance(draws, exact).mean().item(),
    }


def _fair_coverage(draws: Tensor, scenes: Forks) -> float:
    """The share of exits (of weight above .05) with at least half as many draws near them as the exact law has."""
    exact = scenes.sample(2000, generator=torch.Generator().manual_seed(6))
    near, owed = (
        (torch.linalg.vector_norm(points.unsqueeze(1) - scenes.means.unsqueeze(2), dim=-1) <= RADIUS).double().mean(-1)
        for points in (draws, exact)
    )
    return (near >= owed / 2)[scenes.weights > 0.05].double().mean().item()


class ConstantPace:
    """Unchanged pace and direction, with a normal residual of its own for each step, learned from training windows."""

    def __init__(self, windows: Windows) -> None:
        away = windows.ahead - windows.going_on
        away = torch.cat([away, away * torch.tensor([1.0, -1.0], dtype=away.dtype)])
        self.mean = away.mean(0)
        self.factor = torch.linalg.cholesky(torch.stack([step.T.cov() for step in away.unbind(1)]))

    def log_density(self, windows: Windows) -> Tensor:
        """Natural log-density of each place, per square meter."""
        away = (windows.ahead - windows.going_on - self.mean).unsqueeze(-1)
        white = torch.linalg.solve_triangular(self.factor, away, upper=False).squeeze(-1)
        scale = self.factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return -0.5 * white.square().sum(-1) - math.log(2 * math.pi) - scale

    def paths(self, windows: Windows, *, count: int) -> Tensor:
        """Draw walks: one normal number is carried through all steps."""
        noise = torch.randn(count, 1, 2, 1, dtype=self.mean.dtype, generator=torch.Generator().manual_seed(0))
        return windows.going_on.unsqueeze(1) + self.mean + (self.factor @ noise).squeeze(-1)


@torch.no_grad()
def judge_walks(law: DensityRegression | ConstantPace | None, windows: Windows) -> dict[str, object]:
    """Measure a law on windows, its walks on the first of them; ``None`` for constant pace as one path."""
    first = Windows(*(part[:_WALKS] for part in windows))
    if law is None:
        drawn, found = first.going_on.unsqueeze(1), {}
    else:
        judged = blurred(windows, torch.Generator().manual_seed(11))
        values = law.log_density(judged) if isinstance(law, ConstantPace) else log_density(law, judged)
        by_step = (-values.mean(0)).tolist()
        found = {"nll": -values.mean().item(), "nll_error": (values.mean(1).std() / len(values) ** 0.5).item()}
        found["nll_by_step"] = by_step
        drawn = law.paths(first, count=20) if isinstance(law, ConstantPace) else paths(law, first, count=20)
    ade, fde = (error(drawn, first.ahead) for error in (average_displacement_error, final_displacement_error))
    return {**found, "ade": ade.mean().item(), "fde": fde.mean().item()}

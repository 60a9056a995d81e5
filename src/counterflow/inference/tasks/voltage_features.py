"""What is told of a voltage trace in seven numbers."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_event
from counterflow.inference.tasks.neuron import StepCurrent

__all__ = ["FEATURES", "voltage_features"]

FEATURES = ("spikes", "resting mean", "log resting std", "mean", "log std", "skewness", "log kurtosis")

_SPIKE, _TINY = -10.0, 1e-6
"""A spike is a rise above the first voltage; a deviation counts as at least the second, both in mV."""


def voltage_features(
    voltage: Float[Tensor, "rows times"], stimulus: StepCurrent | None = None
) -> Float[Tensor, "rows 7"]:
    """Summarize traces: spikes, the resting potential and its spread, and four moments while the current is on.

    The resting mean is that of all times before the onset, its deviation that of the last tenth of them. Skewness and
    kurtosis are standardized moments (a normal law has 0 and 3). Of what spans several powers of ten the logarithm is
    given.

    Args:
        voltage: Traces in mV, at the times of the stimulus.
        stimulus: The current; ``None`` for the usual one.

    Returns:
        One column for each name in :data:`FEATURES`.

    Reference:
        Goncalves et al., "Training deep neural density estimators to identify mechanistic models of neural dynamics",
        2020, figure 4.

    Example:
        >>> flat = torch.full((1, 4801), -70.0)
        >>> flat[0, 1000:1040] = 30.0  # a spike of one millisecond
        >>> voltage_features(flat)[0, :2].tolist()
        [1.0, -70.0]
    """
    stimulus = stimulus or StepCurrent()
    check_event(voltage, (stimulus.steps + 1,), "voltage")
    onset, offset = round(stimulus.onset / stimulus.step), round(stimulus.offset / stimulus.step)
    before, on = voltage[:, :onset], voltage[:, onset + 1 : offset]
    spikes = ((on[:, 1:] > _SPIKE) & (on[:, :-1] <= _SPIKE)).sum(1)
    mean, std = on.mean(1), on.std(1, correction=0)
    standard = (on - mean[:, None]) / std.clamp(min=_TINY)[:, None]
    return torch.stack(
        [
            spikes.to(voltage.dtype),
            before.mean(1),
            _log(before[:, round(0.9 * onset) :].std(1, correction=0)),
            mean,
            _log(std),
            standard.pow(3).mean(1),
            _log(standard.pow(4).mean(1)),
        ],
        dim=1,
    )


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=_TINY).log()

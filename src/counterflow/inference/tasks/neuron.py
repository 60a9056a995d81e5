"""The neuron of Hodgkin and Huxley: membrane voltages of many parameters at once."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_event, check_positive
from counterflow.core.errors import ArgumentError

__all__ = ["PARAMETERS", "StepCurrent", "membrane_voltage"]

PARAMETERS = ("g_Na", "g_K", "g_leak", "g_M", "tau_max", "V_T", "noise", "E_leak")
"""Conductances in mS/cm2, ``tau_max`` in ms, ``V_T`` and ``E_leak`` in mV, the noise in mV per square root of a ms."""

_E_SODIUM, _E_POTASSIUM, _START = 53.0, -107.0, -70.0
"""Reversal potentials, and the voltage at the beginning, in mV. The membrane's capacitance is 1 uF/cm2."""


@dataclass(frozen=True)
class StepCurrent:
    r"""A current that is switched on and off, and how finely time is cut.

    Args:
        density: The current while it is on, in uA/cm2; the default is 0.5 nA over a disk of 70 um radius.
        onset: When it is switched on, in ms.
        offset: When it is switched off.
        duration: When the recording ends.
        step: The length of a time step, in ms.

    Raises:
        ArgumentError: The times do not ascend.

    Example:
        >>> StepCurrent().steps, round(StepCurrent().density, 3)
        (4800, 3.248)
    """

    density: float = 5e-4 / (math.pi * 70e-4**2)
    onset: float = 10.0
    offset: float = 110.0
    duration: float = 120.0
    step: float = 0.025

    def __post_init__(self) -> None:
        check_positive(self.step, "step")
        if not 0 < self.onset < self.offset <= self.duration:
            raise ArgumentError(
                f"onset, offset and duration must ascend from above 0, got {self.onset}, {self.offset} and "
                f"{self.duration}. Name them in milliseconds."
            )

    @property
    def steps(self) -> int:
        """How many time steps there are."""
        return round(self.duration / self.step)

    @property
    def times(self) -> Float[Tensor, " times"]:
        """The times of a recording, one more than steps."""
        return self.step * torch.arange(self.steps + 1)

    @property
    def current(self) -> Float[Tensor, " steps"]:
        """The current in each time step, by its middle."""
        middle = self.step * (torch.arange(self.steps) + 0.5)
        return torch.where((middle > self.onset) & (middle < self.offset), self.density, 0.0)


def membrane_voltage(
    theta: Float[Tensor, "rows parameters"],
    stimulus: StepCurrent | None = None,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "rows times"]:
    r"""Simulate the voltage across the membrane of a neuron with sodium, potassium, slow potassium and leak channels.

    .. math:: C\, dV = \big(g_{Na}\, m^3 h\, (E_{Na} - V) + g_K\, n^4 (E_K - V) + g_M\, p\, (E_K - V)
        + g_{leak} (E_{leak} - V) + I(t)\big)\, dt + \sigma\, dW

    .. math:: \dot q = \alpha_q(V - V_T)\, (1 - q) - \beta_q(V - V_T)\, q \quad (q = m, h, n), \qquad
        \dot p = \frac{p_\infty(V) - p}{\tau_p(V)}

    Gates live half a step beside the voltage, and each is solved exactly with the other held still (exponential
    steps): the error falls with the square of the step. Noise has the exact variance of a step with gates held still.

    Args:
        theta: Parameters in the order of :data:`PARAMETERS`.
        stimulus: The current; ``None`` for the usual one.
        generator: Where the noise comes from.

    Returns:
        Voltages in mV, at all times of the stimulus.

    Reference:
        Pospischil et al., "Minimal Hodgkin-Huxley type models for different classes of cortical and thalamic neurons",
        2008; Hines, "Efficient computation of branched nerve equations", 1984, for the steps.

    Example:
        >>> theta = torch.tensor([[50.0, 5.0, 0.1, 0.07, 600.0, -60.0, 0.1, -70.0]])
        >>> voltage = membrane_voltage(theta, generator=torch.Generator().manual_seed(0))
        >>> voltage.shape, bool(voltage.max() > 30)  # it spikes
        (torch.Size([1, 4801]), True)
    """
    check_event(theta, (len(PARAMETERS),), "theta")
    stimulus = stimulus or StepCurrent()
    sodium, potassium, leak, slow, tau_max, threshold, noise, rest = theta.unbind(1)
    voltage = torch.full_like(sodium, _START)
    m, h, n, p = (alpha / (alpha + beta) for alpha, beta in _rates(voltage, threshold, tau_max))
    recorded = [voltage]
    for current in stimulus.current.tolist():
        m, h, n, p = (
            _relaxed(q, alpha, alpha + beta, step=stimulus.step)
            for q, (alpha, beta) in zip((m, h, n, p), _rates(voltage, threshold, tau_max), strict=True)
        )
        inward, outward = sodium * m.pow(3) * h, potassium * n.pow(4) + slow * p
        drive = inward * _E_SODIUM + outward * _E_POTASSIUM + leak * rest + current
        total = inward + outward + leak
        voltage = _relaxed(voltage, drive, total, step=stimulus.step)
        spread = (torch.expm1(-2 * stimulus.step * total) / (-2 * total)).sqrt()
        voltage = voltage + noise * spread * torch.randn(spread.shape, generator=generator, dtype=spread.dtype)
        recorded.append(voltage)
    return torch.stack(recorded, dim=1)


def _relaxed(value: Tensor, drive: Tensor, rate: Tensor, *, step: float) -> Tensor:
    r"""The exact solution of :math:`\dot y = d - r y` after a step."""
    goal = drive / rate
    return goal + (value - goal) * torch.exp(-step * rate)


def _rates(voltage: Tensor, threshold: Tensor, tau_max: Tensor) -> list[tuple[Tensor, Tensor]]:
    """How fast the gates m, h, n and p open and close, in 1/ms."""
    above, slow = voltage - threshold, (voltage + 35) / 20
    pace = (3.3 * slow.exp() + (-slow).exp()) / tau_max
    share = torch.sigmoid(2 * slow)
    return [
        (1.28 * _ratio((13 - above) / 4), 1.4 * _ratio((above - 40) / 5)),
        (0.128 * ((17 - above) / 18).exp(), 4 * torch.sigmoid((above - 40) / 5)),
        (0.16 * _ratio((15 - above) / 5), 0.5 * ((10 - above) / 40).exp()),
        (share * pace, (1 - share) * pace),
    ]


def _ratio(x: Tensor) -> Tensor:
    """The ratio x / (exp(x) - 1), which is one at zero."""
    return (x / torch.expm1(x)).nan_to_num(nan=1.0)

"""The neuron of Hodgkin and Huxley against scipy's solver, and its noise and features against closed forms."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.signal import find_peaks

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.inference import tasks
from counterflow.inference.tasks import StepCurrent, membrane_voltage, voltage_features

USUAL = [50.0, 5.0, 0.1, 0.07, 600.0, -60.0, 0.0, -70.0]
FAST = [75.0, 12.0, 0.3, 0.02, 1000.0, -65.0, 0.0, -60.0]
SHORT = StepCurrent(onset=5.0, offset=30.0, duration=35.0, step=0.0125)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def ratio(x):
    return x / np.expm1(x) if abs(x) > 1e-7 else 1 - x / 2


def gates(voltage, threshold):
    """Opening and closing rates as Pospischil et al. print them."""
    u = voltage - threshold
    return [
        (0.32 * 4 * ratio((13 - u) / 4), 0.28 * 5 * ratio((u - 40) / 5)),
        (0.128 * np.exp((17 - u) / 18), 4 / (1 + np.exp((40 - u) / 5))),
        (0.032 * 5 * ratio((15 - u) / 5), 0.5 * np.exp((10 - u) / 40)),
    ]


def solved(theta, stimulus):
    """The voltage by scipy, piece by piece where the current is constant."""
    sodium, potassium, leak, slow, tau_max, threshold, _, rest = theta

    def field(current, y):
        voltage, m, h, n, p = y
        ionic = sodium * m**3 * h * (53 - voltage) + (potassium * n**4 + slow * p) * (-107 - voltage)
        open_, pace = 1 / (1 + np.exp(-(voltage + 35) / 10)), 3.3 * np.exp((voltage + 35) / 20)
        pace = (pace + np.exp(-(voltage + 35) / 20)) / tau_max
        moved = [a * (1 - q) - b * q for (a, b), q in zip(gates(voltage, threshold), (m, h, n), strict=True)]
        return [ionic + leak * (rest - voltage) + current, *moved, (open_ - p) * pace]

    y = [-70.0, *(a / (a + b) for a, b in gates(-70.0, threshold)), 1 / (1 + np.exp(3.5))]
    times, traces = stimulus.times.double().numpy(), []
    ends = [0.0, stimulus.onset, stimulus.offset, stimulus.duration]
    for begin, end, current in zip(ends[:-1], ends[1:], (0.0, stimulus.density, 0.0), strict=True):
        inside = times[(times > begin + 1e-4) & (times < end - 1e-4)]
        found = solve_ivp(
            lambda t, y, current=current: field(current, y),
            (begin, end),
            y,
            t_eval=[begin, *inside, end],
            method="LSODA",
            rtol=1e-9,
            atol=1e-9,
        )
        traces.append(found.y[0, :-1])
        y = found.y[:, -1]
    return np.append(np.concatenate(traces), y[0])


@pytest.mark.parametrize("theta", [USUAL, FAST], ids=["usual", "fast"])
def test_voltages_are_those_of_scipy_to_second_order(theta):
    """Halving the step quarters the error, and what two steps have in common is extrapolated away."""
    parameters, voltages = torch.tensor([theta], dtype=torch.float64), []
    truth = solved(theta, SHORT)
    assert truth.max() > 20  # it spikes
    for refined in (4, 2, 1):
        stimulus = StepCurrent(onset=5.0, offset=30.0, duration=35.0, step=0.0125 * refined)
        voltages.append(membrane_voltage(parameters, stimulus)[0].numpy()[:: 4 // refined])
    errors = [np.abs(voltage - truth[::4]).mean() for voltage in voltages]
    assert 3 < errors[0] / errors[1] < 5.5
    assert 3 < errors[1] / errors[2] < 5.5
    assert np.abs((4 * voltages[2] - voltages[1]) / 3 - truth[::4]).mean() < errors[2] / 5


def test_many_rows_are_a_loop_in_single_precision_too():
    theta = torch.tensor([USUAL, FAST])
    stimulus = StepCurrent(onset=2.0, offset=12.0, duration=12.0)
    together = membrane_voltage(theta, stimulus)
    assert together.dtype == torch.float32
    for row, voltage in zip(theta, together, strict=True):
        assert torch.equal(membrane_voltage(row[None], stimulus)[0], voltage)
    assert (together - membrane_voltage(theta.double(), stimulus)).abs().max() < 0.05


def test_noise_without_channels_is_an_ornstein_uhlenbeck_process():
    r"""With the leak alone the voltage has mean E + I / g and variance :math:`\sigma^2 / 2 g`, in the long run."""
    leak, noise = 0.5, 0.3
    theta = torch.tensor([[0.0, 0.0, leak, 0.0, 100.0, -60.0, noise, -65.0]]).expand(4000, -1).double()
    stimulus = StepCurrent(onset=0.5, offset=30.0, duration=30.0, step=0.25)
    last = membrane_voltage(theta, stimulus, generator=generator())[:, -1].numpy()
    law = stats.norm(-65 + stimulus.density / leak, noise / (2 * leak) ** 0.5)
    assert stats.kstest(last, law.cdf).pvalue > 0.001


def test_every_corner_of_the_prior_is_finite():
    prior = tasks.hodgkin_huxley().prior
    corners = torch.tensor(list(product(*zip(prior.low.tolist(), prior.high.tolist(), strict=True))))
    voltage = membrane_voltage(corners, StepCurrent(onset=1.0, offset=14.0, duration=15.0), generator=generator())
    assert voltage.isfinite().all()
    highest = 53 + StepCurrent().density * 13  # where all channels are shut, the current charges the membrane
    assert -108 < float(voltage.min()) < float(voltage.max()) < highest


def test_features_by_scipy():
    """Spikes are scipy's peaks, and moments scipy's."""
    stimulus = StepCurrent(onset=10.0, offset=28.0, duration=32.0, step=0.1)
    times = stimulus.times.double()
    voltage = (-60 + 55 * (times * 1.7).sin() + times)[None]
    on = voltage[0, (times > 10.05) & (times < 27.95)].numpy()
    spikes = len(find_peaks(on, height=-10)[0])
    rest = voltage[0, times < 9.95]
    expected = [
        spikes,
        float(rest.mean()),
        np.log(voltage[0, (times > 8.95) & (times < 9.95)].numpy().std()),
        on.mean(),
        np.log(on.std()),
        stats.skew(on),
        np.log(stats.kurtosis(on, fisher=False)),
    ]
    assert spikes > 3
    assert voltage_features(voltage, stimulus)[0].numpy() == pytest.approx(expected, rel=1e-9)


def test_the_task_gives_features_of_its_traces():
    stimulus = StepCurrent(onset=2.0, offset=8.0, duration=10.0)
    task = tasks.hodgkin_huxley(stimulus)
    theta = task.prior.sample(5, generator=generator())
    voltage = membrane_voltage(theta, stimulus, generator=generator(1))
    assert torch.equal(task.simulator(theta, generator(1)), voltage_features(voltage, stimulus))
    assert task.data_features == len(tasks.FEATURES) == 7
    assert task.parameters == tasks.PARAMETERS
    with pytest.raises(ArgumentError, match="no likelihood"):
        task.log_likelihood(torch.zeros(7), theta)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="onset, offset and duration must ascend"):
        StepCurrent(onset=20.0, offset=10.0)
    with pytest.raises(ShapeError, match="theta must have shape"):
        membrane_voltage(torch.zeros(2, 7))
    with pytest.raises(ShapeError, match="voltage must have shape"):
        voltage_features(torch.zeros(2, 7))

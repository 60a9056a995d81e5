"""Hodgkin-Huxley: eight parameters of a neuron, from seven numbers about the voltage that one recorded."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.inference.priors import BoxUniform
from counterflow.inference.tasks.neuron import PARAMETERS, StepCurrent, membrane_voltage
from counterflow.inference.tasks.task import Task
from counterflow.inference.tasks.voltage_features import FEATURES, voltage_features

__all__ = ["hodgkin_huxley"]

_LOW = (0.5, 1e-4, 1e-4, 1e-4, 50.0, -90.0, 1e-4, -100.0)
_HIGH = (80.0, 15.0, 0.6, 0.6, 3000.0, -40.0, 0.15, -35.0)


def hodgkin_huxley(stimulus: StepCurrent | None = None) -> Task:
    r"""Make the task of a neuron's eight parameters, given seven features of its voltage while a current flows.

    The parameters are those of Goncalves et al. (2020): the conductances of sodium, potassium, leak and slow (M)
    potassium channels, the slowest time constant of the last, the voltage :math:`V_T` by which thresholds shift, the
    strength of the noise and the leak's reversal potential, each uniform over the range that is plausible for them.
    Here voltages keep their sign, where the authors' code has :math:`-V_T` and :math:`-E_{leak}`.

    Args:
        stimulus: The current that is injected; ``None`` for the usual step of 100 ms.

    Returns:
        The task, without likelihood: simulations are all there is.

    Reference:
        Goncalves et al., "Training deep neural density estimators to identify mechanistic models of neural dynamics",
        2020, figure 4 and its methods.

    Example:
        >>> task = hodgkin_huxley()
        >>> x = task.simulator(torch.tensor([[50.0, 5.0, 0.1, 0.07, 600.0, -60.0, 0.1, -70.0]]), None)
        >>> int(x[0, 0])  # spikes
        5
    """
    return Task(
        name="hodgkin_huxley",
        prior=BoxUniform(_LOW, _HIGH),
        simulator=partial(_simulate, stimulus=stimulus or StepCurrent()),
        parameters=PARAMETERS,
        data_features=len(FEATURES),
    )


def _simulate(
    theta: Float[Tensor, "rows 8"], generator: torch.Generator | None, *, stimulus: StepCurrent
) -> Float[Tensor, "rows 7"]:
    return voltage_features(membrane_voltage(theta, stimulus, generator=generator), stimulus)

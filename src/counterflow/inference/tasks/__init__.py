"""Tasks of simulation-based inference: the benchmark of Lueckmann et al. (2021), and a neuron of Hodgkin and Huxley.

Each is a :class:`Task`: a prior, a simulator ``simulator(theta, generator)`` and, where they are known, the likelihood
and a sampler of the exact posterior.
"""

from collections.abc import Callable

from counterflow.core.errors import ArgumentError
from counterflow.inference.tasks._bernoulli_glm import bernoulli_glm, bernoulli_glm_raw
from counterflow.inference.tasks._gaussian_linear import gaussian_linear
from counterflow.inference.tasks._gaussian_linear_uniform import gaussian_linear_uniform
from counterflow.inference.tasks._gaussian_mixture import gaussian_mixture
from counterflow.inference.tasks._hodgkin_huxley import hodgkin_huxley
from counterflow.inference.tasks._lotka_volterra import lotka_volterra
from counterflow.inference.tasks._sir import sir
from counterflow.inference.tasks._slcp import slcp
from counterflow.inference.tasks._slcp_distractors import slcp_distractors
from counterflow.inference.tasks._two_moons import two_moons
from counterflow.inference.tasks.neuron import PARAMETERS, StepCurrent, membrane_voltage
from counterflow.inference.tasks.task import PosteriorSampler, Task
from counterflow.inference.tasks.voltage_features import FEATURES, voltage_features
from counterflow.tables.hints import did_you_mean, listed

__all__ = [
    "FEATURES",
    "NAMES",
    "PARAMETERS",
    "PosteriorSampler",
    "StepCurrent",
    "Task",
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "by_name",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "hodgkin_huxley",
    "lotka_volterra",
    "membrane_voltage",
    "sir",
    "slcp",
    "slcp_distractors",
    "two_moons",
    "voltage_features",
]

_TASKS: dict[str, Callable[[], Task]] = {
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear_uniform,
    "slcp": slcp,
    "slcp_distractors": slcp_distractors,
    "bernoulli_glm": bernoulli_glm,
    "bernoulli_glm_raw": bernoulli_glm_raw,
    "gaussian_mixture": gaussian_mixture,
    "two_moons": two_moons,
    "sir": sir,
    "lotka_volterra": lotka_volterra,
}

NAMES = tuple(_TASKS)
"""The ten tasks of the benchmark, of eight simulators, in its order."""


def by_name(name: str) -> Task:
    """Make a task of the benchmark by its name.

    Args:
        name: One of :data:`NAMES`.

    Raises:
        ArgumentError: There is no task of that name.

    Example:
        >>> by_name("sir").parameters
        ('beta', 'gamma')
    """
    if name not in _TASKS:
        raise ArgumentError(f"name must be one of {listed(NAMES)}, got {name!r}.{did_you_mean(name, NAMES)}")
    return _TASKS[name]()

"""Reference posteriors of the benchmark of simulation-based inference, as its owners ship them or in one file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError
from counterflow.datasets.listings import find

__all__ = ["ReferencePosterior", "reference_posterior"]

_VARIANTS = {
    "slcp_distractors": ("slcp", "observation_distractors"),
    "bernoulli_glm_raw": ("bernoulli_glm", "observation_raw"),
}
"""Tasks that share the posteriors of another, and what their own observation is called."""


@dataclass(frozen=True, eq=False)
class ReferencePosterior:
    """What is known of one observation of a task.

    Args:
        name: The task.
        observation: The data, ``(data_features,)``.
        true_parameters: The parameters that they were simulated from.
        draws: Draws of the posterior, usually 10,000.
    """

    name: str
    observation: Float[Tensor, " data"] = field(repr=False)
    true_parameters: Float[Tensor, " parameters"] = field(repr=False)
    draws: Float[Tensor, "count parameters"] = field(repr=False)


def reference_posterior(folder: str | Path, name: str, *, observation: int = 1) -> ReferencePosterior:
    """Read an observation of a task of the benchmark, the parameters behind it, and draws of its posterior.

    The folder is ``sbibm/tasks`` of the package ``sbibm`` (``pip install --no-deps sbibm``), with
    ``two_moons/files/num_observation_1/reference_posterior_samples.csv.bz2`` and so on; or it holds ``two_moons.npz``
    with the arrays ``observation``, ``true_parameters`` and ``reference_posterior`` of all ten observations.

    Args:
        folder: Where the files lie.
        name: One of :data:`counterflow.inference.tasks.NAMES`.
        observation: Which of the ten, counted from 1 as the benchmark does.

    Raises:
        DataError: The folder or a file is missing, or a file is damaged.
        ArgumentError: There is no observation of that number.

    Reference:
        Lueckmann, Boelts, Greenberg, Goncalves, Macke, "Benchmarking simulation-based inference", 2021.

    Example:
        >>> reference_posterior("/no/such/folder", "two_moons")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: there is no folder '/no/such/folder'. Unpack the data set and name ...
    """
    check_count(observation, "observation")
    home, data = _VARIANTS.get(name, (name, "observation"))
    path = find(folder, [f"{home}.npz", f"{home}/files"])
    names = {"observation": data, "true_parameters": "true_parameters", "draws": "reference_posterior"}
    try:
        read = _gathered(path, names, observation) if path.is_file() else _shipped(path, names, observation)
    except ArgumentError:
        raise
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"'{path}' cannot be read as reference posteriors: {error!r}. Fetch it again.") from error
    return ReferencePosterior(name, **{key: torch.from_numpy(value).float() for key, value in read.items()})


def _gathered(path: Path, names: Mapping[str, str], observation: int) -> dict[str, np.ndarray]:
    """One file with all observations."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        if observation > len(arrays[names["observation"]]):
            raise _unknown(path, observation, len(arrays[names["observation"]]))
        return {key: arrays[name][observation - 1] for key, name in names.items()}


def _shipped(path: Path, names: Mapping[str, str], observation: int) -> dict[str, np.ndarray]:
    """A folder for each observation, with a heading in each file."""
    folders = sorted(path.glob("num_observation_*"))
    here = path / f"num_observation_{observation}"
    if here not in folders:
        raise _unknown(path, observation, len(folders))
    files = {"reference_posterior": "reference_posterior_samples.csv.bz2"}
    read = {
        key: np.loadtxt(here / files.get(name, f"{name}.csv"), delimiter=",", skiprows=1, ndmin=2)
        for key, name in names.items()
    }
    return {key: value if key == "draws" else value[0] for key, value in read.items()}


def _unknown(path: Path, observation: int, there: int) -> ArgumentError:
    return ArgumentError(f"observation must be from 1 to {there} in '{path}', got {observation}. Choose one of these.")

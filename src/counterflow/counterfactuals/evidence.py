"""What the pictures of an answer are drawn from: densities and a map, but no row of the training table."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Evidence", "map_projection"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Numbers behind the pictures.

    Args:
        scale: The standardized unit of each column.
        density_class: For each answer the class under whose density it is judged: the desired one, or the bin of a
            regressor's value.
        thresholds: For each such class, the log-density that ``min_plausibility`` asks for.
        calibration: For each such class, the log-densities of held-out real rows.
        factual_log_density: Of each answer's factual under that class.
        map_labels: The class of each made-up row of the map.
        map_rows: Two coordinates of rows that the flows made up, the background of the map.
        map_factuals: The same coordinates of each answer's factual.
        map_answers: The same coordinates of each answer.
    """

    scale: Float[np.ndarray, " columns"]
    density_class: list[str]
    thresholds: dict[str, float]
    calibration: dict[str, list[float]]
    factual_log_density: Float[np.ndarray, " answers"]
    map_labels: list[str]
    map_rows: Float[np.ndarray, "made_up 2"]
    map_factuals: Float[np.ndarray, "answers 2"]
    map_answers: Float[np.ndarray, "answers 2"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; infinities as text."""
        data = asdict(self)
        return {key: _plain(value) for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Evidence":
        """Read what :meth:`to_dict` gave."""
        return cls(
            scale=_array(data["scale"]),
            density_class=list(data["density_class"]),
            thresholds={key: float(value) for key, value in data["thresholds"].items()},
            calibration={key: [float(v) for v in value] for key, value in data["calibration"].items()},
            factual_log_density=_array(data["factual_log_density"]),
            map_labels=list(data["map_labels"]),
            map_rows=_array(data["map_rows"]).reshape(-1, 2),
            map_factuals=_array(data["map_factuals"]).reshape(-1, 2),
            map_answers=_array(data["map_answers"]).reshape(-1, 2),
        )


def _array(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    return value


def map_projection(
    pool: Float[Tensor, "made_up columns"], scale: Float[Tensor, " columns"]
) -> Callable[[Tensor], np.ndarray]:
    """A linear map to the two directions in which made-up rows of all classes differ most."""
    units = (pool / scale).nan_to_num(0.0)
    center = units.mean(0)
    _, _, directions = torch.linalg.svd(units - center, full_matrices=False)
    plane = directions[:2].T
    plane = plane * torch.sign(plane.sum(0)).where(plane.sum(0) != 0, torch.ones(2, dtype=plane.dtype))

    def project(numbers: Tensor) -> np.ndarray:
        return (((numbers / scale).nan_to_num(0.0) - center) @ plane).numpy()

    return project

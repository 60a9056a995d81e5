"""What the pictures of an answer are drawn from: densities and a map, but no row of the training table."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["Evidence"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Numbers behind the pictures.

    Args:
        scale: The standardized unit of each column.
        thresholds: For each desired class, the log-density that ``min_plausibility`` asks for.
        calibration: For each desired class, the log-densities of held-out real rows.
        factual_log_density: Of each answer's factual under the desired class.
        map_labels: The class of each made-up row of the map.
        map_rows: Two coordinates of rows that the flows made up, the background of the map.
        map_factuals: The same coordinates of each answer's factual.
        map_answers: The same coordinates of each answer.
    """

    scale: Float[np.ndarray, " columns"]
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
        arrays = ("scale", "factual_log_density", "map_rows", "map_factuals", "map_answers")
        values = {key: np.array(value, dtype=np.float64) if key in arrays else value for key, value in data.items()}
        for name in arrays[2:]:
            values[name] = values[name].reshape(-1, 2)
        values["thresholds"] = {key: float(value) for key, value in data["thresholds"].items()}
        values["calibration"] = {key: [float(v) for v in value] for key, value in data["calibration"].items()}
        return cls(**values)


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

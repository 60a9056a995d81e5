"""Rows as a method reads them: x standardized, and a horizon beside it."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.nets import ObservationReader, make_embedding
from counterflow.regression.density import WithHorizon

__all__ = ["HorizonReader"]

HORIZONS = 2
"""A horizon enters as itself and as its logarithm, both standardized."""


class HorizonReader:
    r"""Standardize x, and put the horizon h beside it as :math:`[h, \log h]`, standardized as well.

    Args:
        observations: What standardizes x.
        horizons: What standardizes the horizon; ``None`` without one.
    """

    def __init__(self, observations: ObservationReader, horizons: ObservationReader | None = None) -> None:
        self.observations, self.horizons = observations, horizons

    @classmethod
    def of(cls, x: Float[Tensor, "rows *shape"], horizon: Float[Tensor, " rows"] | None) -> "HorizonReader":
        """Learn from training rows."""
        observations = ObservationReader(tuple(x.shape[1:]), missing=bool(x.isnan().any())).to(x.dtype)
        observations.learn(x)
        if horizon is None:
            return cls(observations)
        horizons = ObservationReader((HORIZONS,)).to(x.dtype)
        horizons.learn(_pair(horizon, len(x)))
        return cls(observations, horizons)

    def read(self, x: Float[Tensor, "rows *shape"], horizon: Float[Tensor, "*_"] | None = None) -> Tensor:
        """Read rows.

        Raises:
            ShapeError: If x has another shape than in training, or the horizon is not one for each row.
            ArgumentError: If a horizon is missing, not asked for or not above zero, or x is not finite.
        """
        if (horizon is None) != (self.horizons is None):
            raise ArgumentError(
                "horizon must be given, as in training."
                if horizon is None
                else "horizon was not learned from: leave it out."
            )
        read = self.observations(x)
        if horizon is None or self.horizons is None:
            return read
        return torch.cat([read.flatten(1), self.horizons(_pair(horizon, len(x)).to(read))], 1)

    def build(self, method: Any, *, generator: torch.Generator | None) -> tuple[nn.Module, int]:
        """Build a method's embedding of what is read, and say how long its vectors are."""
        net, outputs = make_embedding(method.embedding, self.observations, generator=generator)
        if self.horizons is None:
            return net, outputs
        return WithHorizon(net, self.observations.read_shape, HORIZONS), outputs + HORIZONS

    def first_layers(self, targets: int, length: int) -> list[AbstractBijection]:
        """What comes before a flow that is steered by vectors of that length: nothing."""
        return []

    def to_parts(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """Plain settings and tensors, part by part."""
        config = {"observations": self.observations.config, "horizon": self.horizons is not None}
        parts = {"observations": dict(self.observations.state_dict())}
        return config, parts if self.horizons is None else {**parts, "horizons": dict(self.horizons.state_dict())}

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], parts: Mapping[str, Mapping[str, Tensor]]) -> "HorizonReader":
        """Read what :meth:`to_parts` gave."""
        how = config["observations"]
        observations = ObservationReader(tuple(how["shape"]), missing=how["missing"])
        horizons = ObservationReader((HORIZONS,)) if config["horizon"] else None
        for reader, name in ((observations, "observations"), (horizons, "horizons")):
            if reader is not None:
                reader.double().load_state_dict(dict(parts[name]))
        return cls(observations, horizons)


def _pair(horizon: Tensor, rows: int) -> Tensor:
    horizon = torch.as_tensor(horizon)
    if horizon.dim() == 0:
        horizon = horizon.expand(rows)
    if horizon.shape != (rows,):
        raise ShapeError(
            f"horizon must be one number or one for each of the {rows} rows, got shape {tuple(horizon.shape)}."
        )
    if not bool((horizon > 0).all()):
        raise ArgumentError("horizon must be above zero: it is how long after x the target lies. Check its signs.")
    return torch.stack([horizon, horizon.log()], 1)

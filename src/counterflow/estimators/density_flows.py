"""The flow of a density estimator: built by name or by a function, started as a Gaussian, trained on a table."""

import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor, nn

from counterflow.bijections import Chain, LowerTriangular, Whitening
from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import FitOutcome
from counterflow.flows import RECIPES, TABLE_RECIPES, Flow, from_config
from counterflow.tables import FlowEncoding, dequantizer
from counterflow.tables.hints import did_you_mean, listed
from counterflow.training import FitReport, fit

__all__ = ["FlowBuilder", "build_flow", "held_out_share", "rebuild_flow", "train_flow", "whiten"]

FlowBuilder = Callable[..., Flow]

FEWEST_TO_TRAIN = 50
FEWEST_HELD_OUT = 25
_START_DRAWS = 8
_RIDGE = 1e-5


def build_flow(
    flow: Any,
    features: int,
    *,
    layers: int | None,
    hidden: Any,
    generator: torch.Generator,
) -> Flow:
    """Build the flow that a user named, or let their function build it.

    A recipe's flow gets a whitening in front, so that it begins as the Gaussian of its data; a linear flow is one
    already, and a flow that a function built is left as it is.

    Args:
        flow: The name of a recipe, or ``flow(features)``, which may also take ``generator=``.
        features: Number of the encoding's coordinates.
        layers: How many layers; ``None`` for as many as the recipe has by default.
        hidden: Widths of the nets' hidden layers.
        generator: Where initial weights come from.

    Returns:
        The flow, untrained.

    Raises:
        ArgumentError: No recipe has that name, it has no layers to choose, or the function built something else.

    Example:
        >>> flow = build_flow("maf", 3, layers=2, hidden=(8,), generator=torch.Generator())
        >>> flow.config["recipe"], type(flow.bijection.parts[0]).__name__
        ('maf', 'Whitening')
    """
    if callable(flow):
        return _built_by(flow, features, generator)
    if flow not in TABLE_RECIPES:
        names = listed(sorted(TABLE_RECIPES), limit=20)
        raise ArgumentError(
            f"flow must be a function that builds a flow or one of {names}, got {flow!r}."
            f"{did_you_mean(flow, TABLE_RECIPES)}"
        )
    settings: dict[str, Any] = {"hidden": _widths(hidden)}
    if layers is not None:
        _check_takes(flow, "layers")
        settings["layers"] = layers
    return _whitened(RECIPES[flow](features, generator=generator, **settings))


def rebuild_flow(config: dict[str, Any], *, whitened: bool) -> Flow:
    """Build a flow again from its ``config``, with fresh weights."""
    return _whitened(from_config(config)) if whitened else from_config(config)


def _whitened(flow: Flow) -> Flow:
    if isinstance(flow.bijection, LowerTriangular):
        return flow
    parts = flow.bijection.parts if isinstance(flow.bijection, Chain) else (flow.bijection,)
    return Flow(Chain([Whitening(flow.features), *parts]), flow.base, config=flow.config)


def _widths(hidden: Any) -> tuple[int, ...]:
    try:
        return tuple(hidden)
    except TypeError:
        raise ArgumentError(f"hidden must be a tuple of widths such as (64, 64), got {hidden!r}.") from None


def _check_takes(name: str, setting: str) -> None:
    if setting not in inspect.signature(RECIPES[name]).parameters:
        raise ArgumentError(f"the {name!r} flow has no {setting} to choose. Leave {setting}=None.")


def _built_by(build: Callable[..., object], features: int, generator: torch.Generator) -> Flow:
    takes = inspect.signature(build).parameters
    flow = build(features, generator=generator) if "generator" in takes else build(features)
    if not isinstance(flow, Flow) or flow.event_shape != (features,) or flow.context_features:
        raise ArgumentError(
            f"flow must build an unconditional Flow over {features} features when called with flow({features}), "
            f"got {_shown(flow)}. Pass a function such as flows.maf."
        )
    return flow


def _shown(flow: object) -> str:
    if not isinstance(flow, Flow):
        return type(flow).__name__
    return f"one of points of shape {flow.event_shape} with {flow.context_features} context features"


def train_flow(
    flow: Flow,
    encoding: FlowEncoding,
    numbers: Float[np.ndarray, "rows columns"],
    *,
    weights: Float[np.ndarray, " rows"] | None = None,
    train: Callable[..., FitReport] = fit,
) -> FitReport:
    """Fit the flow to the encoded rows: in closed form where there is one, else by maximum likelihood from a start.

    A linear flow is set to the normal density of highest likelihood. Fewer than 50 rows teach a flow with a whitening
    nothing beyond that whitening, which is then set to the shrunk normal density of all rows and left there. Everything
    else is trained.

    Args:
        flow: The flow, changed in place.
        encoding: Between rows and its points; discrete values get fresh noise in every batch.
        numbers: The rows.
        weights: How much each row counts.
        train: :func:`counterflow.training.fit` with the settings of the user.

    Returns:
        How it went; no epochs where a closed form did it.
    """
    start = time.perf_counter()
    whitening = _whitening_of(flow)
    if isinstance(flow.bijection, LowerTriangular) and weights is None:
        points, log_weight = _start_points(encoding, numbers)
        flow.double().initialize(points)
    elif whitening is not None and len(numbers) < FEWEST_TO_TRAIN:
        points, log_weight = _start_points(encoding, numbers)
        repeats = len(points) // len(numbers)
        whiten(flow.double(), points, weights=None if weights is None else np.tile(weights, repeats), repeats=repeats)
    else:
        return _trained(flow, encoding, numbers, weights=weights, train=train)
    loss = -float((flow(points) + log_weight).mean().detach())
    return FitReport(loss, 0, 0, time.perf_counter() - start, FitOutcome.CONVERGED, ())


def held_out_share(share: float, rows: int) -> float:
    """The share of rows to hold out: that wanted, but enough to judge by, 25 or a quarter of the rows.

    Example:
        >>> held_out_share(0.1, 1000), held_out_share(0.1, 80), held_out_share(0.0, 80)
        (0.1, 0.25, 0.0)
    """
    return max(share, min(FEWEST_HELD_OUT, rows // 4) / rows) if share > 0 else share


def _whitening_of(flow: Flow) -> Whitening | None:
    first = flow.bijection.parts[0] if isinstance(flow.bijection, Chain) else None
    return first if isinstance(first, Whitening) else None


def _start_points(encoding: FlowEncoding, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
    """The encoded rows under a few draws of noise, one below the other, with their log-weights."""
    points, log_weight = encoding.encode(torch.from_numpy(numbers), encoding.fixed_noise(_START_DRAWS))
    return points.reshape(-1, encoding.dimension), log_weight.reshape(-1)


def _trained(
    flow: Flow,
    encoding: FlowEncoding,
    numbers: np.ndarray,
    *,
    weights: np.ndarray | None,
    train: Callable[..., FitReport],
) -> FitReport:
    rows = torch.from_numpy(numbers)
    if encoding.discrete:
        return train(_StartedAsGaussian(flow), rows, weights=weights, augment=dequantizer(encoding))
    points, log_weight = encoding.encode(rows, encoding.center_noise)  # without noise a row is one point
    rows = torch.cat([points, log_weight.unsqueeze(1)], 1)
    return train(_StartedAsGaussian(flow), rows, weights=weights, augment=_split_weight)


def _split_weight(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points whose last column is their log-weight."""
    return rows[:, :-1], rows[:, -1]


class _StartedAsGaussian(nn.Module):
    """A flow for the training loop, which shows it its training rows before the first epoch."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow(x, context)

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        if _whitening_of(self.flow) is not None:
            whiten(self.flow, x)
        self.flow.initialize(x, context)


@torch.no_grad()
def whiten(
    flow: Flow, points: Float[Tensor, "points D"], *, weights: np.ndarray | None = None, repeats: int = 1
) -> None:
    r"""Set the whitening in front of a flow to a normal density that is safe for few points.

    .. math:: \Sigma = \tfrac{n + 1}{n - 1} \left( (1 - s)\, S + s\, \tfrac{\operatorname{tr} S}{D}\, I \right)

    S is the empirical covariance of n points, s the shrinkage of Ledoit and Wolf, which vanishes as n grows, and the
    factor in front allows for the mean and the scale being estimated.

    Args:
        flow: A flow that begins with a whitening, changed in place.
        points: What the flow will see.
        weights: How much each point counts.
        repeats: How many points stand for one row.

    Reference:
        Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, equation 14.
    """
    layer = _whitening_of(flow)
    if layer is None or layer.initialized:
        return
    rows = points.double().cpu().numpy()
    mean = np.average(rows, axis=0, weights=weights)
    covariance = np.atleast_2d(np.cov(rows.T, aweights=weights, ddof=0))
    count = max(2, len(rows) // repeats)
    shrinkage = ledoit_wolf_shrinkage(rows[:count]) if rows.shape[1] > 1 else 0.0
    level = np.trace(covariance) / len(covariance) or 1.0
    target = (shrinkage + _RIDGE) * level * np.eye(len(covariance))
    shrunk = ((1 - shrinkage) * covariance + target) * (count + 1) / (count - 1)
    triangle = torch.from_numpy(np.linalg.inv(np.linalg.cholesky(shrunk)))
    layer.mean.copy_(torch.from_numpy(mean))
    layer.lower.copy_(triangle.tril(-1))
    layer.log_diagonal.copy_(triangle.diagonal().log())
    layer.initialized.fill_(True)

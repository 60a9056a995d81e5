"""The states of a flow between its layers: where points stand, and how dense they stand there."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import AbstractBijection, Chain
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator
from counterflow.flows import Flow

__all__ = ["Limits", "Station", "lattice_lines", "stations_of", "tints"]

Limits = tuple[tuple[float, float], tuple[float, float]]
"""``((x low, x high), (y low, y high))``."""

_LINES, _STEPS = 13, 61  # of the lattice: how many lines each way, and points on each


class Station(NamedTuple):
    """The state after one layer, on the way from the latent to the data.

    Args:
        name: The layer that led here.
        points: Where the samples stand.
        lattice: Where the lines of a square lattice of the latent space lie, one after the other.
        limits: The window through which it is seen.
        density: At the middles of the cells of an even grid over the window, the first index upward.
    """

    name: str
    points: Float[np.ndarray, "samples 2"]
    lattice: Float[np.ndarray, "crossings 2"]
    limits: Limits
    density: Float[np.ndarray, "side side"]


def stations_of(
    flow: Flow,
    *,
    context: Float[Tensor, " c"] | None,
    samples: int,
    limits: Limits | None,
    resolution: int,
    generator: torch.Generator | None,
) -> tuple[Station, ...]:
    """Follow samples, lattice and density of a flow of two features through its layers, from latent to data.

    The state after some layers is a flow itself: these layers over the same base. So its density is exact.

    Raises:
        ShapeError: The flow has not two features.
        ArgumentError: A number is too low.

    Example:
        >>> from counterflow import flows
        >>> flow = flows.realnvp(2, layers=2)
        >>> found = stations_of(flow, context=None, samples=5, limits=None, resolution=10, generator=None)
        >>> [state.name for state in found]
        ['latent', 'Coupling', 'Coupling', 'ActNorm']
    """
    check_count(samples, "samples")
    check_count(resolution, "resolution", minimum=10)
    if tuple(flow.event_shape) != (2,):
        raise ShapeError(
            f"the flow must have event shape (2,), got {tuple(flow.event_shape)}. Take a flow of the plane."
        )
    parts = _parts(flow.bijection)
    with torch.no_grad():
        z = flow.base.sample(samples, generator=generator or make_generator(0, flow.device))
        moved = _moved(parts, torch.cat([z, _lattice(z)]), context)
    points = [step[:samples].double().cpu().numpy() for step in moved]
    lattices = [step[samples:].double().cpu().numpy() for step in moved]
    names = ["latent", *(type(part).__name__ for part in reversed(parts))]
    windows = [_window(some) if limits is None else limits for some in points]
    densities = [
        _density(flow, parts[len(parts) - done :], context, window, resolution) for done, window in enumerate(windows)
    ]
    return tuple(map(Station, names, points, lattices, windows, densities))


def lattice_lines(lattice: Float[np.ndarray, "crossings 2"]) -> Float[np.ndarray, "lines steps 2"]:
    """The lines of a lattice, one by one."""
    return lattice.reshape(2 * _LINES, _STEPS, 2)


def tints(density: Float[np.ndarray, "side side"]) -> Float[np.ndarray, "side side"]:
    r"""How strongly a density is painted, from 0 to 1: its root, as faint parts matter too.

    .. math:: \sqrt{p / p_{\max}}, \quad p_{\max} \text{ the 99.8% quantile}

    Example:
        >>> tints(np.array([[0.0, 1.0], [4.0, 4.0]]))
        array([[0. , 0.5], [1. , 1. ]])
    """
    highest = float(np.quantile(density, 0.998))
    return np.sqrt((density / highest).clip(0.0, 1.0)) if highest > 0 else np.zeros_like(density)


def _parts(bijection: AbstractBijection) -> list[AbstractBijection]:
    """The layers from data to latent; chains within chains are taken apart."""
    if isinstance(bijection, Chain):
        return [layer for part in bijection.parts for layer in _parts(part)]
    return [bijection]


def _moved(parts: list[AbstractBijection], z: Tensor, context: Tensor | None) -> list[Tensor]:
    """Points of the latent after no layer, after one, and so on."""
    states = [z]
    for part in reversed(parts):
        states.append(part.to_data(states[-1], context)[0])
    return states


def _lattice(z: Float[Tensor, "samples 2"]) -> Float[Tensor, "crossings 2"]:
    """Lines both ways over the part of the latent space where the samples lie."""
    low, high = z.amin(0), z.amax(0)
    fine, coarse = (torch.linspace(0, 1, count, dtype=z.dtype, device=z.device) for count in (_STEPS, _LINES))
    upright = torch.cartesian_prod(coarse, fine)
    return low + (high - low) * torch.cat([upright, upright.flip(1)])


def _window(points: Float[np.ndarray, "samples 2"]) -> Limits:
    """A square window in which nearly all points lie."""
    if not np.isfinite(points).all():
        raise ArgumentError("the samples are not finite after some layer. Give a flow whose training went well.")
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    half, middle = 0.6 * float((high - low).max()) + 1e-9, (low + high) / 2
    return (float(middle[0] - half), float(middle[0] + half)), (float(middle[1] - half), float(middle[1] + half))


def _density(
    flow: Flow, layers: list[AbstractBijection], context: Tensor | None, limits: Limits, resolution: int
) -> Float[np.ndarray, "side side"]:
    """The density after the last of the layers given, at the middles of the cells of a grid."""
    x, y = (low + (high - low) * (np.arange(resolution) + 0.5) / resolution for low, high in limits)
    grid = torch.as_tensor(np.stack(np.meshgrid(x, y), -1), dtype=flow.dtype, device=flow.device).reshape(-1, 2)
    with torch.no_grad():
        z, log_det = Chain(layers).to_latent(grid, context) if layers else (grid, 0.0)
        log_density = flow.base.log_prob(z) + log_det
    return np.nan_to_num(np.exp(log_density.double().cpu().numpy())).reshape(resolution, resolution)

"""Fitting a continuous flow without solving its equation: flow matching on the library's one training loop."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, Chain, Continuous
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.random import derive_seed, make_generator
from counterflow.distributions import AbstractDistribution
from counterflow.flows.flow import Flow
from counterflow.training import (
    Batch,
    FitReport,
    Logger,
    TensorBatches,
    TrainingSettings,
    flow_matching_loss,
    optimal_assignment,
    optimise,
)
from counterflow.training.batches import Array
from counterflow.training.data import checked_rows, hold_out
from counterflow.training.place import at_work, find_place

__all__ = ["fit_flow_matching"]

Coupling = Literal["independent", "optimal_transport"]

_HELD_OUT_DRAWS = 8
"""So many times and noise points are fixed for every held-out row."""


def fit_flow_matching(
    flow: Flow,
    x: Array,
    *,
    context: Array | None = None,
    weights: Array | None = None,
    coupling: Coupling = "independent",
    embedding: nn.Module | None = None,
    validation: float | tuple[Array, Array | None] = 0.1,
    settings: TrainingSettings | None = None,
    batch_size: int = 256,
    device: str | torch.device = "auto",
    precision: Literal["float32", "float64"] = "float32",
    generator: torch.Generator | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Fit a continuous flow by flow matching: no equation is solved while it trains.

    .. math:: \min_v \; \mathbb{E}_{t, x, z} \left\| v(t, (1 - t) x + t z, c) - (z - x) \right\|^2 / D

    Layers before the equation (normalization) see the data first and are kept as they are then. Afterwards
    ``flow.log_prob`` is the density of the equation with the velocity found, and ``flow.sample`` solves it backward.

    Args:
        flow: A flow that ends in one :class:`counterflow.bijections.Continuous`, such as ``flows.continuous(...)``.
        x: Training points, shape (rows, features).
        context: One context per row.
        weights: One weight of at least 0 per row; only their ratios count.
        coupling: Which noise point a data point goes to: any (``"independent"``), or within a batch those that make
            the ways shortest (``"optimal_transport"``), which straightens the flow, so that a solver needs fewer
            steps. The latter is for flows without a context: it would make the noise depend on the context.
        embedding: A network that turns ``context`` (of any shape) into what the flow takes, and is trained with it;
            layers before the equation see what it gives at the start. Afterwards call ``flow(x, embedding(context))``.
        validation: The share of rows held out, in [0, 1), or ``(x, context)``; their loss, for times and noise drawn
            once, decides when to stop.
        settings: Epochs, learning rate and so on; ``None`` for the defaults.
        batch_size: The most rows of a batch.
        device: Where to train; ``"auto"`` is CUDA where there is a GPU, else the CPU.
        precision: The dtype to train in.
        generator: Where the randomness comes from.
        checkpoint: A folder that follows the run.
        resume: Go on from the checkpoint.
        on_epoch: Called with the record of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report; its losses are mean squared errors of the velocity, not log-densities.

    Raises:
        ArgumentError: The flow does not end in one equation, or a setting is out of its range.
        DataError: There are fewer than two rows, or the held-out share leaves none on one side.

    Reference:
        Lipman et al., "Flow Matching for Generative Modeling", 2023, section 4; Tong et al., "Improving and
        generalizing flow-based generative models with minibatch optimal transport", 2024, section 3.2.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> flow = flows.continuous(2, hidden=(16, 16), generator=generator)
        >>> x = 3 + 2 * torch.randn(500, 2, generator=generator)
        >>> settings = TrainingSettings(max_epochs=5, progress=False)
        >>> report = fit_flow_matching(flow, x, settings=settings, generator=generator)
        >>> report.epochs, round(flow(x).mean().item())
        (5, -4)
    """
    check_count(batch_size, "batch_size")
    before, equation = _parts(flow, coupling)
    place = find_place(device, precision)
    given = make_generator(generator)
    seed = int(torch.randint(2**62, (), generator=given, device=given.device))
    rows = checked_rows(x, context, weights, raw=False, place=place)
    rows, held = hold_out(rows, validation, seed, raw=False, place=place)
    reading = _Reading(equation.velocity, embedding)
    with at_work(nn.ModuleList([flow, reading]), place):
        with torch.no_grad():
            flow.initialize(rows.x, reading.read(rows.context))
        noise = _Noise(flow.base, coupling)
        rows = _moved(rows, before, reading)
        report = optimise(
            reading,
            _loss,
            lambda source: noise.paired(TensorBatches(rows, batch_size)(source), source),
            validate=None if held is None else _held_out(_moved(held, before, reading), flow.base, seed),
            settings=settings,
            generator=make_generator(seed),
            checkpoint=checkpoint,
            resume=resume,
            identity=[x, context, weights, coupling, batch_size, precision],
            on_epoch=on_epoch,
        )
    flow.eval()
    reading.eval()
    return report


class _Reading(nn.Module):
    """A velocity whose context is read by an embedding."""

    def __init__(self, velocity: nn.Module, embedding: nn.Module | None) -> None:
        super().__init__()
        self.velocity, self.embedding = velocity, embedding

    def read(self, context: Tensor | None) -> Tensor | None:
        """What the velocity takes."""
        return context if context is None or self.embedding is None else self.embedding(context)

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Read the context, and ask the velocity."""
        read = self.read(context)
        return self.velocity(t, x, *(() if read is None else (read,)))


class _Pairs(NamedTuple):
    """Rows of data, noise for each, and times."""

    rows: Batch
    z: Tensor
    t: Tensor


class _Noise:
    """Draws times and points of the base density for batches of data."""

    def __init__(self, base: AbstractDistribution, coupling: Coupling) -> None:
        self._base, self._coupling = base, coupling

    def paired(self, batches: Iterator[Batch], generator: torch.Generator) -> Iterator[_Pairs]:
        """Give every row its noise and its time."""
        for batch in batches:
            yield self.pair(batch, generator)

    @torch.no_grad()
    def pair(self, batch: Batch, generator: torch.Generator) -> _Pairs:
        """Give one batch its noise; the times are spread evenly, each with a shift of its own."""
        z = self._base.rsample((len(batch.x),), generator=generator)
        if self._coupling == "optimal_transport":
            z = z[optimal_assignment(torch.cdist(batch.x, z).square())]
        shifts = torch.rand(len(z), 1, generator=generator, dtype=z.dtype, device=z.device)
        places = torch.randperm(len(z), generator=generator, device=z.device).to(z.dtype).unsqueeze(-1)
        return _Pairs(batch, z, (places + shifts) / len(z))


def _loss(velocity: nn.Module, pairs: _Pairs) -> Tensor:
    rows = pairs.rows
    return flow_matching_loss(velocity, rows.x, z=pairs.z, t=pairs.t, context=rows.context, weights=rows.weights)


def _held_out(held: Batch, base: AbstractDistribution, seed: int) -> Callable[[nn.Module], Tensor]:
    """The loss of held-out rows, with noise and times drawn once."""
    generator = make_generator(derive_seed(seed, "held-out noise"), held.x.device)
    repeated = held.each(lambda column: column.repeat(_HELD_OUT_DRAWS, *(1 for _ in column.shape[1:])))
    pairs = _Noise(base, "independent").pair(repeated, generator)
    return lambda velocity: _loss(velocity, pairs)


@torch.no_grad()
def _moved(rows: Batch, before: list[AbstractBijection], reading: _Reading) -> Batch:
    """The rows as they reach the equation."""
    x, context = rows.x, reading.read(rows.context)
    for bijection in before:
        x, _ = bijection.to_latent(x, context)
    return rows._replace(x=x)


def _parts(flow: Flow, coupling: Coupling) -> tuple[list[AbstractBijection], Continuous]:
    """What comes before the equation, and the equation."""
    parts = list(flow.bijection.parts) if isinstance(flow.bijection, Chain) else [flow.bijection]
    *before, last = parts
    if not isinstance(last, Continuous) or any(isinstance(part, Continuous) for part in before):
        raise ArgumentError(
            "flow must end in its only equation, got "
            f"{' -> '.join(type(part).__name__ for part in parts)}. Build it with flows.continuous(..., layers=1)."
        )
    if coupling not in ("independent", "optimal_transport"):
        raise ArgumentError(
            f"coupling must be 'independent' or 'optimal_transport', got {coupling!r}. Choose one of these."
        )
    if coupling == "optimal_transport" and flow.context_features:
        raise ArgumentError(
            "coupling='optimal_transport' would make the noise depend on the context, and the flow is conditional. "
            "Use coupling='independent'."
        )
    return before, last

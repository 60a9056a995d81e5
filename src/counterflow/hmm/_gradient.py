"""The gradient of the forward algorithm, over windows of the series."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.hmm.blocks import first_rows
from counterflow.hmm.learning import Series, held_out_loss
from counterflow.hmm.likelihood import log_likelihood
from counterflow.hmm.model import FlowMarkovModel
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["Windows", "WithLogits", "fit_gradient", "window_loss"]


class Windows(NamedTuple):
    """Windows of a series, one below the other.

    Args:
        x: The observations, NaN where they are missing or held out.
        lengths: Rows of each window.
        begins: Which windows begin a sequence.
        entry: For the others, the logarithm of what the past says of their first state.
    """

    x: Float[Tensor, "rows features"]
    lengths: list[int]
    begins: Tensor
    entry: Float[Tensor, "windows states"]


class WithLogits(nn.Module):
    """A model whose starts and transitions are trained by gradients, as softmax of free numbers.

    Args:
        model: The model; :meth:`settle` writes its law.
    """

    def __init__(self, model: FlowMarkovModel) -> None:
        super().__init__()
        dtype = model.flows[0].dtype
        self.model = model
        self.start = nn.Parameter(model.log_start.clamp(min=-20.0).to(dtype))
        self.transition = nn.Parameter(model.log_transition.clamp(min=-20.0).to(dtype))

    def forward(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows states"]:
        """The log-density of each observation under each state."""
        return self.model(x)

    @torch.no_grad()
    def settle(self) -> FlowMarkovModel:
        """Write the law into the model."""
        self.model.log_start.copy_(self.start.double().log_softmax(0))
        self.model.log_transition.copy_(self.transition.double().log_softmax(1))
        return self.model


def window_loss(module: Any, windows: Windows) -> Float[Tensor, ""]:
    """Minus the log-likelihood of windows, each given the past, per observation.

    Args:
        module: A :class:`WithLogits`.
        windows: The windows.

    Returns:
        A scalar, in nats.
    """
    start, transition = module.start.double().log_softmax(0), module.transition.double().log_softmax(1)
    entry = torch.where(windows.begins.unsqueeze(1), start, windows.entry)
    density = module(windows.x)
    density = density.index_add(0, first_rows(windows.lengths), entry)
    total = log_likelihood(
        density, log_start=torch.zeros_like(start), log_transition=transition, lengths=windows.lengths
    )
    return -total / len(windows.x)


def fit_gradient(
    model: FlowMarkovModel,
    series: Series,
    *,
    settings: TrainingSettings,
    window: int = 100,
    batch_size: int = 1000,
    generator: torch.Generator,
) -> FitReport:
    r"""Train by the gradient of the forward algorithm.

    .. math:: \max_\theta \sum_w \log p_\theta(x_w \mid x_{<w})

    The series is cut into windows whose borders move from epoch to epoch. What the past says of the first state of a
    window comes from one pass over the whole series at the beginning of the epoch, and counts as given.

    Args:
        model: The model, changed in place.
        series: What to learn from; the held-out rows stop the training, where there are any.
        settings: Epochs, learning rate and so on.
        window: The most rows of a window.
        batch_size: About how many rows of windows make a batch.
        generator: Where the randomness comes from.

    Returns:
        The report of the run.

    Reference:
        Lorek, Nowak, Trzcinski, Zieba, "FlowHMM: Flow-based continuous hidden Markov models", 2022, the training by
        maximum likelihood.
    """
    module = WithLogits(model)
    hidden = torch.where(series.made.unsqueeze(1), series.x, torch.nan)
    held_out = held_out_loss(series)

    def batches(dealer: torch.Generator) -> Iterator[Windows]:
        past = _predicted(module.settle(), hidden, series.lengths)
        pieces = _pieces(series.lengths, window, dealer)
        order = torch.randperm(len(pieces), generator=dealer).split(max(1, batch_size // window))
        return (_gathered([pieces[i] for i in chosen.tolist()], hidden, past) for chosen in order)

    def validate(_: nn.Module) -> Tensor:
        return torch.zeros(()) if held_out is None else held_out(module.settle())

    report = optimise(
        module,
        window_loss,
        batches,
        validate=None if held_out is None else validate,
        settings=settings,
        generator=generator,
    )
    module.settle()
    return report


def _predicted(model: FlowMarkovModel, x: Tensor, lengths: list[int]) -> Float[Tensor, "rows states"]:
    """What the past says of each state before its observation comes in."""
    posterior = model.filter(x, lengths).log_posterior
    after = (posterior.unsqueeze(2) + model.log_transition).logsumexp(1)
    return after.roll(1, 0)


def _pieces(lengths: list[int], window: int, dealer: torch.Generator) -> list[tuple[int, int, bool]]:
    """Windows as (first row, last row + 1, whether a sequence begins): the first of a sequence is of random length."""
    offset = 1 + int(torch.randint(window, (), generator=dealer))
    pieces, row = [], 0
    for length in lengths:
        borders = [0, *range(min(offset, length), length, window), length]
        pieces += [(row + a, row + b, a == 0) for a, b in zip(borders, borders[1:], strict=False) if b > a]
        row += length
    return pieces


def _gathered(pieces: list[tuple[int, int, bool]], x: Tensor, past: Tensor) -> Windows:
    return Windows(
        torch.cat([x[a:b] for a, b, _ in pieces]),
        [b - a for a, b, _ in pieces],
        torch.tensor([begins for _, _, begins in pieces]),
        past[[a for a, _, _ in pieces]],
    )

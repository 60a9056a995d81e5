"""Paths and observations drawn from a hidden Markov model."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.hmm._viterbi import follow
from counterflow.hmm.model import FlowMarkovModel

__all__ = ["Drawn", "draw", "draw_path"]


class Drawn(NamedTuple):
    """Made-up observations, and the states that made them."""

    x: Float[Tensor, "rows features"]
    states: Int[Tensor, " rows"]


def draw_path(
    count: int,
    *,
    log_start: Float[Tensor, " states"],
    log_transition: Float[Tensor, "states states"],
    generator: torch.Generator | None = None,
) -> Int[Tensor, " rows"]:
    """Draw the path of a Markov chain.

    One number per step decides where each state would go; blocks of steps are followed from every state at once, then
    chained, so that a million steps take a thousand.

    Args:
        count: How many steps.
        log_start: The logarithm of the law of the first state.
        log_transition: The logarithm of the transition matrix.
        generator: Where the randomness comes from.

    Returns:
        One state per step.

    Raises:
        ArgumentError: ``count`` is no number of at least 1.

    Example:
        >>> turn = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).log()
        >>> draw_path(4, log_start=torch.tensor([1.0, 0.0]).log(), log_transition=turn).tolist()
        [0, 1, 0, 1]
    """
    check_count(count, "count")
    time = math.ceil(math.sqrt(count))
    blocks, states = -(-count // time), len(log_start)
    numbers = torch.rand((time, blocks), generator=generator, dtype=torch.float64)
    borders = log_transition.double().exp().cumsum(1)[:, :-1]
    now = torch.arange(states).unsqueeze(1).expand(-1, blocks)
    passed = []
    for number in numbers:
        passed.append(now)
        now = (borders[now] < number.unsqueeze(-1)).sum(-1)
    first = int(torch.multinomial(log_start.double().exp(), 1, generator=generator))
    entries = follow(now, first).view(1, 1, -1).expand(time, 1, -1)
    return torch.stack(passed).gather(1, entries).squeeze(1).T.reshape(-1)[:count]


@torch.no_grad()
def draw(model: FlowMarkovModel, count: int, *, generator: torch.Generator | None = None) -> Drawn:
    """Draw a sequence of states and what they emit.

    Args:
        model: The model.
        count: How many observations.
        generator: Where the randomness comes from.

    Returns:
        Observations and states.

    Raises:
        ArgumentError: ``count`` is no number of at least 1.

    Example:
        >>> from counterflow import flows
        >>> model = FlowMarkovModel([flows.spline_coupling(2)])
        >>> draw(model, 5, generator=torch.Generator().manual_seed(0)).x.shape
        torch.Size([5, 2])
    """
    states = draw_path(count, **model.law._asdict(), generator=generator)
    x = torch.empty(count, model.features, dtype=model.flows[0].dtype)
    for state, flow in enumerate(model.flows):
        where = states == state
        x[where] = flow.sample(int(where.sum()), generator=generator)
    return Drawn(x, states)

"""Let the flow go on with its own draws, those that turned out well: fewer of its draws will be wasted.

A flow trained on neighbors draws some rows that the model decides otherwise. Its draws for the training questions,
those dropped that the model does not steadily decide as wished, are draws from the flow *given that they are valid*.
Trained on them, it comes nearer to that law and stays about as diverse as it was. The neighbors stay among the
answers.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from counterflow.counterfactuals.dicoflex.drafter import Drafter
from counterflow.counterfactuals.dicoflex.examples import Examples
from counterflow.tables import Rules

__all__ = ["rehearse"]

_SHAKES = 2


def rehearse(
    drafter: Drafter,
    examples: Examples,
    *,
    decide: Callable[[Tensor], Tensor],
    count: int,
    generator: torch.Generator,
) -> tuple[Examples, float]:
    """Answer the questions by draws, and keep the valid ones as answers.

    Args:
        drafter: The flow so far.
        examples: The questions, with answers among the rows of the table.
        decide: The model's decisions for rows.
        count: How many draws for each, and how many of its former answers stay at most.
        generator: Where the draws come from.

    Returns:
        The questions with both kinds of answers, and the share of draws that were valid.
    """
    rules = Rules.compile(drafter.options.schema, None, examples.factuals)
    context = drafter.context(examples.factuals, examples.target, locked=examples.locked, norm=examples.norm)
    allowed = drafter.options.allowed(rules, locked=examples.locked)
    draws = drafter.draw(rules, context, allowed=allowed, count=count, temperature=1.0, generator=generator)
    valid = torch.stack([decide(draw) == examples.target for draw in draws], 1)
    share = float(valid.double().mean())
    for _ in range(_SHAKES):
        valid &= torch.stack([decide(_shaken(draw, generator)) == examples.target for draw in draws], 1)
    former = examples.answers[:, :count]
    known = torch.arange(former.shape[1]) < examples.count.unsqueeze(1)
    answers, good = torch.cat((former, draws.transpose(0, 1)), 1), torch.cat((known, valid), 1)
    order = (~good).long().argsort(dim=1, stable=True)
    answers = answers.gather(1, order.unsqueeze(-1).expand_as(answers))
    return replace(examples, answers=answers, count=good.sum(1)), share


def _shaken(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Rows a fifth of whose values come from each other."""
    lent = rows[torch.randperm(len(rows), generator=generator)]
    return torch.where(torch.rand(rows.shape, generator=generator) < 0.2, lent, rows)

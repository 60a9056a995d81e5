"""Draws from common random numbers: the same noise under every condition."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.flows import Flow
from counterflow.flows.ensemble import Ensemble, Member
from counterflow.regression.mixtures import ConditionalMixture

__all__ = ["common_draws"]


def common_draws(
    ensemble: Ensemble, count: int, *, context: Float[Tensor, "rows *read"], seed: int = 0
) -> Float[Tensor, "rows count targets"]:
    r"""Draw targets under each condition from noise that is the same for all: :math:`y_{ij} = f^{-1}(z_j; c_i)`.

    So what is said of a row does not depend on its company, and two rows differ by their conditions alone. Members
    take turns.

    Args:
        ensemble: The densities.
        count: How many draws.
        context: What each row is conditioned on, as it was read.
        seed: Of the noise.
    """
    members = cast("list[Member]", list(ensemble.members))
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for i, member in enumerate(members):
        share = len(range(i, count, len(members)))
        e = member.embedding(context).unsqueeze(0)
        if isinstance(member.flow, ConditionalMixture):
            choice = torch.rand(share, 1, dtype=e.dtype, generator=generator)
            noise = torch.randn(share, 1, member.flow.features, dtype=e.dtype, generator=generator)
            draws.append(member.flow.from_noise(choice, noise, context=e))
        else:
            flow = cast("Flow", member.flow)
            draws.append(flow.to_data(flow.base.sample((share, 1), generator=generator), e)[0])
    return torch.cat([part.expand(-1, len(context), -1) for part in draws]).transpose(0, 1)

"""Encoders of sets: what they say does not depend on the order of the points."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.nets.mlp import MLP

__all__ = ["SetEncoder"]


class SetEncoder(nn.Module):
    r"""A function of a set of points of any size: each is mapped alone, the results are averaged, and mapped again.

    .. math:: y = \rho \left( \frac1n \sum_{i=1}^n \phi(x_i), \; \log n \right)

    Args:
        features: Length of a point.
        outputs: Length of what comes out.
        hidden: Widths of the hidden layers of both perceptrons; the last is the number of averages.
        activation: Name of the nonlinearity.
        generator: Where weights are drawn from.

    Reference:
        Zaheer et al., "Deep Sets", 2017, theorem 2.

    Example:
        >>> encoder = SetEncoder(2, 4)
        >>> points = torch.randn(3, 7, 2)
        >>> torch.allclose(encoder(points), encoder(points.flip(1)), atol=1e-6)
        True
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(len(hidden), "the number of hidden widths")
        settings = {"hidden": hidden, "activation": activation, "zero": False, "generator": generator}
        self.each = MLP(features, hidden[-1], **settings)
        self.all = MLP(hidden[-1] + 1, outputs, **settings)

    def forward(
        self, points: Float[Tensor, "*batch points features"], present: Bool[Tensor, "*batch points"] | None = None
    ) -> Float[Tensor, "*batch outputs"]:
        """Encode sets.

        Args:
            points: The points.
            present: Which of them belong to the set; ``None`` for all.
        """
        states = self.each(points)
        if present is None:
            present = torch.ones(points.shape[:-1], dtype=torch.bool, device=points.device)
        count = present.sum(-1, keepdim=True).to(points.dtype)
        mean = torch.where(present.unsqueeze(-1), states, 0.0).sum(-2) / count.clamp(min=1)
        return self.all(torch.cat([mean, count.clamp(min=1).log()], dim=-1))

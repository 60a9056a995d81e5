"""A fixed reordering of the features."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import NotInvertibleError

__all__ = ["Permutation"]


class Permutation(AbstractBijection):
    r"""A fixed reordering of the features: :math:`z_i = x_{\pi(i)}`, with log-determinant zero.

    Args:
        order: Where each latent feature comes from: every number from 0 to features - 1, once.

    Raises:
        NotInvertibleError: If a number is missing or comes twice.

    Example:
        >>> Permutation([2, 0, 1]).to_latent(torch.tensor([10.0, 11.0, 12.0]))
        (tensor([12., 10., 11.]), tensor(0.))
    """

    order: Tensor
    inverse: Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__((len(order),))
        if sorted(order) != list(range(len(order))):
            raise NotInvertibleError(
                f"a permutation must hold every number from 0 to {len(order) - 1} once, got {list(order)}. "
                "A feature that is left out could not be recovered."
            )
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("inverse", torch.tensor(order).argsort())

    @classmethod
    def reversal(cls, features: int) -> "Permutation":
        """Reverse the order of the features.

        Example:
            >>> Permutation.reversal(3).order.tolist()
            [2, 1, 0]
        """
        return cls(range(features - 1, -1, -1))

    @classmethod
    def random(cls, features: int, *, generator: torch.Generator | None = None) -> "Permutation":
        """Draw an order at random, and keep it.

        Example:
            >>> sorted(Permutation.random(4).order.tolist())
            [0, 1, 2, 3]
        """
        return cls(torch.randperm(features, generator=generator).tolist())

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Reorder the features."""
        return x.index_select(-1, self.order), x.new_zeros(x.shape[:-1])

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Put the features back in their places."""
        return z.index_select(-1, self.inverse), z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        """Show the order, cut short."""
        order = self.order.tolist()
        return f"order={order if len(order) <= 12 else [*order[:11], '...']}"

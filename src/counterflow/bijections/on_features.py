"""A bijection of some of the features."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, AbstractDataDependent, broadcast_batch
from counterflow.core.errors import ArgumentError

__all__ = ["OnFeatures"]


class OnFeatures(AbstractDataDependent):
    r"""A bijection that acts on the features named and leaves the others as they are.

    .. math:: z_A = f(x_A, c), \quad z_i = x_i \text{ for } i \notin A

    Args:
        features: Number of features of a whole point.
        inner: The bijection, of as many features as are named.
        chosen: Which features it acts on, A.

    Raises:
        ArgumentError: If ``chosen`` does not name as many different features as ``inner`` maps.

    Example:
        >>> from counterflow.bijections import Exp
        >>> OnFeatures(3, Exp(1), chosen=[1]).to_latent(torch.zeros(3))[0]
        tensor([0., 1., 0.])
    """

    def __init__(self, features: int, inner: AbstractBijection, *, chosen: Iterable[int]) -> None:
        super().__init__((features,), inner.context_features)
        self.chosen = list(chosen)
        if len(set(self.chosen)) != inner.features or not set(self.chosen) <= set(range(features)):
            raise ArgumentError(
                f"chosen must name {inner.features} different features from 0 to {features - 1}, got {self.chosen}. "
                "Name one for each feature of the inner bijection."
            )
        self.inner = inner

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the chosen features to latent."""
        mapped, log_det = self.inner.to_latent(x[..., self.chosen], context)
        return self._put(x, mapped, context), log_det

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the chosen features to data."""
        mapped, log_det = self.inner.to_data(z[..., self.chosen], context)
        return self._put(z, mapped, context), log_det

    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Show the inner bijection its features."""
        if isinstance(self.inner, AbstractDataDependent):
            self.inner.initialize(x[..., self.chosen], context)

    def extra_repr(self) -> str:
        """Name the features."""
        return f"chosen={self.chosen}"

    def _put(self, x: Tensor, mapped: Tensor, context: Tensor | None) -> Tensor:
        columns = list(broadcast_batch(x, context if self.context_features else None).unbind(-1))
        for i, column in zip(self.chosen, mapped.unbind(-1), strict=True):
            columns[i] = column
        return torch.stack(columns, -1)

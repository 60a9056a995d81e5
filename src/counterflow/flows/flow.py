"""A flow: a bijection over a base density, with density, samples and both directions."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, AbstractDataDependent
from counterflow.core.checks import check_context, check_dtype, check_event
from counterflow.core.errors import PersistenceError, ShapeError
from counterflow.distributions import AbstractDistribution
from counterflow.distributions.base import as_shape
from counterflow.flows.facade import FlowDistribution
from counterflow.persistence import save_folder

__all__ = ["Flow"]


class Flow(nn.Module):
    r"""A density made of a bijection and a base density.

    .. math:: \log p(x \mid c) = \log p_Z(f(x; c)) + \log \left| \det \frac{\partial f(x; c)}{\partial x} \right|

    Calling the flow computes this, tensor in and tensor out, so that ``torch.compile``, ``torch.func.vmap`` and
    data-parallel training work on it as on any module.

    Args:
        bijection: The map between data and latent.
        base: The density of the latent.
        config: How a recipe built it, as plain data; ``None`` for a flow composed by hand.

    Raises:
        ShapeError: If bijection and base differ in event shape.

    Example:
        >>> from counterflow import flows
        >>> flow = flows.realnvp(features=2, context_features=1)
        >>> flow(torch.zeros(5, 2), torch.zeros(5, 1)).shape
        torch.Size([5])
        >>> flow.sample(10, context=torch.zeros(5, 1)).shape
        torch.Size([10, 5, 2])
    """

    def __init__(
        self, bijection: AbstractBijection, base: AbstractDistribution, *, config: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        if bijection.event_shape != base.event_shape:
            raise ShapeError(
                "bijection and base must have one event shape, got "
                f"{bijection.event_shape} and {base.event_shape}. Build the base for the bijection's points."
            )
        self.bijection = bijection
        self.base = base
        self.config = config

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one point."""
        return self.bijection.event_shape

    @property
    def features(self) -> int:
        """The number of columns of a table."""
        return self.bijection.features

    @property
    def context_features(self) -> int:
        """The length of the context; 0 for an unconditional flow."""
        return self.bijection.context_features

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters, and so of data and samples."""
        return self.base.anchor.dtype

    @property
    def device(self) -> torch.device:
        """The device of the parameters, and so of data and samples."""
        return self.base.anchor.device

    def forward(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density: the same as :meth:`log_prob`."""
        z, log_det = self.to_latent(x, context)
        return self.base.log_prob(z) + log_det

    def log_prob(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each point.

        Args:
            x: Points, shape ``(*batch, *event_shape)``.
            context: One vector per point, or fewer that broadcast.

        Returns:
            One number per point, in nats.
        """
        return self(x, context)

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent: ``(z, log|det dz/dx|)``.

        Raises:
            ShapeError: If ``x`` or ``context`` has the wrong shape.
            ArgumentError: If a context is missing or was not expected, or the dtype is not that of the parameters.
        """
        self._check(x, context, "x")
        return self.bijection.to_latent(x, context)

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map latent to data: ``(x, log|det dx/dz|)``; errors as in :meth:`to_latent`."""
        self._check(z, context, "z")
        return self.bijection.to_data(z, context)

    def rsample_and_log_prob(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Draw points and their log-densities in one pass, with gradients to the parameters.

        Args:
            n: How many points (or a shape of them) for each row of the context.
            context: ``(*rows, context_features)`` for a conditional flow.
            generator: Where the randomness comes from.

        Returns:
            Points of shape ``(n, *rows, *event_shape)`` and log-densities of shape ``(n, *rows)``.
        """
        rows = () if context is None else context.shape[:-1]
        z = self.base.rsample((*as_shape(n), *rows), generator=generator)
        x, log_det = self.to_data(z, context)
        return x, self.base.log_prob(z) - log_det

    def rsample(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        """Draw points with gradients to the parameters; arguments as in :meth:`rsample_and_log_prob`."""
        rows = () if context is None else context.shape[:-1]
        return self.to_data(self.base.rsample((*as_shape(n), *rows), generator=generator), context)[0]

    @torch.no_grad()
    def sample_and_log_prob(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Draw points and their log-densities in one pass, without gradients."""
        return self.rsample_and_log_prob(n, context, generator=generator)

    @torch.no_grad()
    def sample(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        """Draw points without gradients; arguments as in :meth:`rsample_and_log_prob`."""
        return self.rsample(n, context, generator=generator)

    def distribution(self, context: Float[Tensor, "*rows c"] | None = None) -> FlowDistribution:
        """Show the flow under one context as a ``torch.distributions.Distribution``."""
        check_context(context, self.context_features)
        return FlowDistribution(self, context)

    def initialize(self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Let the layers that start from data see some, in one pass; those that did so before stay as they are."""
        if isinstance(self.bijection, AbstractDataDependent):
            self._check(x, context, "x")
            with torch.no_grad():
                self.bijection.initialize(x, context)

    def save(self, folder: str | Path) -> None:
        """Save settings and weights to a folder of JSON and safetensors; ``flows.load`` reads it.

        Raises:
            PersistenceError: If the flow was composed by hand, so that no recipe can rebuild it.
        """
        if self.config is None:
            raise PersistenceError(
                "only a flow that a recipe built can be saved to a folder, got one composed by hand. "
                "Save flow.state_dict() and build the flow in code again."
            )
        save_folder(folder, "flow", config=self.config, tensors=self.state_dict())

    def _check(self, x: Tensor, context: Tensor | None, name: str) -> None:
        check_event(x, self.event_shape, name)
        check_dtype(x, self.dtype, name)
        check_context(context, self.context_features)
        if context is not None:
            check_dtype(context, self.dtype, "context")

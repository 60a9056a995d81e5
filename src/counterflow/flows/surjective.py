"""A flow behind a surjection: probabilities of whole numbers, categories and atoms."""

import math

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from counterflow.bijections import AbstractSurjection, UniformDequantization, VariationalDequantization
from counterflow.core.checks import check_context, check_count, check_event
from counterflow.core.errors import ShapeError
from counterflow.core.numerics import log_mean_exp
from counterflow.flows.flow import Flow

__all__ = ["SurjectiveFlow", "dequantized"]


class SurjectiveFlow(nn.Module):
    r"""A flow whose data are made from its points by a surjection: rounded, clipped, sorted.

    .. math:: \log p(x \mid c) = \log \mathbb{E}_r \left[ p_{\text{flow}}(z(x, r) \mid c)\, e^{w(x, r)} \right]
        \ge \mathbb{E}_r \left[ \log p_{\text{flow}}(z(x, r) \mid c) + w(x, r) \right]

    Calling it computes the right side for rows that carry their noise, which :meth:`with_noise` gives them: nothing
    random is left, so that it trains, resumes and compiles as any flow does,
    ``training.fit(model, x, augment=model.with_noise)``. Surjections that learn are trained along.

    Args:
        surjection: From the flow's points to data.
        flow: The density of the latents.

    Raises:
        ShapeError: If the flow's points are not the surjection's latents, or context lengths differ.

    Example:
        >>> from counterflow import flows
        >>> from counterflow.bijections import Argmax
        >>> model = SurjectiveFlow(Argmax(1, categories=3), flows.realnvp(3, layers=2))
        >>> colors, generator = torch.tensor([[0.0], [1.0], [2.0]]), torch.Generator().manual_seed(0)
        >>> round(model.log_prob(colors, draws=4000, generator=generator).exp().sum().item(), 1)
        1.0
    """

    def __init__(self, surjection: AbstractSurjection, flow: Flow) -> None:
        super().__init__()
        contexts = {surjection.context_features, flow.context_features} - {0}
        if surjection.latent_shape != flow.event_shape or len(contexts) > 1:
            raise ShapeError(
                f"the flow must have points of shape {surjection.latent_shape} and the surjection's context length "
                f"{surjection.context_features}, got {flow.event_shape} and {flow.context_features}. "
                "Build the flow for the latents of the surjection."
            )
        self.surjection = surjection
        self.flow = flow
        self.context_features = contexts.pop() if contexts else 0

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one point of data."""
        return self.surjection.event_shape

    def with_noise(
        self, x: Real[Tensor, "*batch"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*points columns"], float]:
        """Give rows the noise that :meth:`forward` needs, as ``augment=`` of ``training.fit`` asks for it.

        Args:
            x: Data of any dtype, shape ``(*batch, *event_shape)``.
            generator: Where the noise comes from.

        Returns:
            Each row laid out flat and followed by its noise, and a log-weight of 0.
        """
        check_event(x, self.event_shape)
        flat = x.to(self.flow.dtype).reshape(*x.shape[: x.dim() - len(self.event_shape)], -1)
        shape = (*flat.shape[:-1], self.surjection.noise_features)
        noise = torch.rand(shape, dtype=flat.dtype, device=flat.device, generator=generator)
        return torch.cat((flat, noise), -1), 0.0

    def forward(
        self, rows: Float[Tensor, "*batch columns"], context: Float[Tensor, "*others c"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the log-density of latents plus the log-weight, for rows that carry their noise.

        Args:
            rows: What :meth:`with_noise` gives.
            context: One vector per row, or fewer that broadcast.

        Returns:
            One number per row, in nats; its mean over the noise is at most the log-likelihood.
        """
        z, weight = self._placed(rows, context)
        return self.flow(z, context if self.flow.context_features else None) + weight

    def log_prob_bound(
        self,
        x: Real[Tensor, "*batch"],
        context: Float[Tensor, "*others c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*points"]:
        """Estimate the lower bound of the log-likelihood with one draw; for exact surjections it is no estimate."""
        return self(self.with_noise(x, generator)[0], context)

    def log_prob(
        self,
        x: Real[Tensor, "*batch"],
        context: Float[Tensor, "*others c"] | None = None,
        *,
        draws: int = 64,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*points"]:
        r"""Estimate the log-likelihood by the mean over several draws.

        .. math:: \log \frac{1}{n} \sum_{i=1}^{n} p_{\text{flow}}(z_i)\, e^{w_i}

        On average it lies below the log-likelihood, the less the more draws, and tends to it. For exact surjections one
        draw is all there is.

        Args:
            x: Data, shape ``(*batch, *event_shape)``.
            context: One vector per point, or fewer that broadcast.
            draws: n, all computed at once.
            generator: Where the noise comes from.

        Returns:
            One number per point, in nats: log-probability for discrete data, log-density for continuous.

        Reference:
            Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, theorem 1.
        """
        check_count(draws, "draws")
        draws = 1 if self.surjection.exact else draws
        copies = x.expand(draws, *x.shape)
        return log_mean_exp(self.log_prob_bound(copies, context, generator=generator), 0)

    @torch.no_grad()
    def sample(
        self,
        n: int | tuple[int, ...] = (),
        context: Float[Tensor, "*others c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        """Draw data; arguments as in :meth:`Flow.sample`."""
        check_context(context, self.context_features)
        shape = (n,) if isinstance(n, int) else n
        rows = () if context is None else context.shape[:-1]
        given = context if self.flow.context_features else None
        z = self.flow.sample(shape if given is not None else (*shape, *rows), given, generator=generator)
        return self.surjection.to_data(z, context, generator=generator)

    def initialize(
        self, rows: Float[Tensor, "*batch columns"], context: Float[Tensor, "*others c"] | None = None
    ) -> None:
        """Let the layers that start from data see the latents of rows that carry their noise."""
        with torch.no_grad():
            z, _ = self._placed(rows, context)
        self.flow.initialize(z, context if self.flow.context_features else None)

    def _placed(self, rows: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        size = math.prod(self.event_shape)
        check_event(rows, (size + self.surjection.noise_features,), "rows (data followed by noise, see with_noise)")
        check_context(context, self.context_features)
        x = rows[..., :size].reshape(*rows.shape[:-1], *self.event_shape)
        return self.surjection.place(x, rows[..., size:], context=context)


def dequantized(
    flow: Flow,
    *,
    variational: bool = False,
    hidden: tuple[int, ...] = (32,),
    generator: torch.Generator | None = None,
) -> SurjectiveFlow:
    """Make a law of whole numbers of a flow: what it draws is rounded down.

    Args:
        flow: The flow; for whole numbers from 0 to K - 1 let it begin with ``Interval(0, K)``.
        variational: Learn where in its cell a number lies, which tightens the bound, instead of drawing it uniformly.
        hidden: Widths of the hidden layers of the nets that learn it.
        generator: Where those nets' weights are drawn from.

    Returns:
        The flow behind a dequantization.

    Example:
        >>> from counterflow import flows
        >>> dequantized(flows.realnvp(2)).sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """
    if not variational:
        return SurjectiveFlow(UniformDequantization(flow.event_shape), flow)
    features = flow.features
    return SurjectiveFlow(
        VariationalDequantization(features, hidden=hidden, context_features=flow.context_features, generator=generator),
        flow,
    )

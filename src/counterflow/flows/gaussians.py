"""Flows made of affine maps only are normal laws: the way there and back, exactly."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import (
    AbstractBijection,
    AbstractLinear,
    ActNorm,
    Affine,
    Chain,
    Invert,
    LowerTriangular,
    Permutation,
)
from counterflow.core.errors import ArgumentError
from counterflow.distributions import DiagonalNormal, Gaussian, StandardNormal
from counterflow.flows.flow import Flow

__all__ = ["as_gaussian", "from_gaussian"]

_AFFINE = (AbstractLinear, ActNorm, Affine, Permutation)


def as_gaussian(flow: Flow, context: Float[Tensor, "*rows c"] | None = None) -> Gaussian:
    r"""Read a flow of affine maps over a normal base as the normal law that it is.

    .. math:: x = J z + b, \quad z \sim \mathcal{N}(\mu, \operatorname{diag} \sigma^2) \quad \Rightarrow \quad
        x \sim \mathcal{N}(J \mu + b,\ (J \sigma) (J \sigma)^\top)

    Args:
        flow: The flow, of vectors.
        context: For a conditional flow: one law for each row, if its maps are affine under every context.

    Returns:
        The law; gradients reach the parameters of the flow.

    Raises:
        ArgumentError: If a map is not affine, or the base no normal law of independent numbers.

    Example:
        >>> from counterflow import flows
        >>> flow = flows.linear(2)
        >>> flow.initialize(torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0], [2.0, 4.0]]))
        >>> as_gaussian(flow).covariance.round(decimals=4)
        tensor([[1., 1.],
                [1., 2.]], grad_fn=...)
    """
    base = flow.base
    if len(flow.event_shape) != 1 or not isinstance(base, StandardNormal | DiagonalNormal):
        raise ArgumentError(
            f"the flow must be one of vectors over a normal base, got {flow.event_shape} over {type(base).__name__}."
        )
    strange = next((part for part in _parts(flow.bijection) if not isinstance(part, _AFFINE)), None)
    if strange is not None:
        raise ArgumentError(
            f"the maps of the flow must be affine, got {type(strange).__name__}. Build it of linear maps: flows.linear."
        )
    features, rows = flow.event_shape[0], () if context is None else context.shape[:-1]
    some = next(iter(flow.parameters()), base.anchor)
    corners = torch.cat([some.new_zeros(1, features), torch.eye(features, dtype=some.dtype, device=some.device)])
    points = corners.view(-1, *[1] * len(rows), features).expand(-1, *rows, features)
    shift, *columns = flow.to_data(points, context)[0].unbind(0)
    matrix = torch.stack([column - shift for column in columns], dim=-1)
    if isinstance(base, StandardNormal):
        return Gaussian(shift, factor=matrix)
    mean = (matrix @ base.mean[..., None])[..., 0] + shift
    return Gaussian(mean, factor=matrix * base.log_deviation.exp())


def from_gaussian(law: Gaussian) -> Flow:
    """Make a linear flow that has a given normal law.

    Args:
        law: One law, not a batch, of full rank.

    Returns:
        A flow with the law's dtype; :func:`as_gaussian` gives the law again.

    Raises:
        ArgumentError: If the law is singular, or a batch of laws.

    Example:
        >>> flow = from_gaussian(Gaussian(torch.tensor([1.0]), torch.tensor([[4.0]])))
        >>> round(flow(torch.tensor([1.0])).item(), 4)  # -log(2 sqrt(2 pi))
        -1.6121
    """
    if law.batch_shape or bool(law.rank < law.features):
        raise ArgumentError(
            "a flow has one law of full rank. Take one law of the batch, or add noise to a singular one."
        )
    lower = torch.linalg.qr(law.factor.mT, mode="r").R.mT
    lower = lower * lower.diagonal().sign()  # a Cholesky factor has a positive diagonal
    whiten = LowerTriangular(law.features).to(law.mean)
    eye = torch.eye(law.features, dtype=lower.dtype, device=lower.device)
    with torch.no_grad():
        whiten.lower.copy_(torch.linalg.solve_triangular(lower, eye, upper=False).tril(-1))
        whiten.log_diagonal.copy_(-lower.diagonal().log())
        whiten.bias.copy_(-whiten.weight() @ law.mean)
        whiten.initialized.fill_(True)
    return Flow(whiten, StandardNormal(law.features).to(law.mean))


def _parts(bijection: AbstractBijection) -> list[AbstractBijection]:
    """The maps of which a chain is made, however deep."""
    if isinstance(bijection, Chain):
        return [leaf for part in bijection.parts for leaf in _parts(part)]
    return _parts(bijection.inner) if isinstance(bijection, Invert) else [bijection]

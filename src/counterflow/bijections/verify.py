"""A check that a map is what it claims to be: a bijection with the log-determinants it returns."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import NotInvertibleError

__all__ = ["verify"]


def verify(
    bijection: AbstractBijection,
    x: Float[Tensor, "rows *event"],
    *,
    context: Float[Tensor, "rows c"] | None = None,
    tolerance: float = 1e-6,
) -> None:
    r"""Refuse a map that is no bijection on the points given, or whose log-determinants are wrong.

    Three things are checked at every point: :math:`f^{-1}(f(x)) = x`; the two log-determinants are each other's
    negative; and the first is :math:`\log |\det \partial f / \partial x|` by automatic differentiation.

    Args:
        bijection: The map, of your own or from here.
        x: Points of data; use float64.
        context: One vector per point.
        tolerance: The largest error allowed, relative above one.

    Raises:
        NotInvertibleError: If a check fails, with the point and what was found.

    Example:
        >>> from counterflow.bijections import Exp
        >>> verify(Exp(2), torch.randn(5, 2, dtype=torch.float64))
    """
    with torch.no_grad():
        z, log_det = bijection.to_latent(x, context)
        back, log_det_back = bijection.to_data(z, context)
    _compare("to_data(to_latent(x)) must be x", back, x, x=x, tolerance=tolerance)
    _compare("the log-determinants of both ways must add up to zero", -log_det_back, log_det, x=x, tolerance=tolerance)
    measured = torch.stack([_log_det(bijection, x[i], None if context is None else context[i]) for i in range(len(x))])
    _compare("log_det must be that of the Jacobian of to_latent", log_det, measured, x=x, tolerance=tolerance)


def _log_det(bijection: AbstractBijection, point: Tensor, context: Tensor | None) -> Tensor:
    jacobian = torch.func.jacrev(lambda p: bijection.to_latent(p, context)[0])(point)
    return torch.linalg.slogdet(jacobian.reshape(point.numel(), -1)).logabsdet.detach()


def _compare(rule: str, found: Tensor, expected: Tensor, *, x: Tensor, tolerance: float) -> None:
    close = torch.isclose(found, expected, rtol=tolerance, atol=tolerance).reshape(len(x), -1).all(-1)
    if not bool(close.all()):
        i = int(close.logical_not().nonzero()[0])
        raise NotInvertibleError(
            f"{rule}, but at x = {x[i].tolist()} it is {found[i].tolist()} where {expected[i].tolist()} was expected. "
            "Correct the map, or keep to the region where it is one-to-one."
        )

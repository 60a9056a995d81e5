"""The same bijection over another base density."""

from counterflow.distributions import AbstractDistribution
from counterflow.flows.flow import Flow

__all__ = ["with_base"]


def with_base(flow: Flow, base: AbstractDistribution) -> Flow:
    r"""Put the bijection of a flow over another base density.

    .. math:: \log p(x) = \log p_{\mathrm{new}}(f(x)) + \log \left| \det \frac{\partial f}{\partial x} \right|

    The bijection is shared, not copied: training one flow moves the other. No recipe can rebuild what comes out, so
    keep its ``state_dict()`` instead of saving it to a folder.

    Args:
        flow: Any flow.
        base: A density over the same points, such as ``StudentT`` for heavy tails or ``NormalMixture`` for modes.

    Returns:
        A flow with the bijection of ``flow``.

    Raises:
        ShapeError: If the base has another event shape.

    Example:
        >>> from counterflow import flows
        >>> from counterflow.distributions import StudentT
        >>> flow = with_base(flows.maf(1, layers=1), StudentT(1, degrees=1.0))
        >>> import torch
        >>> round(flow(torch.zeros(1)).exp().item(), 4)  # the Cauchy density: 1 / pi
        0.3183
    """
    return Flow(flow.bijection, base)

"""Neural autoregressive flows and unconstrained monotone flows: every curve is a small net."""

import torch

from counterflow.bijections import MonotoneIntegral, MonotoneNet
from counterflow.flows.curved import curved_flow
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["neural_autoregressive", "unconstrained_monotone"]


@recipe
def neural_autoregressive(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 3,
    hidden: tuple[int, ...] = (64, 64),
    units: int = 8,
    bound: float = 3.0,
    coupling: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a neural autoregressive flow (NAF): the curve of each feature is a small increasing net.

    .. math:: z_i = t_i + \sum_k w_{ik}\, r_{ik}(x_i), \quad w_{ik} = e^{a_{ik}(x_{<i}, c)}

    The ramps r of a curve sum to x and end in straight lines, so that the flow is normalized and can be sampled.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps, each after a random permutation and a learned linear map.
        hidden: Widths of the hidden layers of each map's net, which chooses all parameters of the curves.
        units: Hidden units of each curve.
        bound: Units start spread over [-bound, bound], in standard deviations.
        coupling: Put the curves into couplings: samples in one pass, a little less sharp.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Huang, Krueger, Lacoste, Courville, "Neural autoregressive flows", 2018, section 3.

    Example:
        >>> flow = neural_autoregressive(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    return curved_flow(
        features,
        MonotoneNet(units=units, bound=bound),
        coupling=coupling,
        context_features=context_features,
        layers=layers,
        hidden=hidden,
        activation=activation,
        generator=generator,
    )


@recipe
def unconstrained_monotone(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 2,
    hidden: tuple[int, ...] = (64, 64),
    units: int = 8,
    nodes: int = 32,
    bound: float = 3.0,
    coupling: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build an unconstrained monotone flow (UMNN): the curve of each feature is the integral of a positive net.

    .. math:: z_i = t_i(x_{<i}, c) + \int_0^{x_i} e^{h(u;\ \theta_i(x_{<i}, c))}\, du

    Values take a quadrature, slopes none; samples search, each row on its own bracket.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps, each after a random permutation and a learned linear map.
        hidden: Widths of the hidden layers of each map's net, which chooses all parameters of the curves.
        units: Hidden units of each net h.
        nodes: Nodes of the quadrature.
        bound: Integrals run over [-bound, bound], in standard deviations; beyond, tangents act.
        coupling: Put the curves into couplings: samples in one pass, a little less sharp.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Wehenkel, Louppe, "Unconstrained monotonic neural networks", 2019.

    Example:
        >>> flow = unconstrained_monotone(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    return curved_flow(
        features,
        MonotoneIntegral(bound=bound, units=units, nodes=nodes),
        coupling=coupling,
        context_features=context_features,
        layers=layers,
        hidden=hidden,
        activation=activation,
        generator=generator,
    )

"""Flows of increasing polynomials: in Bernstein form, and as integrals of sums of squares."""

import torch

from counterflow.bijections import Bernstein, SumOfSquares
from counterflow.flows.curved import curved_flow
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["bernstein", "sum_of_squares"]


@recipe
def bernstein(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 3,
    hidden: tuple[int, ...] = (64, 64),
    degree: int = 16,
    bound: float = 3.0,
    coupling: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a flow of increasing Bernstein polynomials.

    .. math:: z_i = \sum_k \theta_{ik}(x_{<i}, c)\, b_{k,M}\!\left( \frac{x_i + B}{2 B} \right)

    Coefficients increase, and so does the polynomial; its values stay between those of its coefficients.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps, each after a random permutation and a learned linear map.
        hidden: Widths of the hidden layers of each map's net, which chooses all parameters of the curves.
        degree: Degree M of each polynomial.
        bound: Polynomials act on [-bound, bound], in standard deviations; beyond, their tangents act.
        coupling: Put the curves into couplings: samples in one pass, a little less sharp.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Ramasinghe et al., "Robust normalizing flows using Bernstein-type polynomials", 2021.

    Example:
        >>> flow = bernstein(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    return curved_flow(
        features,
        Bernstein(degree=degree, bound=bound),
        coupling=coupling,
        context_features=context_features,
        layers=layers,
        hidden=hidden,
        activation=activation,
        generator=generator,
    )


@recipe
def sum_of_squares(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 3,
    hidden: tuple[int, ...] = (64, 64),
    degree: int = 4,
    bound: float = 3.0,
    coupling: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a sum-of-squares flow (SOS): the slope of each curve is a polynomial that is nowhere negative.

    .. math:: z_i = t_i + \int_0^{x_i} \epsilon + (1 - \epsilon) \left( p_i(u)^2 + (1 - u^2 / B^2)\, q_i(u)^2 \right) du

    The coefficients of p and q are free functions of the features before and of the context.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps, each after a random permutation and a learned linear map.
        hidden: Widths of the hidden layers of each map's net, which chooses all parameters of the curves.
        degree: Degree of p; that of the curve is 2 * degree + 1.
        bound: Polynomials act on [-bound, bound], in standard deviations; beyond, their tangents act.
        coupling: Put the curves into couplings: samples in one pass, a little less sharp.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Jaini, Selby, Yu, "Sum-of-squares polynomial flow", 2019.

    Example:
        >>> flow = sum_of_squares(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    return curved_flow(
        features,
        SumOfSquares(bound=bound, degree=degree),
        coupling=coupling,
        context_features=context_features,
        layers=layers,
        hidden=hidden,
        activation=activation,
        generator=generator,
    )

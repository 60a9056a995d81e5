"""The velocity of a flow in continuous time: a perceptron of state, time and context, and its divergence."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.runge_kutta import Field
from counterflow.nets.conditioning import Layer, make_conditioning
from counterflow.nets.linear import get_activation, make_linear
from counterflow.nets.smooth import get_smooth_activation

__all__ = ["VelocityMLP"]

Tensors = tuple[Tensor, ...]


class VelocityMLP(nn.Module):
    r"""A perceptron :math:`v(t, x, c)` with smooth activations, whose divergence costs little more than its value.

    .. math:: h_{i+1} = \phi(g_i \odot (W_i h_i + b_i) + s_i), \qquad v = W_n h_n + b_n

    How time and context enter (g, s, or W itself) is the conditioning. With :math:`D_i` the diagonal of slopes of layer
    i, the divergence is :math:`\operatorname{tr}(W_n D_{n-1} W_{n-1} \cdots D_1 W_1)`; for two hidden layers that is

    .. math:: d_2^\top \left( W_2 \odot (W_1 W_3)^\top \right) d_1,

    one matrix that is the same for all rows and times, so the exact divergence costs one product more, whatever the
    number of features. Otherwise one tangent for each feature (or each probe) goes through the hidden layers.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for none.
        hidden: Widths of the hidden layers, at least one.
        conditioning: ``"concat"``, ``"squash"`` (FFJORD's concatsquash), ``"film"`` or ``"hypernetwork"``.
        activation: Name of a smooth nonlinearity: ``"tanh"``, ``"silu"``, ``"softplus"``, ``"elu"`` or ``"gelu"``.
        rank: For a hypernetwork, the rank of what it emits; ``None`` for the full rank.
        zero: Start the last layer at zero: a fresh flow does not move.
        generator: Where the weights are drawn from.

    Raises:
        ArgumentError: If a setting is out of its range.

    Reference:
        Grathwohl et al., "FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models", 2019.

    Example:
        >>> velocity = VelocityMLP(3, context_features=2)
        >>> velocity(torch.zeros(5, 1), torch.zeros(5, 3), torch.zeros(2)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        features: int,
        *,
        context_features: int = 0,
        hidden: tuple[int, ...] = (64, 64),
        conditioning: str = "concat",
        activation: str = "tanh",
        rank: int | None = None,
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(features, "features")
        check_count(context_features, "context_features", 0)
        if not hidden:
            raise ArgumentError("hidden must name at least one width, got none. Use hidden=(64, 64).")
        self.features, self.context_features, self.activation = features, context_features, activation
        get_smooth_activation(activation)  # refuses an unknown name now, not in the first pass
        widths = (features, *hidden, features)
        self.layers = nn.ModuleList(
            make_linear(a, b, generator=generator, zero=zero and i == len(hidden))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.conditioning = make_conditioning(conditioning, widths, context_features, rank=rank, generator=generator)
        self._shared = conditioning != "hypernetwork"

    @property
    def has_cheap_divergence(self) -> bool:
        """Whether the exact divergence costs the same for any number of features."""
        return self._shared and len(self.layers) <= 3

    def forward(
        self,
        t: Float[Tensor, "*times 1"],
        x: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
    ) -> Float[Tensor, "*out features"]:
        """Compute the velocity; leading dimensions of time, state and context broadcast."""
        rows, weights = self.conditioning.bind(self._linears, context)
        return self._value(t, x, rows, weights)

    def bind(
        self,
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        probes: Float[Tensor, "*lead p features"] | None = None,
    ) -> Field:
        r"""Give the field under a context, with the divergence as integrand; done once for each solution.

        Args:
            context: One vector per row, or fewer that broadcast.
            probes: Random vectors e with mean zero and unit covariance, for Hutchinson's estimate of the divergence,
                the mean of :math:`e^\top \frac{\partial v}{\partial x} e`; ``None`` for the exact divergence.

        Returns:
            The field.
        """
        rows, weights = self.conditioning.bind(self._linears, context)
        counts = len(rows), len(weights)
        if probes is not None:
            rows = (*rows, *self._probed(probes))
        elif self.has_cheap_divergence:
            weights = (*weights, self._fused())

        def velocity(t: Tensor, y: Tensor, rows: Tensors, weights: Tensors) -> Tensor:
            return self._value(t, y, rows[: counts[0]], weights[: counts[1]])

        def rate(t: Tensor, y: Tensor, rows: Tensors, weights: Tensors) -> tuple[Tensor, Tensor]:
            layers = self.conditioning.layers(t, rows[: counts[0]], weights[: counts[1]])
            value, slopes = self._forward(y, layers)
            if probes is not None:
                return value, _estimate(layers, slopes, rows[counts[0] :], probes.shape[-2])
            if self.has_cheap_divergence:
                return value, _fused_divergence(slopes, weights[-1])
            return value, _divergence(layers, slopes)

        return Field(velocity, rate, rows, weights)

    @property
    def _linears(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def _value(self, t: Tensor, y: Tensor, rows: Tensors, weights: Tensors) -> Tensor:
        phi, layers = get_activation(self.activation), self.conditioning.layers(t, rows, weights)
        for layer in layers[:-1]:
            y = phi(layer.apply(y))
        return layers[-1].apply(y)

    def _forward(self, y: Tensor, layers: list[Layer]) -> tuple[Tensor, list[Tensor]]:
        """The velocity, and the slope of every hidden layer's output in its linear part."""
        phi, found = get_smooth_activation(self.activation), []
        for layer in layers[:-1]:
            y, slope = phi(layer.apply(y))
            found.append(slope if layer.gate is None else slope * layer.gate)
        return layers[-1].apply(y), found

    def _probed(self, probes: Tensor) -> Tensors:
        """The probes before the first and behind the last layer, where these are the same for all rows and times."""
        if not self._shared:
            return (probes.flatten(-2),)
        first, last = self._linears[0].weight, self._linears[-1].weight
        return (probes @ first.t()).flatten(-2), (probes @ last).flatten(-2)

    def _fused(self) -> Tensor:
        """The diagonal of W1 W2, or the matrix of the bilinear form of two hidden layers."""
        first, *middle, last = (layer.weight for layer in self._linears)
        if not middle:
            return (first * last.t()).sum(-1)
        return middle[0].t() * (first @ last)

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"


def _fused_divergence(slopes: list[Tensor], fused: Tensor) -> Tensor:
    r"""The divergence for one or two hidden layers: :math:`d_1 \cdot m` or :math:`(d_1 M) \cdot d_2`."""
    if len(slopes) == 1:
        return (slopes[0] @ fused).unsqueeze(-1)
    return ((slopes[0] @ fused) * slopes[1]).sum(-1, keepdim=True)


def _divergence(layers: list[Layer], slopes: list[Tensor]) -> Tensor:
    """The exact divergence: a tangent for each feature."""
    return _contraction(layers[0].weight.mT, layers[-1].weight, layers[1:-1], slopes)


def _estimate(layers: list[Layer], slopes: list[Tensor], probed: Tensors, count: int) -> Tensor:
    """Hutchinson's estimate: a tangent for each probe."""
    if len(probed) == 2:
        starts, ends = (x.unflatten(-1, (count, -1)) for x in probed)
    else:
        probes = probed[0].unflatten(-1, (count, -1))
        starts = torch.einsum("...pi,...oi->...po", probes, layers[0].weight)
        ends = torch.einsum("...po,...oi->...pi", probes, layers[-1].weight)
    if count == 1 and layers[1].weight.dim() == 2:
        tangent = starts.squeeze(-2) * slopes[0]
        for layer, slope in zip(layers[1:-1], slopes[1:], strict=True):
            tangent = functional.linear(tangent, layer.weight) * slope
        return (tangent * ends.squeeze(-2)).sum(-1, keepdim=True)
    return _contraction(starts, ends, layers[1:-1], slopes) / count


def _contraction(starts: Tensor, ends: Tensor, middle: list[Layer], slopes: list[Tensor]) -> Tensor:
    """Push tangents through the hidden layers, from ``starts``, and sum their products with ``ends``."""
    tangents = starts * slopes[0].unsqueeze(-2)
    for layer, slope in zip(middle, slopes[1:], strict=True):
        tangents = torch.einsum("...pi,...oi->...po", tangents, layer.weight) * slope.unsqueeze(-2)
    return (tangents * ends).sum((-2, -1)).unsqueeze(-1)

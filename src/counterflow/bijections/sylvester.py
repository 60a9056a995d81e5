"""Many steps along orthogonal directions at once: the Sylvester flow, which generalizes the planar one."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.base import AbstractBijection
from counterflow.bijections.planar import LEAST_SLOPE
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import soft_bound, soft_floor
from counterflow.core.rootfinding import solve_increasing
from counterflow.nets import make_conditioner

__all__ = ["Sylvester"]

LOG_SCALE_BOUND = 3.0
"""The largest log-scale of a hidden unit's input."""


class Sylvester(AbstractBijection):
    r"""A residual step through a layer of m hidden units that lie in a triangle.

    .. math:: z = x + Q R \tanh(\tilde R Q^\top x + b), \quad
        \log |\det| = \sum_{i=1}^{m} \log\left(1 + \tanh'(\cdot)_i\, R_{ii} \tilde R_{ii}\right)

    Q has m orthonormal columns, :math:`R` and :math:`\tilde R` are upper triangular, and
    :math:`R_{ii} \tilde R_{ii} > -1` makes it invertible. Q is the first m columns of a product of Householder
    reflections: as many as features reach every subspace, and none makes :math:`Q` a part of the identity, the
    triangular variant, whose order ``reverse`` turns. In the coordinates :math:`Q^\top x` the way back is solved from
    the last to the first, one increasing function of one number each, all rows at once, with gradients.
    R starts at zero, which makes the identity; a net of the context adds to Q, R, :math:`\tilde R` and b.

    Args:
        features: Number of features.
        units: m, the number of hidden units, at most as many as features; ``None`` for as many.
        reflections: Number of reflections; ``None`` for as many as features, at most 8.
        reverse: Let the triangle run from the last feature to the first; alternate it where reflections are few.
        context_features: Length of the context; 0 for none.
        hidden: Widths of the hidden layers of the context's net.
        generator: Where the reflections and the net's weights are drawn from.

    Raises:
        ArgumentError: If ``units`` is out of its range.

    Reference:
        van den Berg, Hasenclever, Tomczak, Welling, "Sylvester Normalizing Flows for Variational Inference", 2018,
        theorem 1 (the determinant) and theorem 2 (when it is invertible).

    Example:
        >>> layer = Sylvester(3, units=2)
        >>> layer.to_latent(torch.zeros(5, 3))[1]
        tensor([0., 0., 0., 0., 0.], grad_fn=<SumBackward1>)
    """

    vectors: Tensor

    one_pass_to_data = False

    def __init__(
        self,
        features: int,
        *,
        units: int | None = None,
        reflections: int | None = None,
        reverse: bool = False,
        context_features: int = 0,
        hidden: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        self.units = features if units is None else units
        self.reverse = reverse
        reflections = min(features, 8) if reflections is None else reflections
        check_count(self.units, "units")
        check_count(reflections, "reflections", 0)
        if self.units > features:
            raise ArgumentError(
                f"units must be at most features, {features}, got {units}. Choose fewer, or more layers."
            )
        self.register_buffer("vectors", torch.randn(reflections, features, generator=generator))
        self.sizes = (self.units**2, self.units, self.units, reflections * features)
        self.net = make_conditioner(
            0, sum(self.sizes), hidden=hidden, context_features=context_features, generator=generator
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the step."""
        outer, inner, bias, vectors = self._settings(x, context)
        unit = torch.tanh(_apply(inner, self._project(x, vectors)) + bias)
        return x + self._lift(_apply(outer, unit), vectors), _log_det(outer, inner, unit)

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Find the hidden units from the last to the first, and take the step back."""
        outer, inner, bias, vectors = self._settings(z, context)
        unit = _solve(outer, inner, bias, self._project(z, vectors))
        return z - self._lift(_apply(outer, unit), vectors), -_log_det(outer, inner, unit)

    def extra_repr(self) -> str:
        """Name the sizes and the order."""
        return f"{self.features}, units={self.units}, reflections={len(self.vectors)}, reverse={self.reverse}"

    def _settings(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give R, R tilde, b and the unit vectors of the reflections."""
        context = context if self.context_features else None
        raw = self.net((x if context is None else context)[..., :0], context).to(x.dtype)
        square, log_scale, bias, vectors = raw.split(self.sizes, -1)
        square = square.unflatten(-1, (self.units, self.units))
        scale = soft_bound(log_scale, LOG_SCALE_BOUND).exp()
        product = soft_floor(square.diagonal(dim1=-2, dim2=-1), LEAST_SLOPE - 1)
        outer = square.triu(1) + torch.diag_embed(product / scale)
        inner = square.tril(-1).mT + torch.diag_embed(scale)
        vectors = self.vectors + vectors.unflatten(-1, self.vectors.shape)
        return outer, inner, bias, functional.normalize(vectors, dim=-1)

    def _project(self, x: Tensor, vectors: Tensor) -> Tensor:
        """Multiply by Q transposed: reflect, and keep the first coordinates."""
        for v in vectors.unbind(-2):
            x = _reflect(x, v)
        return (x.flip(-1) if self.reverse else x)[..., : self.units]

    def _lift(self, y: Tensor, vectors: Tensor) -> Tensor:
        """Multiply by Q: append zeros, and reflect in the other order."""
        x = functional.pad(y, (0, self.features - self.units))
        x = x.flip(-1) if self.reverse else x
        for v in reversed(vectors.unbind(-2)):
            x = _reflect(x, v)
        return x


def _reflect(x: Tensor, v: Tensor) -> Tensor:
    return x - 2 * (x * v).sum(-1, keepdim=True) * v


def _apply(matrix: Tensor, y: Tensor) -> Tensor:
    return (matrix * y.unsqueeze(-2)).sum(-1)


def _log_det(outer: Tensor, inner: Tensor, unit: Tensor) -> Tensor:
    product = (outer * inner).diagonal(dim1=-2, dim2=-1)
    return torch.log1p((1 - unit.square()) * product).sum(-1)


def _solve(outer: Tensor, inner: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    """Find the units tanh(R~ y + b) of the y with y + R tanh(R~ y + b) = target: each y from those after it."""
    y, units = target[..., :0], target[..., :0]
    for i in reversed(range(target.shape[-1])):
        rest = target[..., i] - (outer[..., i, i + 1 :] * units).sum(-1)
        offset = bias[..., i] + (inner[..., i, i + 1 :] * y).sum(-1)
        one = _solve_one(outer[..., i, i], inner[..., i, i], offset, rest)
        unit = torch.tanh(inner[..., i, i] * one + offset)
        y = torch.cat((one.unsqueeze(-1), y.expand(*one.shape, -1)), -1)
        units = torch.cat((unit.unsqueeze(-1), units.expand(*one.shape, -1)), -1)
    return units


def _solve_one(outer: Tensor, inner: Tensor, offset: Tensor, target: Tensor) -> Tensor:
    """Solve y + r tanh(s y + offset) = target for y, where r s is above -1."""

    def after(y: Tensor) -> tuple[Tensor, Tensor]:
        unit = torch.tanh(inner * y + offset)
        return y + outer * unit, 1 + (1 - unit.square()) * (outer * inner)

    reach = outer.abs()
    return solve_increasing(after, target, target - reach, target + reach)

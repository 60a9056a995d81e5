"""Scale and shift of each feature by itself."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import NotInvertibleError
from counterflow.core.numerics import soft_bound, sum_event
from counterflow.distributions.base import as_shape
from counterflow.nets import make_conditioner

__all__ = ["Affine"]

CONTEXT_BOUND = math.log(30.0)
"""The largest change of a log-scale that a context can make."""


class Affine(AbstractBijection):
    r"""A scale and a shift of each feature: data is :math:`x_i = a_i z_i + b_i`.

    .. math:: z_i = (x_i - b_i) / a_i, \quad \log \left| \det \frac{\partial z}{\partial x} \right| = -\sum_i \log |a_i|

    With a context, a net that starts at zero adds to the shifts and to the log-scales.

    Args:
        event_shape: Number of features, or the shape of one point.
        shift: b, a number or one per feature; trained from there.
        scale: a, a number or one per feature, not zero; its logarithm is trained, its sign stays.
        context_features: Length of the context; 0 for none.
        hidden: Widths of the hidden layers of the context's net; empty for a linear map.
        generator: Where the net's weights are drawn from.

    Raises:
        NotInvertibleError: If a scale is zero.

    Example:
        >>> layer = Affine(1, shift=1.0, scale=2.0)  # X = 2 Z + 1
        >>> x, log_det = layer.to_data(torch.tensor([3.0]))
        >>> round(x.item(), 4), round(log_det.item(), 4)
        (7.0, 0.6931)
    """

    sign: Tensor

    def __init__(
        self,
        event_shape: int | tuple[int, ...],
        *,
        shift: float | Tensor = 0.0,
        scale: float | Tensor = 1.0,
        context_features: int = 0,
        hidden: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(as_shape(event_shape), context_features)
        shift, scale = (_fill(value, self.event_shape) for value in (shift, scale))
        if not bool((scale.abs() > 0).all()):
            raise NotInvertibleError(
                f"scale must not be zero, got {scale.tolist()}. A zero scale would map every value to the shift."
            )
        self.shift = nn.Parameter(shift)
        self.log_scale = nn.Parameter(scale.abs().log())
        self.register_buffer("sign", scale.sign())
        self.net = None
        if context_features:
            outputs = 2 * math.prod(self.event_shape)
            self.net = make_conditioner(
                0, outputs, hidden=hidden, context_features=context_features, generator=generator
            )

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Take the shift away, then the scale."""
        shift, log_scale = self._shift_and_log_scale(context)
        z = (x - shift) * (self.sign * torch.exp(-log_scale))
        return z, sum_event(-log_scale.expand_as(z), len(self.event_shape))

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Scale, then shift."""
        shift, log_scale = self._shift_and_log_scale(context)
        x = torch.addcmul(shift, z, self.sign * log_scale.exp())
        return x, sum_event(log_scale.expand_as(x), len(self.event_shape))

    def extra_repr(self) -> str:
        """Name the shape of one point."""
        return f"event_shape={self.event_shape}, context_features={self.context_features}"

    def _shift_and_log_scale(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.net is None or context is None:
            return self.shift, self.log_scale
        moves = self.net(context[..., :0], context).to(self.shift.dtype)
        shift, log_scale = moves.unflatten(-1, (2, *self.event_shape)).unbind(-1 - len(self.event_shape))
        return self.shift + shift, self.log_scale + soft_bound(log_scale, CONTEXT_BOUND)


def _fill(value: float | Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().expand(shape).clone()

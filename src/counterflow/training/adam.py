"""Adam on one vector, as plain formulas: what the compiler can fuse, and what torch's own fused kernel computes."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Moments", "clipped", "updated"]

_DECAYS = (0.9, 0.999)
_TINY = 1e-8


class Moments(NamedTuple):
    """Adam's state: running means of the gradient and of its square, and how many steps were taken.

    Args:
        mean: Of the gradient, shape (n,).
        square: Of its square, shape (n,).
        steps: A number, shape ().
    """

    mean: Tensor
    square: Tensor
    steps: Tensor

    @classmethod
    def zeros(cls, vector: Float[Tensor, " n"]) -> "Moments":
        """The state before the first step."""
        steps = torch.zeros((), dtype=torch.float32, device=vector.device)
        return cls(torch.zeros_like(vector), torch.zeros_like(vector), steps)

    def reset(self) -> None:
        """Forget everything, in place."""
        for value in self:
            value.zero_()

    def snapshot(self) -> dict[str, Tensor]:
        """Copies by name."""
        return {name: value.clone() for name, value in self._asdict().items()}

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """Put a former :meth:`snapshot` back in place."""
        for name, value in self._asdict().items():
            value.copy_(snapshot[name])


def clipped(gradient: Float[Tensor, " n"], largest: float) -> Float[Tensor, " n"]:
    """The gradient, shortened to a norm of at most ``largest``."""
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (largest / (norm + 1e-6)).clamp(max=1.0)


def updated(
    vector: Float[Tensor, " n"],
    gradient: Float[Tensor, " n"],
    moments: Moments,
    *,
    learning_rate: Float[Tensor, ""],
    weight_decay: float,
) -> Float[Tensor, " n"]:
    r"""Give the vector after one step of AdamW; the moments move in place.

    .. math:: \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, \frac{m / (1 - \beta_1^t)}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        vector: The parameters.
        gradient: Their gradient.
        moments: The state, changed in place.
        learning_rate: :math:`\eta`.
        weight_decay: :math:`\lambda`; 0 makes it Adam.

    Returns:
        The new parameters.

    Reference:
        Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
        Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """
    first, second = _DECAYS
    moments.steps.add_(1)
    moments.mean.lerp_(gradient, 1 - first)
    moments.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    steps = moments.steps.to(vector.dtype)
    rate = learning_rate / -torch.expm1(steps * math.log(first))  # 1 - decay^steps, with all its digits
    spread = moments.square.sqrt() * (-torch.expm1(steps * math.log(second))).rsqrt() + _TINY
    return vector * (1 - learning_rate * weight_decay) - rate * moments.mean / spread

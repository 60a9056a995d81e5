"""Every token is mapped by a function that a transformer chooses from the tokens before it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions.base import as_shape
from counterflow.nets.transformer import CausalTransformer

__all__ = ["TransformerAutoregressive"]


class TransformerAutoregressive(AbstractBijection):
    r"""An autoregressive map over tokens, whose parameters come from a causal transformer.

    .. math:: z_t = f(x_t;\ \theta_t(x_{<t}, c)), \quad t = 1, \dots, T

    A token is a group of neighboring features, or a square patch of an image through all channels; within a token f
    acts on each number by itself. Towards the latent all tokens are mapped in one pass. Towards data they come one
    after the other, each passing through the network once, because the keys and values of those before are kept.

    Args:
        event_shape: Number of features, or ``(channels, height, width)``.
        transformer: The family f, such as ``ScaleShift()``.
        token: Features of a token, or the side of a patch; it divides the number of features, or height and width.
        reverse: Order the tokens from last to first; alternate it from layer to layer.
        hidden: The width of the network, once for each of its blocks.
        heads: Number of attentions side by side; it divides the width.
        context_features: Length of the context; 0 for none.
        generator: Where the network's weights are drawn from.

    Raises:
        ShapeError: If ``event_shape`` is neither of a table nor of an image, or tokens do not fill it.
        ArgumentError: If the widths differ, or are no multiple of ``heads``.

    Reference:
        Zhai et al., "Normalizing Flows are Capable Generative Models", 2025, section 2.2.

    Example:
        >>> from counterflow.bijections import ScaleShift
        >>> layer = TransformerAutoregressive(4, ScaleShift(), token=2, hidden=(16,))
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0, 4.0]))[0].tolist()
        [1.0, 2.0, 3.0, 4.0]
    """

    one_pass_to_data = False

    def __init__(
        self,
        event_shape: int | tuple[int, ...],
        transformer: AbstractTransformer,
        *,
        token: int = 1,
        reverse: bool = False,
        hidden: tuple[int, ...] = (64, 64),
        heads: int = 4,
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(as_shape(event_shape), context_features)
        check_count(token, "token")
        _check_tokens(self.event_shape, token)
        if len(set(hidden)) != 1:
            raise ArgumentError(f"hidden must hold one width for each block, all equal, got {hidden}. Try (64, 64).")
        self.transformer = transformer
        self.token = token
        self.reverse = reverse
        size = token if len(self.event_shape) == 1 else self.event_shape[0] * token**2
        self.net = CausalTransformer(
            size,
            transformer.size * size,
            length=math.prod(self.event_shape) // size,
            width=hidden[0],
            blocks=len(hidden),
            heads=heads,
            context_features=context_features,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map data to latent, all tokens in one pass."""
        tokens, context = self._tokens(x, context)
        mapped, log_det = self.transformer.to_latent(tokens, self.net(tokens, context).to(x.dtype))
        return self._points(mapped), log_det.sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Map latent to data, one token after the other."""
        tokens, context = self._tokens(z, context)
        caches = self.net.caches()
        found, log_dets = [tokens[..., 0, :]], []
        for place in range(self.net.length):
            parameters = self.net.step(found[-1], caches, place=place, context=context).to(z.dtype)
            x, log_det = self.transformer.to_data(tokens[..., place, :], parameters)
            found.append(x)
            log_dets.append(log_det)
        return self._points(torch.stack(found[1:], -2)), torch.stack(log_dets, -1).sum(-1)

    def extra_repr(self) -> str:
        """Name the shapes, the family and the order."""
        return f"{self.event_shape}, {self.transformer}, token={self.token}, reverse={self.reverse}"

    def _tokens(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cut points into tokens, shape ``(*batch, length, size)``."""
        context = context if self.context_features else None
        x = broadcast_batch(x, context, len(self.event_shape))
        if len(self.event_shape) == 1:
            tokens = x.unflatten(-1, (-1, self.token))
        else:
            patches = x.unflatten(-1, (-1, self.token)).unflatten(-3, (-1, self.token))  # channels, h, p, w, q
            tokens = patches.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)
        return tokens.flip(-2) if self.reverse else tokens, context

    def _points(self, tokens: Tensor) -> Tensor:
        """Put tokens together again."""
        tokens = tokens.flip(-2) if self.reverse else tokens
        if len(self.event_shape) == 1:
            return tokens.flatten(-2)
        channels, height, width = self.event_shape
        across = tokens.unflatten(-2, (height // self.token, width // self.token))
        patches = across.unflatten(-1, (channels, self.token, self.token))  # h, w, channels, p, q
        return patches.movedim((-5, -4), (-4, -2)).flatten(-2).flatten(-3, -2)


def _check_tokens(event_shape: tuple[int, ...], token: int) -> None:
    sides = event_shape if len(event_shape) == 1 else event_shape[1:]
    if len(event_shape) not in (1, 3) or any(side % token for side in sides):
        raise ShapeError(
            f"tokens of {token} must fill (features,) or (channels, height, width), got {event_shape}. "
            "Choose a token that divides the number of features, or height and width."
        )

"""A causal transformer: each token's output depends on the tokens before it, and it can be computed token by token."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.nets.linear import make_linear

__all__ = ["CausalTransformer", "KeyValueCache"]


class KeyValueCache:
    """Keys and values of the tokens so far, for one attention.

    With gradients they are put together anew for each token, without they are written into buffers made once.

    Args:
        length: How many tokens will come.

    Example:
        >>> cache = KeyValueCache(4)
        >>> one = torch.ones(1, 8)
        >>> [cache.extend(one, one)[0].shape[-2] for _ in range(3)]
        [1, 2, 3]
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._used = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(
        self, key: Float[Tensor, "*batch 1 size"], value: Float[Tensor, "*batch 1 size"]
    ) -> tuple[Float[Tensor, "*batch tokens size"], Float[Tensor, "*batch tokens size"]]:
        """Add one token, and give the keys and values of all so far."""
        self._keys, keys = self._added(self._keys, key)
        self._values, values = self._added(self._values, value)
        self._used += 1
        return keys, values

    def _added(self, kept: Tensor | None, new: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            joined = new if kept is None else torch.cat((kept, new), -2)
            return joined, joined
        if kept is None:
            kept = new.new_empty((*new.shape[:-2], self.length, new.shape[-1]))
        kept[..., self._used : self._used + 1, :] = new
        return kept, kept[..., : self._used + 1, :]


class _Block(nn.Module):
    """Attention to the tokens so far, then a perceptron, each added to what came in."""

    def __init__(self, width: int, heads: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.heads = heads
        self.attend, self.think = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Parameter(make_linear(width, 3 * width, generator=generator).weight.detach())
        self.join = make_linear(width, width, generator=generator)
        self.widen = make_linear(width, 4 * width, generator=generator)
        self.narrow = make_linear(4 * width, width, generator=generator)

    def forward(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        queries, keys, values = self._split(functional.linear(self.attend(tokens), self.project))
        if cache is not None:
            keys, values = cache.extend(keys, values)
        found = functional.scaled_dot_product_attention(queries, keys, values, is_causal=cache is None)
        tokens = tokens + self.join(found.transpose(-3, -2).flatten(-2))
        return tokens + self.narrow(functional.gelu(self.widen(self.think(tokens))))

    def _split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, one sequence for each head."""
        parts = projected.unflatten(-1, (3, self.heads, -1)).movedim(-3, 0).transpose(-3, -2)
        return parts[0], parts[1], parts[2]


class CausalTransformer(nn.Module):
    r"""A transformer with normalization before each part, whose output at a token depends on the tokens before it.

    .. math:: y_t = f_t(x_1, \dots, x_{t-1}; c), \quad t = 1, \dots, T

    The sequence is moved on by one place: a start token stands first, and the last token is never looked at. Positions
    are learned; a linear map of the context is added to every place. :meth:`forward` gives all places in one pass,
    :meth:`step` the next place, with the keys and values of those before it kept in caches.

    Args:
        inputs: Length of a token.
        outputs: Length of an output.
        length: T, the number of tokens.
        width: Width of the hidden state, a multiple of ``heads``.
        blocks: Number of blocks of attention and perceptron.
        heads: Number of attentions side by side.
        context_features: Length of the context; 0 for none.
        zero: Start the last layer at zero: the output is zero until training moves it.
        generator: Where the weights are drawn from.

    Raises:
        ArgumentError: If ``width`` is no multiple of ``heads``.

    Reference:
        Vaswani et al., "Attention Is All You Need", 2017, equation 1; Xiong et al., "On Layer Normalization in the
        Transformer Architecture", 2020, figure 1(b).

    Example:
        >>> net = CausalTransformer(2, 4, length=3, width=8, heads=2)
        >>> net(torch.zeros(5, 3, 2)).shape
        torch.Size([5, 3, 4])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        length: int,
        width: int = 64,
        blocks: int = 2,
        heads: int = 4,
        context_features: int = 0,
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for value, name in ((length, "length"), (width, "width"), (blocks, "blocks"), (heads, "heads")):
            check_count(value, name)
        if width % heads:
            raise ArgumentError(f"width must be a multiple of heads, {heads}, got {width}. Choose another of them.")
        self.length = length
        self.context_features = context_features
        self.embed = make_linear(inputs, width, generator=generator)
        self.places = nn.Parameter(torch.randn(length, width, generator=generator) * width**-0.5)
        self.context_embed = make_linear(context_features, width, generator=generator) if context_features else None
        self.blocks = nn.ModuleList(_Block(width, heads, generator) for _ in range(blocks))
        self.normalize = nn.LayerNorm(width)
        self.read = make_linear(width, outputs, generator=generator, zero=zero)

    def forward(
        self, x: Float[Tensor, "*batch tokens inputs"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out tokens outputs"]:
        """Compute the outputs of all places at once; leading dimensions of ``x`` and ``context`` broadcast."""
        before = functional.pad(self.embed(x[..., :-1, :]), (0, 0, 1, 0))
        hidden = self._placed(before, self.places, context)
        for block in self.blocks:
            hidden = block(hidden)
        return self.read(self.normalize(hidden))

    def caches(self) -> list[KeyValueCache]:
        """Make empty caches for a new sequence."""
        return [KeyValueCache(self.length) for _ in self.blocks]

    def step(
        self,
        previous: Float[Tensor, "*batch inputs"],
        caches: list[KeyValueCache],
        *,
        place: int,
        context: Float[Tensor, "*rows c"] | None = None,
    ) -> Float[Tensor, "*out outputs"]:
        """Compute the output at one place, given the token before it.

        Args:
            previous: The token before this place; at the first, where there is none, any of the right shape.
            caches: What :meth:`caches` made, and the steps for the places before this one filled.
            place: Which place, from 0.
            context: One vector per sequence, with the leading dimensions of ``previous``.

        Returns:
            The output at this place, the same as that of :meth:`forward`.
        """
        before = self.embed(previous).unsqueeze(-2)
        before = before if place else torch.zeros_like(before)
        hidden = self._placed(before, self.places[place : place + 1], context)
        for block, cache in zip(cast("list[_Block]", list(self.blocks)), caches, strict=True):
            hidden = block(hidden, cache)
        return self.read(self.normalize(hidden)).squeeze(-2)

    def extra_repr(self) -> str:
        """Name the length of the sequence."""
        return f"length={self.length}, context_features={self.context_features}"

    def _placed(self, before: Tensor, places: Tensor, context: Tensor | None) -> Tensor:
        hidden = before + places
        if self.context_embed is None or context is None:
            return hidden
        return hidden + self.context_embed(context).unsqueeze(-2)

"""A masked net evaluated feature by feature, each unit once: what makes sampling from autoregressive maps cheap."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.nets.linear import get_activation

if TYPE_CHECKING:
    from counterflow.nets.masked import MaskedMLP

__all__ = ["Stepwise"]


class Stepwise:
    """One run of a :class:`MaskedMLP` in the order of its features, for many points at once.

    The units of a masked net are sorted by degree, so that those which a newly known feature sets free are the next
    few rows of each layer. :meth:`conditions` gives the outputs for the next feature, :meth:`advance` takes its value
    and computes those few units. A whole run costs about as many multiplications as half a pass of the net, whatever
    the number of features.

    Args:
        net: The net.
        context: Of shape (points, c); ``None`` for a net without.
        points: How many points run side by side.

    Example:
        >>> from counterflow.nets import MaskedMLP
        >>> net, x = MaskedMLP(3, 2, hidden=(8,), zero=False), torch.randn(5, 3)
        >>> run = Stepwise(net, None, points=5)
        >>> outputs = []
        >>> for feature in net.order:
        ...     outputs.append(run.conditions())
        ...     run.advance(x[:, feature])
        >>> bool(torch.allclose(torch.stack(outputs, -1), net(x).unflatten(-1, (2, 3)).movedim(0, 1), atol=1e-6))
        True
    """

    def __init__(self, net: "MaskedMLP", context: Float[Tensor, "points c"] | None, *, points: int) -> None:
        self._net = net
        self._weights, self._biases = net.unmasked(context)
        store = _Growing if torch.is_grad_enabled() else _Buffer
        self._known = [store(weight.shape[1]) for weight in self._weights]
        self._points = points
        self._next = 0
        if context is not None:
            self._free_units(-1)

    def conditions(self) -> Float[Tensor, "size points"]:
        """Give the outputs for the next feature in order."""
        rows = slice(self._net.order[self._next], None, self._net.features)
        return self._rows(len(self._weights) - 1, rows)

    def advance(self, x: Float[Tensor, " points"]) -> None:
        """Take the value of the next feature."""
        self._known[0].append(x.unsqueeze(0))
        self._free_units(self._next)
        self._next += 1

    def _free_units(self, degree: int) -> None:
        """Compute the hidden units that see features up to this degree and no further."""
        phi, before = get_activation(self._net.activation), None
        for layer, rows in enumerate(self._net.units_of(degree)):
            if rows.start < rows.stop:
                sums = self._rows(layer, rows)
                before = sums if before is None or not self._net.residual else before + sums
                self._known[layer + 1].append(phi(before))

    def _rows(self, layer: int, rows: slice) -> Tensor:
        """Some rows of a layer, from all of its inputs that are known."""
        known = self._known[layer]
        bias = self._biases[layer][rows]
        if not known.count:
            return bias.expand(-1, self._points).contiguous()
        return torch.addmm(bias, self._weights[layer][rows, : known.count], known.rows())


class _Buffer:
    """Rows that become known one after another, written into one preallocated block of memory."""

    def __init__(self, total: int) -> None:
        self.count = 0
        self._total = total
        self._memory: Tensor | None = None

    def append(self, rows: Float[Tensor, "some points"]) -> None:
        if self._memory is None:
            self._memory = rows.new_empty(self._total, rows.shape[1])
        self._memory[self.count : self.count + rows.shape[0]] = rows
        self.count += rows.shape[0]

    def rows(self) -> Float[Tensor, "some points"]:
        return self._memory[: self.count]  # pyright: ignore[reportOptionalSubscript]


class _Growing:
    """The same in new memory at each step, as automatic differentiation needs it."""

    def __init__(self, total: int) -> None:
        self.count = 0
        self._parts: list[Tensor] = []

    def append(self, rows: Float[Tensor, "some points"]) -> None:
        self._parts.append(rows)
        self.count += rows.shape[0]

    def rows(self) -> Float[Tensor, "some points"]:
        return torch.cat(self._parts)

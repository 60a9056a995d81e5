"""A flow over the encoding of a table: log-densities of rows in the data's own units, and made-up rows."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import Chain, Whitening
from counterflow.core.numerics import log_mean_exp
from counterflow.flows import Flow
from counterflow.tables import FlowEncoding

__all__ = ["TableDensity"]

_POINTS_AT_ONCE = 16384


class TableDensity(nn.Module):
    r"""The density of a row x under a flow q over the dequantized encoding (u, w) of :class:`FlowEncoding`.

    .. math:: \log p(x) = \log \frac1K \sum_{k=1}^K \exp\big(\log q(u(x, r_k)) + w(x, r_k)\big)

    The draws :math:`r_1 \dots r_K` are fixed, and everything is computed in float64, so that a row has one
    log-density, whatever rows it is scored with.

    Args:
        encoding: Between rows and the flow's space.
        flow: The flow; it is taken over, in float64 and without gradients.
        draws: How many dequantization draws are averaged over; a table without discrete values needs one alone.

    Example:
        >>> from counterflow import flows
        >>> from counterflow.tables import Column, Schema
        >>> numbers = np.array([[-2.0], [2.0]])
        >>> encoding = FlowEncoding.fit(Schema((Column("x"),)), numbers)  # standardizes: the scale is 2
        >>> density = TableDensity(encoding, flows.linear(1), draws=1)
        >>> density.log_density(numbers).round(4).tolist()  # -1/2 - log(2 pi) / 2 - log 2
        [-2.1121, -2.1121]
    """

    noise: Tensor

    def __init__(self, encoding: FlowEncoding, flow: Flow, *, draws: int) -> None:
        super().__init__()
        self.encoding = encoding.cpu()
        self.flow = flow.cpu().double().eval().requires_grad_(requires_grad=False)
        self.register_buffer("noise", encoding.fixed_noise(draws).double(), persistent=False)

    def log_density(self, numbers: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
        """The natural log-density of each row, as :class:`TableCodec` gives them."""
        parts = torch.from_numpy(numbers).split(max(1, _POINTS_AT_ONCE // len(self.noise)))
        with torch.no_grad():
            return torch.cat([self._averaged(part) for part in parts]).numpy()

    def _averaged(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, " rows"]:
        points, log_weight = self.encoding.encode(numbers.expand(len(self.noise), *numbers.shape), self.noise)
        return log_mean_exp(self.flow(points) + log_weight, 0)

    def draw(self, count: int, *, generator: torch.Generator) -> Float[np.ndarray, "count columns"]:
        """Made-up rows, as numbers that :class:`TableCodec` turns into a frame."""
        sizes = [_POINTS_AT_ONCE] * (count // _POINTS_AT_ONCE) + [count % _POINTS_AT_ONCE]
        points = torch.cat([self.flow.sample(size, generator=generator) for size in sizes if size])
        return self.encoding.decode(points).numpy()

    @property
    def whitened(self) -> bool:
        """Whether a whitening stands in front of the flow that a recipe built."""
        return isinstance(self.flow.bijection, Chain) and isinstance(self.flow.bijection.parts[0], Whitening)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The numbers of its parts for a saved folder."""
        return {"encoding": self.encoding.state_dict(), "flow": self.flow.state_dict()}

    def extra_repr(self) -> str:
        """Name the number of draws."""
        return f"draws={len(self.noise)}"

"""The network behind a stand-in: a table's numbers on several scales, then a multilayer perceptron."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.models.table_features import TableFeatures, ordinary_rows, standard_units
from counterflow.nets import MLP
from counterflow.tables.schema import Schema

__all__ = ["StandInNet"]

_KNOTS = 16


class StandInNet(nn.Module):
    r"""A multilayer perceptron on a number's size and on where it stands among the table's.

    A standardized number :math:`u` enters as asinh(u), so that a heavy tail stays near, and as how much of each segment
    between neighboring quantiles :math:`b_t` of its column it has passed:

    .. math:: \phi_t(x) = \min\left(\max\left(\frac{x - b_{t-1}}{b_t - b_{t-1}}, 0\right), 1\right)

    Trees cut along quantiles, and so the network can bend where they do. Categories and special codes have an
    indicator each.

    Args:
        schema: The columns.
        outputs: How many logits or values.
        hidden: The widths of the hidden layers.
        tensors: ``center`` and ``scale`` of each column, ``knot_column``, ``knot_left`` and ``knot_width`` of each
            segment, ``value_center`` and ``value_scale`` of the output; see :meth:`for_table`.
        generator: Where the first weights come from.

    Reference:
        Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning", 2022, eq. 1.

    Example:
        >>> from counterflow.tables import Column
        >>> rows = torch.arange(9.0, dtype=torch.float64)[:, None]
        >>> net = StandInNet.for_table(Schema((Column("a"),)), rows, outputs=2, hidden=(8,))
        >>> net.double()(rows).shape
        torch.Size([9, 2])
    """

    knot_column: Tensor
    knot_left: Tensor
    knot_width: Tensor
    value_center: Tensor
    value_scale: Tensor

    def __init__(
        self,
        schema: Schema,
        *,
        outputs: int,
        hidden: tuple[int, ...],
        tensors: Mapping[str, Tensor],
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.outputs, self.hidden = outputs, tuple(hidden)
        self.features = TableFeatures(schema, tensors["center"], tensors["scale"])
        for name in ("knot_column", "knot_left", "knot_width", "value_center", "value_scale"):
            self.register_buffer(name, tensors[name])
        count = self.features.count + len(tensors["knot_column"])
        self.mlp = MLP(count, outputs, hidden=self.hidden, generator=generator)

    @classmethod
    def for_table(
        cls,
        schema: Schema,
        numbers: Float[Tensor, "rows columns"],
        *,
        outputs: int,
        hidden: tuple[int, ...],
        values: Float[Tensor, "answers 1"] | None = None,
        generator: torch.Generator | None = None,
    ) -> "StandInNet":
        """Measure what it needs of a table, and of the values that a regressor gives for it.

        Args:
            schema: The columns.
            numbers: Rows of the table.
            outputs: How many logits or values.
            hidden: The widths of the hidden layers.
            values: A regressor's values, whose middle and spread the output gets; ``None`` for logits.
            generator: Where the first weights come from.

        Returns:
            The network, untrained.
        """
        center, scale = standard_units(schema, numbers)
        column, left, width = _segments(schema, numbers)
        middle, spread = torch.zeros(1).double(), torch.ones(1).double()
        if values is not None:
            middle, spread = values.mean().reshape(1), values.std(correction=0).reshape(1)
        tensors = {
            "center": center,
            "scale": scale,
            "knot_column": column,
            "knot_left": left,
            "knot_width": width,
            "value_center": middle,
            "value_scale": torch.where(spread > 0, spread, 1.0),
        }
        return cls(schema, outputs=outputs, hidden=hidden, tensors=tensors, generator=generator)

    def encode(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows features"]:
        """What the perceptron sees."""
        units, ordinary, hits = self.features.parts(numbers)
        passed = ((numbers[:, self.knot_column] - self.knot_left) / self.knot_width).clamp(0.0, 1.0)
        passed = torch.where(ordinary[:, self.knot_column], passed, torch.zeros_like(passed))
        sizes = torch.asinh(units[:, self.features.numeric])
        return torch.cat((sizes, passed, hits), 1)

    def forward(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows outputs"]:
        """Logits or values in float64, differentiable in the numeric columns; a row's do not hang on the others."""
        return self.mlp(self.encode(numbers)) * self.value_scale + self.value_center

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and tensors for a saved folder."""
        return {"outputs": self.outputs, "hidden": list(self.hidden)}, dict(self.state_dict())

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, schema: Schema) -> "StandInNet":
        """Build it again from what :meth:`to_parts` gave."""
        named = {name.removeprefix("features."): tensor for name, tensor in tensors.items()}
        net = cls(schema, outputs=config["outputs"], hidden=tuple(config["hidden"]), tensors=named)
        net.load_state_dict(dict(tensors))
        return net.double().eval().requires_grad_(False)


def _segments(schema: Schema, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Column, left end and width of each segment between quantiles of the ordinary numbers."""
    ordinary = ordinary_rows(schema, numbers)
    levels = torch.linspace(0.0, 1.0, _KNOTS + 1, dtype=numbers.dtype)
    columns, left, width = [], [], []
    for position in range(len(schema)):
        values = numbers[ordinary[:, position], position]
        if not len(values):
            continue
        knots = values.quantile(levels).unique()
        columns.extend([position] * (len(knots) - 1))
        left.append(knots[:-1])
        width.append(knots.diff())
    nothing = numbers.new_zeros(0)
    return torch.tensor(columns, dtype=torch.long), torch.cat([nothing, *left]), torch.cat([nothing, *width])

"""Formulas: models as differentiable functions from the table's numbers to logits."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.models.borrowing import Loan
from counterflow.models.conversion import Columns, NotConvertible
from counterflow.tables.schema import Schema

__all__ = ["NetworkFormula", "OwnFormula", "network_type", "table_columns"]


def table_columns(schema: Schema, names: Sequence[str]) -> Columns:
    """The columns that a model reads, in its order, as columns of the table's numbers.

    Raises:
        NotConvertible: If it reads a column that the schema does not have.
    """
    for name in names:
        if name not in schema.names:
            raise NotConvertible(f"it reads the column {name!r}, which the schema does not have")
    start = Columns.start([tuple(column.categories) or None for column in schema.columns])
    return start.select([schema.index(name) for name in names])


def network_type(*modules: nn.Module | None) -> tuple[torch.dtype, torch.device]:
    """Precision and device of the first floating parameter or buffer; float32 on the CPU if there is none."""
    for module in modules:
        for tensor in () if module is None else (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype, tensor.device
    return torch.float32, torch.device("cpu")


class OwnFormula:
    """A converted model: a frozen float64 module of ours, which follows its input's device."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._device = torch.device("cpu")

    def __call__(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
        """Logits or values."""
        if numbers.device != self._device:
            self.module.to(numbers.device)
            self._device = numbers.device
        return self.module(numbers.double())


class NetworkFormula:
    """A borrowed network behind its encoding; it stays on its device and in its precision.

    Args:
        net: The user's network.
        head: Its output to (n, K) logits or (n, 1) values.
        encode: Numbers to encoded rows: ``None`` (the numbers), a module of ours, or one of the user's.
        loan: The loan of everything borrowed.
    """

    def __init__(
        self, net: nn.Module, *, head: Callable[[Tensor], Tensor], encode: nn.Module | None, loan: Loan
    ) -> None:
        self._net, self._head, self._encode, self._loan = net, head, encode, loan
        self._type, self._device = network_type(net)
        self._encode_type, _ = network_type(encode)

    def __call__(self, numbers: Float[Tensor, "n d"]) -> Float[Tensor, "n K"]:
        """Logits or values in float64, on the device of the numbers."""
        with self._loan:
            encoded = numbers.to(self._device)
            if self._encode is not None:
                encoded = self._encode(encoded.to(self._encode_type))
            answer = self._net(encoded.to(self._type))
        return self._head(answer.double()).to(numbers.device)

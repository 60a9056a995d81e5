"""All trainable parameters of a module as one vector, so that a step, a copy or a check is one operation."""

import torch
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError

__all__ = ["Weights"]

_ALIGNMENT = 16
"""Each parameter starts at a multiple of so many numbers, as fast kernels want it."""


class Weights:
    """The parameters of ``module`` that want gradients, moved into one vector, and its saved buffers.

    While this object is in charge, the module's parameters are windows into :attr:`vector`: an optimizer that moves
    the vector moves them. :meth:`release` gives each parameter its own memory again.

    Args:
        module: The module to train.

    Raises:
        ArgumentError: No parameter wants gradients, or they differ in dtype or device.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._module = module
        _check_alike(self._parameters)
        self._gaps = [self._parameters[0].new_zeros(-p.numel() % _ALIGNMENT) for p in self._parameters]
        self.vector = nn.Parameter(self._join([p.detach() for p in self._parameters]))
        self.vector.grad = self.gradient = torch.zeros_like(self.vector)
        self._share_memory()

    def gather_gradient(self) -> None:
        """Move the gradients of all parameters into :attr:`gradient`, the vector's."""
        torch.cat(self._with_gaps([_gradient(p) for p in self._parameters]), out=self.gradient)
        self.clear_gradients()

    def clear_gradients(self) -> None:
        """Forget the gradients of the module's parameters."""
        for parameter in self._parameters:
            parameter.grad = None

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the vector and of every buffer that the module saves."""
        return {"vector": self.vector.detach().clone()} | {
            f"buffer.{name}": buffer.detach().clone() for name, buffer in self._buffers().items()
        }

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """Put a former :meth:`snapshot` back in place."""
        buffers = self._buffers()
        with torch.no_grad():
            self.vector.copy_(snapshot["vector"])
            for name, buffer in buffers.items():
                buffer.copy_(snapshot[f"buffer.{name}"])

    def release(self) -> None:
        """Give every parameter its own memory again."""
        self.clear_gradients()
        for parameter in self._parameters:
            parameter.data = parameter.detach().clone()

    def _share_memory(self) -> None:
        offset = 0
        for parameter, gap in zip(self._parameters, self._gaps, strict=True):
            parameter.data = self.vector.detach()[offset : offset + parameter.numel()].view_as(parameter)
            parameter.grad = None
            offset += parameter.numel() + len(gap)

    def _join(self, tensors: list[Tensor]) -> Tensor:
        return torch.cat(self._with_gaps(tensors))

    def _with_gaps(self, tensors: list[Tensor]) -> list[Tensor]:
        return [piece for tensor, gap in zip(tensors, self._gaps, strict=True) for piece in (tensor.reshape(-1), gap)]

    def _buffers(self) -> dict[str, Tensor]:
        saved = self._module.state_dict(keep_vars=True)
        return {name: buffer for name, buffer in self._module.named_buffers() if name in saved}


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient; zeros for a parameter that had no part in the loss."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _check_alike(parameters: list[nn.Parameter]) -> None:
    kinds = {(p.dtype, p.device) for p in parameters}
    if not kinds:
        raise ArgumentError("The module must have parameters to train, got none: all are frozen or there are none.")
    if len(kinds) > 1:
        listed = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ArgumentError(f"All parameters must share one dtype and device, got {listed}: use module.to(...) first.")

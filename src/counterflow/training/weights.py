"""All trainable parameters of a module as one vector, so that a step, a copy or a check is one operation."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError

__all__ = ["Layout", "Weights"]

_ALIGNMENT = 16
"""Each parameter starts at a multiple of so many numbers, as fast kernels want it."""


class Layout:
    """Where each trainable parameter of a module lies in one vector.

    Args:
        module: The module to train.

    Raises:
        ArgumentError: No parameter wants gradients, or they differ in dtype or device.
    """

    def __init__(self, module: nn.Module) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        _check_alike(self.parameters)
        self.names = [name for name, _ in named]
        self.device = self.parameters[0].device
        self._shapes = [p.shape for p in self.parameters]
        self._gaps = [-p.numel() % _ALIGNMENT for p in self.parameters]

    def windows(self, vector: Float[Tensor, " n"]) -> list[Tensor]:
        """The parameters as windows into the vector."""
        sizes = [size for shape, gap in zip(self._shapes, self._gaps, strict=True) for size in (shape.numel(), gap)]
        return [piece.view(shape) for piece, shape in zip(vector.split(sizes)[::2], self._shapes, strict=True)]

    def join(self, tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Float[Tensor, " n"]:
        """One tensor for each parameter as one vector, zeros in the gaps."""
        pieces: list[Tensor] = []
        for tensor, gap in zip(tensors, self._gaps, strict=True):
            pieces += [tensor.reshape(-1), tensor.new_zeros(gap)] if gap else [tensor.reshape(-1)]
        return torch.cat(pieces) if out is None else torch.cat(pieces, out=out)


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
        self._module = module
        self.layout = Layout(module)
        self.vector = nn.Parameter(self.layout.join([p.detach() for p in self._parameters]))
        self.vector.grad = self.gradient = torch.zeros_like(self.vector)
        self._are_windows = True
        for parameter, window in zip(self._parameters, self.layout.windows(self.vector.detach()), strict=True):
            parameter.data, parameter.grad = window, None

    def gather_gradient(self) -> None:
        """Move the gradients of all parameters into :attr:`gradient`, the vector's."""
        self.layout.join([_gradient(p) for p in self._parameters], out=self.gradient)
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
        self.spread()

    def separate(self) -> None:
        """Give every parameter memory of its own already now; :meth:`spread` brings it up to date after each step."""
        self.release()
        self._are_windows = False

    @torch.no_grad()
    def spread(self) -> None:
        """Copy the vector to parameters that have memory of their own."""
        if not self._are_windows:
            for parameter, window in zip(self._parameters, self.layout.windows(self.vector), strict=True):
                parameter.copy_(window)

    def release(self) -> None:
        """Give every parameter its own memory again."""
        self.clear_gradients()
        for parameter in self._parameters:
            parameter.data = parameter.detach().clone()

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return self.layout.parameters

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

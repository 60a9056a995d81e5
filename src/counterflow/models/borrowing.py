"""A user's network is borrowed frozen and in evaluation mode, and given back as it came."""

import threading
from types import TracebackType

from torch import nn

__all__ = ["Loan"]


class Loan:
    """A context in which modules are frozen and in evaluation mode; afterwards every flag is what it was.

    Entering it again inside costs nothing, so that a search may hold the loan around hundreds of calls. Threads may
    share one loan: the flags return when the last one leaves.

    Args:
        modules: The networks to borrow.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 1), nn.Dropout())
        >>> with Loan(net):
        ...     net.training, net[0].weight.requires_grad
        (False, False)
        >>> net.training, net[0].weight.requires_grad
        (True, True)
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._depth = 0
        self._training: list[tuple[nn.Module, bool]] = []
        self._gradients: list[nn.Parameter] = []

    def __enter__(self) -> "Loan":
        """Freeze, unless it is already done."""
        with self._lock:
            if self._depth == 0:
                self._freeze()
            self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back when the last one leaves, whatever happened."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._give_back()

    def _freeze(self) -> None:
        self._training = [(part, part.training) for module in self._modules for part in module.modules()]
        parameters = {id(p): p for module in self._modules for p in module.parameters() if p.requires_grad}
        self._gradients = list(parameters.values())
        for part, _ in self._training:
            part.training = False
        for parameter in self._gradients:
            parameter.requires_grad_(False)

    def _give_back(self) -> None:
        for part, training in self._training:
            part.training = training
        for parameter in self._gradients:
            parameter.requires_grad_(True)
        self._training, self._gradients = [], []

"""What every library must be able to do, so that all are asked the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmarks.cases import Size

__all__ = ["Conditioner", "Library", "Model", "TorchModel"]


class Model(Protocol):
    """A flow of some library. Each method returns when its work is done, also where a device works by itself."""

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        ...

    def train_step(self, x: Tensor) -> object:
        """Forward, backward, and one step of Adam on the mean negative log-density."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities of rows, without gradients."""
        ...

    def sample(self, count: int) -> Tensor:
        """Draw samples, without gradients."""
        ...


@dataclass(frozen=True)
class Library:
    """A library: its name on the package index, and how it builds each family.

    Args:
        name: The name of its distribution.
        builders: For each family a function of a size that builds a fresh model.
        note: What was set so that it runs at its best.
    """

    name: str
    builders: Mapping[str, Callable[[Size], Model]]
    note: str

    @property
    def version(self) -> str:
        """The version that is installed."""
        return version(self.name)


class TorchModel:
    """A flow of a library that stands on PyTorch, run eagerly; all are trained by this same step.

    Args:
        module: The flow.
        log_prob: Log-densities of rows, with gradients.
        sample: Draws so many samples.
    """

    def __init__(
        self, module: nn.Module, log_prob: Callable[[Tensor], Tensor], sample: Callable[[int], Tensor]
    ) -> None:
        self.module, self._log_prob, self._sample = module, log_prob, sample
        self._optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)

    def train_step(self, x: Tensor) -> Tensor:
        """Take one step."""
        self.module.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss = -self._log_prob(x).mean()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities in evaluation mode."""
        self.module.eval()
        return self._log_prob(x)

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Samples in evaluation mode."""
        self.module.eval()
        return self._sample(count)


class Conditioner(nn.Module):
    """Two hidden layers and an output, for libraries that leave the net of a coupling to their users."""

    def __init__(self, inputs: int, outputs: int, *, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the outputs; these flows are unconditional."""
        return self.net(x)

"""Flows of libraries that stand on PyTorch, run eagerly or through torch.compile; all are trained by the same Adam."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which optimizers import at their first step: no part of it
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.libraries.library import DEVICE, Model

__all__ = [
    "WAYS",
    "CompiledModel",
    "Conditioner",
    "EagerModel",
    "TorchFlow",
    "TorchModel",
    "device_memory",
    "load_compiler",
    "on_device",
    "start_compiler",
]

LEARNING_RATE = 1e-3

torch.set_float32_matmul_precision("high" if os.environ.get("BENCH_MATMUL") == "tf32" else "highest")


@dataclass(frozen=True)
class TorchFlow:
    """A flow as its library gives it.

    Args:
        module: What holds the parameters.
        log_prob: Log-densities of rows, with gradients.
        sample: Draws so many samples.
    """

    module: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    sample: Callable[[int], Tensor]


class TorchModel:
    """Everything but the training step."""

    def __init__(self, flow: TorchFlow) -> None:
        self.module, self._log_prob, self._sample = flow.module, flow.log_prob, flow.sample

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)

    def take(self, rows: NDArray[np.float32]) -> Tensor:
        """Make a tensor of rows."""
        return torch.from_numpy(rows).to(DEVICE)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """Log-densities in evaluation mode."""
        self.turn_to(training=False)
        return finished(self._log_prob(x))

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Samples in evaluation mode."""
        self.turn_to(training=False)
        return finished(self._sample(count))

    def turn_to(self, *, training: bool) -> None:
        """Change the mode where it changes: doing so walks through all modules, which is no part of a call."""
        if self.module.training != training:
            self.module.train(training)


class EagerModel(TorchModel):
    """A flow that is run as it is, trained by the fused Adam of torch."""

    def __init__(self, flow: TorchFlow) -> None:
        super().__init__(flow)
        self._optimizer = torch.optim.Adam(self.module.parameters(), lr=LEARNING_RATE, fused=True)

    def train_step(self, x: Tensor) -> Tensor:
        """Take one step."""
        self.turn_to(training=True)
        self._optimizer.zero_grad(set_to_none=True)
        loss = -self._log_prob(x).mean()
        loss.backward()
        self._optimizer.step()
        return finished(loss.detach())


class CompiledModel(EagerModel):
    """The same, with the library's own functions given to ``torch.compile``, shapes fixed."""

    def __init__(self, flow: TorchFlow) -> None:
        start_compiler()
        log_prob, sample = (torch.compile(function, dynamic=False) for function in (flow.log_prob, flow.sample))
        super().__init__(TorchFlow(flow.module, log_prob, sample))


WAYS: Mapping[str, Callable[[Any], Model]] = {"eager": EagerModel, "compiled": CompiledModel}


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


def finished(result: Tensor) -> Tensor:
    """The result, once the device has it."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return result


def on_device() -> torch.device:
    """Within it, torch makes tensors on the device of the run."""
    return torch.device(DEVICE)


def device_memory(call: Callable[[], object]) -> dict[str, float]:
    """Megabytes of the GPU between calls and at the most within one, counted by torch's own allocator."""
    rest = torch.cuda.memory_allocated() / 1e6
    torch.cuda.reset_peak_memory_stats()
    call()
    peak = torch.cuda.max_memory_allocated() / 1e6
    figures = {"rest_mb": rest, "peak_mb": peak, "call_mb": peak - rest}
    return {name: round(value, 1) for name, value in figures.items()}


def load_compiler() -> None:
    """Get ready what torch.compile makes once, and not for each function: imports, and headers.

    The folder named by ``BENCH_COMPILER`` keeps what was made, for the other contestants of a run.
    """
    import torch._inductor.compile_fx

    folder = Path(os.environ["BENCH_COMPILER"])
    if not folder.exists():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        _in_another_process(lambda: torch.compile(torch.sin)(torch.zeros(64)))


def start_compiler() -> None:
    """Give this process a store of compiled functions with nothing of any flow in it."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder = tempfile.mkdtemp()
    if Path(os.environ["BENCH_COMPILER"]).exists():
        shutil.copytree(os.environ["BENCH_COMPILER"], folder, dirs_exist_ok=True)


def _in_another_process(work: Callable[[], object]) -> None:
    """So that none of its threads stays in this one."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
